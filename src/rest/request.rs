//! The JSON of a body as a message, walked along the message's descriptor. Every finding of the whole body is
//! gathered; nothing is guessed, converted or skipped.
//!
//! Why not prost-reflect's own mapping: it stops at the first error without a path, takes numbers as strings,
//! knows neither bare lists nor lower-case enum words, and forgets which members were there, which is what an
//! update mask is made of.

use std::collections::HashMap;

use bytes::Bytes;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};

use super::{
    json::Json,
    names::{Taken, field_named, other_spelling, unknown},
    refusal::Findings,
    scalar,
    shape::{self, Shape},
};

/// How deep messages may lie in each other: what prost's decoder, at the other end, takes.
const DEEPEST_MESSAGE: usize = 100;

/// Reads a body into messages.
pub(super) struct BodyReader<'f> {
    findings: &'f mut Findings,
    depth: usize,
}

impl<'f> BodyReader<'f> {
    /// A reader that reports to `findings`.
    pub(super) fn new(findings: &'f mut Findings) -> Self {
        Self { findings, depth: 0 }
    }

    /// Sets the fields of `message` that the members name, and the mask, if there is one, to their names.
    pub(super) fn fill(
        &mut self,
        message: &mut DynamicMessage,
        members: &[(impl AsRef<str>, Json<'_>)],
        taken: &Taken<'_>,
    ) {
        let named = self.fields(message, members, taken);
        let Some(mask) = taken.mask else { return };
        if let Kind::Message(mask_type) = mask.kind() {
            let paths = named.iter().map(|field| Value::String(field.name().to_owned())).collect();
            let mut paths_of = DynamicMessage::new(mask_type);
            paths_of.set_field_by_number(1, Value::List(paths));
            message.set_field(mask, Value::Message(paths_of));
        }
    }

    /// Sets one field to the whole body.
    pub(super) fn fill_field(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        json: &Json<'_>,
    ) {
        let mark = self.findings.enter(field.name());
        self.set(message, field, json);
        self.findings.leave(mark);
    }

    /// The fields that were named, `null` ones included, in the order of the members.
    fn fields(
        &mut self,
        message: &mut DynamicMessage,
        members: &[(impl AsRef<str>, Json<'_>)],
        taken: &Taken<'_>,
    ) -> Vec<FieldDescriptor> {
        let descriptor = message.descriptor();
        let mut named: Vec<FieldDescriptor> = Vec::new();
        for (name, json) in members {
            let name = name.as_ref();
            let mark = self.findings.enter(name);
            match field_named(&descriptor, name) {
                None => self.findings.add_with(|| unknown("member", &descriptor, taken)),
                Some(field) => {
                    if let Some(why) = taken.why(&field) {
                        self.findings.add(why);
                    } else if named.contains(&field) {
                        self.findings.add(format!(
                            "the member is given more than once, also as `{}`",
                            other_spelling(&field, name)
                        ));
                    } else if let Some(rival) = rival(message, &field, json) {
                        self.findings.add(format!("it cannot stand beside `{rival}`; give one of the two"));
                    } else {
                        self.set(message, &field, json);
                        named.push(field);
                    }
                }
            }
            self.findings.leave(mark);
        }
        named
    }

    fn set(&mut self, message: &mut DynamicMessage, field: &FieldDescriptor, json: &Json<'_>) {
        if *json == Json::Null {
            return;
        }
        if let Some(value) = self.value_of(field, json) {
            message.set_field(field, value);
        }
    }

    fn value_of(&mut self, field: &FieldDescriptor, json: &Json<'_>) -> Option<Value> {
        if field.is_map() {
            return self.map(field, json);
        }
        if field.is_list() {
            return self.list(&field.kind(), json);
        }
        self.single(&field.kind(), json)
    }

    fn single(&mut self, kind: &Kind, json: &Json<'_>) -> Option<Value> {
        let Kind::Message(message) = kind else { return self.scalar(kind, json) };
        self.deeper(|reader| match shape::of(message) {
            Shape::Timestamp => reader.scalar(kind, json),
            Shape::Value => Some(Value::Message(reader.any_value(message, json)?)),
            Shape::Struct => {
                let field = message.get_field(1)?;
                Some(holding(message, &field, reader.map(&field, json)?))
            }
            Shape::List(field) => Some(holding(message, &field, reader.list(&field.kind(), json)?)),
            Shape::Object => reader.object(message, json),
            // Refused at the start for every bound method.
            Shape::Mask | Shape::None => {
                reader.findings.add("this type cannot be given in JSON");
                None
            }
        })
    }

    fn scalar(&mut self, kind: &Kind, json: &Json<'_>) -> Option<Value> {
        scalar::from_json(kind, json).map_err(|message| self.findings.add(message)).ok()
    }

    fn object(&mut self, message: &MessageDescriptor, json: &Json<'_>) -> Option<Value> {
        let members = self.members(json)?;
        let mut object = DynamicMessage::new(message.clone());
        self.fields(&mut object, members, &Taken::NOTHING);
        Some(Value::Message(object))
    }

    fn list(&mut self, kind: &Kind, json: &Json<'_>) -> Option<Value> {
        let Json::Array(entries) = json else {
            self.findings.add(format!("expected an array, got {}", json.shown()));
            return None;
        };
        let mut values = Vec::with_capacity(entries.len());
        for (i, entry) in entries.iter().enumerate() {
            let mark = self.findings.enter_entry(i);
            values.extend(self.entry(kind, entry));
            self.findings.leave(mark);
        }
        Some(Value::List(values))
    }

    fn map(&mut self, field: &FieldDescriptor, json: &Json<'_>) -> Option<Value> {
        let Kind::Message(entry) = field.kind() else { return None };
        let (key, value) = (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let mut map = HashMap::new();
        for (name, json) in self.members(json)? {
            let mark = self.findings.enter(name);
            let read = self.deeper(|reader| Some((reader.key(&key, name)?, reader.entry(&value, json)?)));
            if let Some((key, value)) = read
                && map.insert(key, value).is_some()
            {
                self.findings.add("the key is given more than once");
            }
            self.findings.leave(mark);
        }
        Some(Value::Map(map))
    }

    fn key(&mut self, kind: &Kind, name: &str) -> Option<MapKey> {
        match scalar::from_text(kind, name) {
            Ok(value) => map_key(value),
            Err(message) => {
                self.findings.add(message);
                None
            }
        }
    }

    /// An entry of a list or map, where absence has no meaning.
    fn entry(&mut self, kind: &Kind, json: &Json<'_>) -> Option<Value> {
        if *json == Json::Null && !shape::is_any_value(kind) {
            self.findings.add("null cannot stand here; leave the entry out");
            return None;
        }
        self.single(kind, json)
    }

    fn any_value(&mut self, message: &MessageDescriptor, json: &Json<'_>) -> Option<DynamicMessage> {
        let (name, value) = match json {
            Json::Null => ("null_value", Value::EnumNumber(0)),
            Json::Bool(value) => ("bool_value", Value::Bool(*value)),
            Json::Number(_) => ("number_value", self.scalar(&Kind::Double, json)?),
            Json::String(text) => ("string_value", Value::String(text.clone().into_owned())),
            Json::Array(_) => ("list_value", self.single(&kind_of(message, "list_value")?, json)?),
            Json::Object(_) => ("struct_value", self.single(&kind_of(message, "struct_value")?, json)?),
        };
        let mut any = DynamicMessage::new(message.clone());
        any.set_field_by_name(name, value);
        Some(any)
    }

    fn members<'j, 'a>(&mut self, json: &'j Json<'a>) -> Option<&'j [(std::borrow::Cow<'a, str>, Json<'a>)]> {
        match json {
            Json::Object(members) => Some(members),
            _ => {
                self.findings.add(format!("expected an object, got {}", json.shown()));
                None
            }
        }
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == DEEPEST_MESSAGE {
            self.findings.add(format!("messages lie more than {DEEPEST_MESSAGE} deep in each other"));
            return None;
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }
}

/// The field of the same `oneof` that is already set.
fn rival(message: &DynamicMessage, field: &FieldDescriptor, json: &Json<'_>) -> Option<String> {
    if *json == Json::Null {
        return None;
    }
    let one_of = field.containing_oneof()?;
    let rival = one_of.fields().find(|other| other != field && message.has_field(other))?;
    Some(rival.name().to_owned())
}

fn kind_of(message: &MessageDescriptor, field: &str) -> Option<Kind> {
    message.get_field_by_name(field).map(|field| field.kind())
}

fn holding(message: &MessageDescriptor, field: &FieldDescriptor, value: Value) -> Value {
    let mut holder = DynamicMessage::new(message.clone());
    holder.set_field(field, value);
    Value::Message(holder)
}

fn map_key(value: Value) -> Option<MapKey> {
    match value {
        Value::Bool(key) => Some(MapKey::Bool(key)),
        Value::I32(key) => Some(MapKey::I32(key)),
        Value::I64(key) => Some(MapKey::I64(key)),
        Value::U32(key) => Some(MapKey::U32(key)),
        Value::U64(key) => Some(MapKey::U64(key)),
        Value::String(key) => Some(MapKey::String(key)),
        _ => None,
    }
}

/// Puts a body into a field of the type `google.api.HttpBody`. By its headers it is JSON, by whichever name.
pub(super) fn fill_bytes(message: &mut DynamicMessage, field: &FieldDescriptor, body: Bytes) {
    let Kind::Message(of) = field.kind() else { return };
    let mut carrier = DynamicMessage::new(of);
    carrier.set_field_by_name("content_type", Value::String("application/json".to_owned()));
    carrier.set_field_by_name("data", Value::Bytes(body));
    message.set_field(field, Value::Message(carrier));
}
