//! `google.protobuf.Struct` and `Value`, which are JSON inside a message, both ways.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, MapKey, MessageDescriptor, Value};
use serde_json::{Map, Number, Value as Json};

use super::{TypedError, message_kind};

/// The full name of the message for any JSON value.
pub(super) const VALUE: &str = "google.protobuf.Value";
/// The full name of the message for a JSON object.
pub(super) const STRUCT: &str = "google.protobuf.Struct";

/// Doubles below this, 2^53, hold every integer: beyond it a whole double may stand for another number.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Whether a double is an integer and no other integer has the same double. Minus zero is none: JSON's `0` would
/// lose its sign.
pub(super) fn is_exact_integer(number: f64) -> bool {
    number.fract() == 0.0 && number.abs() < EXACT && !(number == 0.0 && number.is_sign_negative())
}

/// A double as JSON writes it: whole ones as integers, since a provider takes `"maxLength": 5` and not `5.0`.
pub(super) fn number(number: f64) -> Result<Json, TypedError> {
    if is_exact_integer(number) {
        return Ok(Json::from(number as i64));
    }
    Number::from_f64(number).map(Json::Number).ok_or_else(|| TypedError::NotFinite { param: String::new() })
}

/// A list, each element written by `json_of`; an error says which one it was.
pub(super) fn array(
    list: &[Value],
    json_of: impl Fn(&Value) -> Result<Json, TypedError>,
) -> Result<Json, TypedError> {
    let element = |(i, value)| json_of(value).map_err(|error| error.within(&format!("[{i}]")));
    list.iter().enumerate().map(element).collect::<Result<_, _>>().map(Json::Array)
}

/// The members of a `Struct`, sorted by name.
pub(super) fn struct_members(structure: &DynamicMessage) -> Result<Map<String, Json>, TypedError> {
    let fields = structure.get_field_by_name("fields");
    let Some(fields) = fields.as_deref().and_then(Value::as_map) else { return Ok(Map::new()) };
    let mut fields: Vec<_> =
        fields.iter().filter_map(|(name, value)| Some((name.as_str()?, value.as_message()?))).collect();
    fields.sort_unstable_by_key(|(name, _)| *name);
    fields
        .into_iter()
        .map(|(name, value)| Ok((name.to_owned(), value_json(value).map_err(|error| error.within(name))?)))
        .collect()
}

/// A `Value`. One that holds nothing is null: no other JSON could be meant.
pub(super) fn value_json(value: &DynamicMessage) -> Result<Json, TypedError> {
    let Some((field, kind)) = value.fields().next() else { return Ok(Json::Null) };
    match (field.name(), kind) {
        (_, Value::Bool(value)) => Ok(Json::from(*value)),
        (_, Value::F64(value)) => number(*value),
        (_, Value::String(value)) => Ok(Json::from(value.as_str())),
        ("struct_value", Value::Message(structure)) => struct_members(structure).map(Json::Object),
        ("list_value", Value::Message(list)) => {
            let values = list.get_field_by_name("values");
            let values = values.as_deref().and_then(Value::as_list).unwrap_or_default();
            array(values, |value| value.as_message().map_or(Ok(Json::Null), value_json))
        }
        _ => Ok(Json::Null),
    }
}

/// A `Struct` of these members; `descriptor` is its own.
pub(super) fn structure<'a>(
    descriptor: MessageDescriptor,
    members: impl IntoIterator<Item = (&'a String, &'a Json)>,
) -> DynamicMessage {
    let entry = inner(&descriptor, "fields");
    let of_value = inner(&entry, "value");
    let fields: HashMap<_, _> = members
        .into_iter()
        .map(|(name, json)| (MapKey::String(name.clone()), Value::Message(value(&of_value, json))))
        .collect();
    let mut message = DynamicMessage::new(descriptor);
    message.set_field_by_name("fields", Value::Map(fields));
    message
}

/// A `Value` of any JSON; `descriptor` is its own. Numbers become doubles, as they must.
pub(super) fn value(descriptor: &MessageDescriptor, json: &Json) -> DynamicMessage {
    let (field, kind) = match json {
        Json::Null => ("null_value", Value::EnumNumber(0)),
        Json::Bool(value) => ("bool_value", Value::Bool(*value)),
        Json::Number(number) => ("number_value", Value::F64(number.as_f64().unwrap_or_default())),
        Json::String(text) => ("string_value", Value::String(text.clone())),
        Json::Array(elements) => {
            let mut list = DynamicMessage::new(inner(descriptor, "list_value"));
            let values = elements.iter().map(|element| Value::Message(value(descriptor, element))).collect();
            list.set_field_by_name("values", Value::List(values));
            ("list_value", Value::Message(list))
        }
        Json::Object(members) => {
            ("struct_value", Value::Message(structure(inner(descriptor, "struct_value"), members)))
        }
    };
    let mut message = DynamicMessage::new(descriptor.clone());
    message.set_field_by_name(field, kind);
    message
}

fn inner(descriptor: &MessageDescriptor, field: &str) -> MessageDescriptor {
    descriptor
        .get_field_by_name(field)
        .and_then(|field| message_kind(&field))
        .expect("`google.protobuf.Struct` and `Value` are part of protobuf and do not change")
}
