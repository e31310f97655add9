//! What a message must look like in REST, told from its descriptor by the rules of the contract and by nothing of
//! `src/rest`: the second opinion that `parity` holds REST's answers against.
//!
//! Names as in the proto, numbers as numbers, times in RFC 3339, words of enums without their prefix and in lower
//! case, a message with the one repeated field `values` as a bare array.

use chrono::DateTime;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value as Proto};
use serde_json::{Map, Value, json};

/// An answer: what is absent is `null`.
pub(crate) fn answer(message: &DynamicMessage, response_body: Option<&str>) -> Value {
    match response_body {
        None => object(message),
        Some(field) => object(message)[field].clone(),
    }
}

/// The body of a request: what its mask names is there, as `null` where it is not set; without a mask, what is set.
pub(crate) fn request(message: &DynamicMessage, less: &[String]) -> Value {
    let mask = message.get_field_by_name("update_mask").map(|mask| mask.as_message().unwrap().clone());
    let paths = mask.map(|mask| mask.get_field_by_name("paths").unwrap().into_owned());
    let masked = |name: &str| {
        let paths = paths.as_ref().and_then(|paths| paths.as_list()).unwrap_or_default();
        paths.iter().any(|path| path.as_str() == Some(name))
    };
    let mut members = Map::new();
    for field in message.descriptor().fields() {
        let name = field.name();
        let wanted = message.has_field(&field) || masked(name);
        if wanted && name != "update_mask" && !less.iter().any(|one| one == name) {
            members.insert(name.to_owned(), member(message, &field));
        }
    }
    Value::Object(members)
}

fn object(message: &DynamicMessage) -> Value {
    let fields = message.descriptor().fields().collect::<Vec<_>>();
    fields.iter().map(|field| (field.name().to_owned(), member(message, field))).collect::<Map<_, _>>().into()
}

fn member(message: &DynamicMessage, field: &FieldDescriptor) -> Value {
    if field.supports_presence() && !message.has_field(field) {
        return Value::Null;
    }
    let value = message.get_field(field);
    match value.as_list() {
        Some(list) => list.iter().map(|entry| single(entry, &field.kind())).collect(),
        None => single(&value, &field.kind()),
    }
}

fn single(value: &Proto, kind: &Kind) -> Value {
    match value {
        Proto::Bool(value) => json!(value),
        Proto::I32(value) => json!(value),
        Proto::I64(value) => json!(value),
        Proto::String(value) => json!(value),
        Proto::EnumNumber(number) => word(kind, *number),
        Proto::Message(message) => nested(message),
        other => panic!("no answer or request of a bound method has such a value: {other:?}"),
    }
}

fn nested(message: &DynamicMessage) -> Value {
    let descriptor = message.descriptor();
    if descriptor.full_name() == "google.protobuf.Timestamp" {
        let part = |name: &str| message.get_field_by_name(name).unwrap().into_owned();
        let (seconds, nanos) = (part("seconds").as_i64().unwrap(), part("nanos").as_i32().unwrap());
        let time = DateTime::from_timestamp(seconds, nanos.unsigned_abs()).unwrap();
        return json!(time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
    }
    if descriptor.full_name() == "google.protobuf.Value" {
        return any(message);
    }
    let fields: Vec<_> = descriptor.fields().collect();
    match fields.as_slice() {
        [only] if only.name() == "values" && only.is_list() => member(message, only),
        _ => object(message),
    }
}

/// JSON inside a message.
fn any(message: &DynamicMessage) -> Value {
    let (field, value) = message.fields().next().expect("a value that is none");
    match (field.name(), value) {
        ("null_value", _) => Value::Null,
        ("bool_value", Proto::Bool(value)) => json!(value),
        ("number_value", Proto::F64(number)) if number.fract() == 0.0 => json!(*number as i64),
        ("number_value", Proto::F64(number)) => json!(number),
        ("string_value", Proto::String(text)) => json!(text),
        ("list_value", Proto::Message(list)) => member(list, &list.descriptor().get_field(1).unwrap()),
        ("struct_value", Proto::Message(of)) => {
            let fields = of.get_field_by_name("fields").unwrap().into_owned();
            let members = fields.as_map().unwrap().iter();
            let of = |value: &Proto| any(value.as_message().unwrap());
            members.map(|(name, value)| (name.as_str().unwrap().to_owned(), of(value))).collect()
        }
        other => panic!("no such value: {other:?}"),
    }
}

/// `KEY_STATUS_ACTIVE` of `KeyStatus` is `active`.
fn word(kind: &Kind, number: i32) -> Value {
    let Kind::Enum(of) = kind else { panic!("a number of no enum") };
    let name = of.get_value(number).unwrap().name().to_lowercase();
    let prefix = of.name().chars().fold(String::new(), |mut prefix, letter| {
        if letter.is_uppercase() && !prefix.is_empty() {
            prefix.push('_');
        }
        prefix.extend(letter.to_lowercase());
        prefix
    });
    json!(name.strip_prefix(&format!("{prefix}_")).unwrap())
}
