//! JSON Schemas of messages, as `request` reads them and `response` writes them.
//!
//! The two sides differ: an answer has every member, with `null` for what is not set; a request may leave any out
//! that is not required, `null` says the same, and a member that is unknown is an error.

use std::collections::BTreeMap;

use prost_reflect::{ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::{
    super::{
        names::Taken,
        scalar,
        shape::{self, Shape},
    },
    comments::Comments,
};

/// Who writes the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    /// A client.
    Request,
    /// This server.
    Answer,
}

/// The schemas that others refer to, gathered as they are met.
#[derive(Debug)]
pub(super) struct Schemas {
    bounds: Option<ExtensionDescriptor>,
    met: BTreeMap<String, (MessageDescriptor, Side)>,
}

impl Schemas {
    /// With the option that says which values fields take.
    pub(super) fn new(bounds: Option<ExtensionDescriptor>) -> Self {
        Self { bounds, met: BTreeMap::new() }
    }

    /// Every schema that was referred to, those that they refer to included.
    pub(super) fn written(&mut self, comments: &Comments) -> Map<String, Value> {
        let mut written: Map<String, Value> = Map::new();
        loop {
            let ahead = self.met.iter().find(|(name, _)| !written.contains_key(*name));
            let Some((name, (message, side))) = ahead.map(|(name, met)| (name.clone(), met.clone())) else {
                return written;
            };
            let schema = match side {
                Side::Answer => self.answer(&message, comments),
                Side::Request => self.request(&message, &Taken::NOTHING, comments),
            };
            written.insert(name, schema);
        }
    }

    /// The schema of a message, by reference where it is an object.
    pub(super) fn message(&mut self, message: &MessageDescriptor, side: Side) -> Value {
        match shape::of(message) {
            Shape::Timestamp => json!({"type": "string", "format": "date-time"}),
            Shape::Struct => json!({"type": "object"}),
            Shape::List(entries) => self.list(&entries, side),
            Shape::Object => {
                let name = match side {
                    Side::Answer => message.name().to_owned(),
                    Side::Request => format!("{}Input", message.name()),
                };
                let reference = format!("#/components/schemas/{name}");
                self.met.entry(name).or_insert_with(|| (message.clone(), side));
                json!({"$ref": reference})
            }
            // Any value; the last two were refused at the start.
            Shape::Value | Shape::Mask | Shape::None => json!({}),
        }
    }

    /// The schema of a field's value as a member of a body.
    pub(super) fn field(&mut self, field: &FieldDescriptor, side: Side) -> Value {
        let schema = self.given(field, side);
        let list = field.is_list() || field.is_map();
        let absent = match side {
            // In a request `null` is the same as leaving out.
            Side::Request => !self.says(field, "required") && !self.says(field, "neverNull"),
            Side::Answer => !list && (field.supports_presence() || matches!(field.kind(), Kind::Enum(_))),
        };
        if absent { nullable(schema) } else { schema }
    }

    /// The schema of a field's value where it is given: in a path, a query or a header, which have no `null`.
    pub(super) fn given(&mut self, field: &FieldDescriptor, side: Side) -> Value {
        let mut schema = if let (true, Kind::Message(entry)) = (field.is_map(), field.kind()) {
            let of = self.value(&entry.map_entry_value_field().kind(), side);
            json!({"type": "object", "additionalProperties": of})
        } else if field.is_list() {
            self.list(field, side)
        } else {
            self.value(&field.kind(), side)
        };
        self.bound(field, &mut schema);
        schema
    }

    /// The schema of a request's body: what is taken elsewhere is not there, and nothing beyond.
    pub(super) fn request(
        &mut self,
        message: &MessageDescriptor,
        taken: &Taken<'_>,
        comments: &Comments,
    ) -> Value {
        let fields: Vec<_> = message.fields().filter(|field| taken.why(field).is_none()).collect();
        let required: Vec<_> = fields
            .iter()
            .filter(|field| self.says(field, "required"))
            .map(|field| field.name().to_owned())
            .collect();
        let mut schema = json!({
            "type": "object",
            "description": comments.of_message(message),
            "properties": self.properties(&fields, Side::Request, comments),
            "additionalProperties": false,
        });
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        schema
    }

    fn answer(&mut self, message: &MessageDescriptor, comments: &Comments) -> Value {
        let fields: Vec<_> = message.fields().collect();
        let names: Vec<_> = fields.iter().map(FieldDescriptor::name).collect();
        json!({
            "type": "object",
            "description": comments.of_message(message),
            "required": names,
            "properties": self.properties(&fields, Side::Answer, comments),
        })
    }

    fn properties(
        &mut self,
        fields: &[FieldDescriptor],
        side: Side,
        comments: &Comments,
    ) -> Map<String, Value> {
        let described = |field: &FieldDescriptor| {
            let mut schema = self.field(field, side);
            let comment = comments.of_field(field);
            if !comment.is_empty() {
                schema["description"] = comment.into();
            }
            (field.name().to_owned(), schema)
        };
        fields.iter().map(described).collect()
    }

    /// The schema of a field as a header carries it.
    pub(super) fn header(&mut self, spelling: &str, field: &FieldDescriptor) -> Value {
        match spelling {
            // As HTTP writes entity tags.
            "If-Match" => json!({"type": "string", "minLength": 1, "pattern": "^(\\*|\"[0-9]{1,18}\")$"}),
            "ETag" => json!({"type": "string", "pattern": "^\"[0-9]{1,18}\"$"}),
            _ => self.given(field, Side::Request),
        }
    }

    /// The schema of a query's parameter; `None` for what a query cannot give.
    pub(super) fn query_parameter(&mut self, field: &FieldDescriptor) -> Option<Value> {
        let element = match field.kind() {
            Kind::Message(message) => match shape::of(&message) {
                Shape::List(entries) => entries.kind(),
                _ => field.kind(),
            },
            kind => kind,
        };
        if field.is_map() || !scalar::has_text(&element) {
            return None;
        }
        Some(self.given(field, Side::Request))
    }

    fn list(&mut self, entries: &FieldDescriptor, side: Side) -> Value {
        json!({"type": "array", "items": self.value(&entries.kind(), side)})
    }

    fn value(&mut self, kind: &Kind, side: Side) -> Value {
        match kind {
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Float | Kind::Double => json!({"type": "number"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX})
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({"type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX})
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                json!({"type": "integer", "format": "int64", "minimum": i64::MIN, "maximum": i64::MAX})
            }
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "integer", "minimum": 0, "maximum": u64::MAX}),
            Kind::Enum(of) => {
                let words: Vec<_> = shape::words(of).into_iter().map(|(word, _)| word).collect();
                json!({"type": "string", "enum": words})
            }
            Kind::Message(message) => self.message(message, side),
        }
    }

    /// Whether the option says this of the field.
    fn says(&self, field: &FieldDescriptor, what: &str) -> bool {
        self.bounds_of(field).is_some_and(|bounds| bounds.get(what) == Some(&Value::Bool(true)))
    }

    /// Adds what the option says: its members are keywords of JSON Schema, those that begin with `entry` for the
    /// entries of a list.
    fn bound(&self, field: &FieldDescriptor, schema: &mut Value) {
        for (keyword, value) in self.bounds_of(field).into_iter().flatten() {
            match keyword.strip_prefix("items.") {
                _ if keyword == "required" || keyword == "neverNull" => {}
                Some(keyword) => schema["items"][keyword] = value,
                None => schema[keyword] = value,
            }
        }
    }

    /// The members of a field's option that are set, under the names of JSON Schema.
    fn bounds_of(&self, field: &FieldDescriptor) -> Option<Map<String, Value>> {
        let option = self.bounds.as_ref()?;
        let options = field.options();
        if !options.has_extension(option) {
            return None;
        }
        let set = options.get_extension(option);
        let set = set.as_message()?;
        let mut keywords = Map::new();
        for (field, value) in set.fields() {
            let value = match value {
                prost_reflect::Value::Bool(value) => json!(value),
                prost_reflect::Value::I64(value) => json!(value),
                prost_reflect::Value::U32(value) => json!(value),
                prost_reflect::Value::String(value) => json!(value),
                _ => continue,
            };
            let keyword = match field.json_name().strip_prefix("entry") {
                Some(of_entry) => format!("items.{}{}", of_entry[..1].to_ascii_lowercase(), &of_entry[1..]),
                None => field.json_name().to_owned(),
            };
            keywords.insert(keyword, value);
        }
        Some(keywords)
    }
}

/// The same schema, or `null`.
fn nullable(mut schema: Value) -> Value {
    if let Some(words) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
    match schema.get("type").cloned() {
        Some(Value::String(one)) => {
            schema["type"] = json!([one, "null"]);
            schema
        }
        None if schema.get("$ref").is_some() => json!({"anyOf": [schema, {"type": "null"}]}),
        _ => schema,
    }
}
