//! A message as JSON text. Every field is there: a client never has to ask whether a member is missing because
//! it is empty or because the server is older. Unset is `null`, numbers are numbers, 64-bit ones too.
//!
//! Written straight to text in the order of field numbers: a tree between would sort members and respell
//! numbers, and prost-reflect's mapping leaves unset messages out.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, SecondsFormat};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage, Value};

use super::{
    base64,
    shape::{self, Shape},
};

/// The JSON of a message, or of one of its fields when the binding has a `response_body`.
pub(super) fn text(message: &DynamicMessage, only: Option<&FieldDescriptor>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    match only {
        Some(field) => write_field(&mut out, message, field),
        None => write_message(&mut out, message),
    }
    out
}

fn write_message(out: &mut Vec<u8>, message: &DynamicMessage) {
    match shape::of(&message.descriptor()) {
        Shape::Timestamp => write_timestamp(out, message),
        Shape::Value => write_any(out, message),
        Shape::List(field) => write_field(out, message, &field),
        Shape::Struct => match message.descriptor().get_field(1) {
            Some(field) => write_field(out, message, &field),
            None => out.extend(b"null"),
        },
        // `Mask` and `None` were refused at the start; as objects they would still be valid JSON.
        Shape::Object | Shape::Mask | Shape::None => {
            out.push(b'{');
            for (i, field) in message.descriptor().fields().enumerate() {
                separate(out, i);
                write_string(out, field.name());
                out.push(b':');
                write_field(out, message, &field);
            }
            out.push(b'}');
        }
    }
}

fn write_field(out: &mut Vec<u8>, message: &DynamicMessage, field: &FieldDescriptor) {
    if field.supports_presence() && !message.has_field(field) {
        out.extend(b"null");
        return;
    }
    write_value(out, &field.kind(), &message.get_field(field));
}

fn write_value(out: &mut Vec<u8>, kind: &Kind, value: &Value) {
    match value {
        Value::Bool(value) => out.extend(if *value { b"true".as_slice() } else { b"false" }),
        Value::I32(number) => out.extend(number.to_string().bytes()),
        Value::I64(number) => out.extend(number.to_string().bytes()),
        Value::U32(number) => out.extend(number.to_string().bytes()),
        Value::U64(number) => out.extend(number.to_string().bytes()),
        Value::F32(number) => write_float(out, f64::from(*number), format!("{number:?}")),
        Value::F64(number) => write_float(out, *number, format!("{number:?}")),
        Value::String(text) => write_string(out, text),
        Value::Bytes(bytes) => write_string(out, &base64::encode(bytes)),
        Value::EnumNumber(number) => write_enum(out, kind, *number),
        Value::Message(message) => write_message(out, message),
        Value::List(entries) => {
            out.push(b'[');
            for (i, entry) in entries.iter().enumerate() {
                separate(out, i);
                write_value(out, kind, entry);
            }
            out.push(b']');
        }
        Value::Map(entries) => write_map(out, kind, entries.iter()),
    }
}

/// Sorted by key: the same message is the same text.
fn write_map<'a>(out: &mut Vec<u8>, kind: &Kind, entries: impl Iterator<Item = (&'a MapKey, &'a Value)>) {
    let value_kind = match kind {
        Kind::Message(entry) if entry.is_map_entry() => entry.map_entry_value_field().kind(),
        other => other.clone(),
    };
    out.push(b'{');
    for (i, (key, value)) in entries.collect::<BTreeMap<_, _>>().into_iter().enumerate() {
        separate(out, i);
        match key {
            MapKey::Bool(key) => write_string(out, &key.to_string()),
            MapKey::I32(key) => write_string(out, &key.to_string()),
            MapKey::I64(key) => write_string(out, &key.to_string()),
            MapKey::U32(key) => write_string(out, &key.to_string()),
            MapKey::U64(key) => write_string(out, &key.to_string()),
            MapKey::String(key) => write_string(out, key),
        }
        out.push(b':');
        write_value(out, &value_kind, value);
    }
    out.push(b'}');
}

/// The word; `null` for "not set" and for a number that this build has no name for.
fn write_enum(out: &mut Vec<u8>, kind: &Kind, number: i32) {
    let word = match kind {
        Kind::Enum(of) => of.get_value(number).and_then(|value| shape::word(&value)),
        _ => None,
    };
    match word {
        Some(word) => write_string(out, &word),
        None => out.extend(b"null"),
    }
}

/// RFC 3339 in UTC, with 0, 3, 6 or 9 digits of a second; `null` outside the years 1 to 9999.
fn write_timestamp(out: &mut Vec<u8>, message: &DynamicMessage) {
    let number = |field| message.get_field_by_number(field).map(|value| (value.as_i64(), value.as_i32()));
    let seconds = number(1).and_then(|(seconds, _)| seconds).unwrap_or(0);
    let nanos = number(2).and_then(|(_, nanos)| nanos).and_then(|nanos| u32::try_from(nanos).ok());
    let time = nanos
        .filter(|nanos| *nanos < 1_000_000_000)
        .and_then(|nanos| DateTime::from_timestamp(seconds, nanos))
        .filter(|time| (1..=9999).contains(&time.year()));
    match time {
        Some(time) => write_string(out, &time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        None => out.extend(b"null"),
    }
}

fn write_any(out: &mut Vec<u8>, message: &DynamicMessage) {
    match message.fields().next() {
        Some((field, value)) if field.name() != "null_value" => write_value(out, &field.kind(), value),
        _ => out.extend(b"null"),
    }
}

/// A number's shortest spelling, whole ones without a fraction; JSON has no word for infinity or NaN.
fn write_float(out: &mut Vec<u8>, number: f64, shortest: String) {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !number.is_finite() {
        out.extend(b"null");
    } else if number.fract() == 0.0 && number.abs() < EXACT && (number != 0.0 || number.is_sign_positive()) {
        out.extend((number as i64).to_string().bytes());
    } else {
        out.extend(shortest.bytes());
    }
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("a string is JSON and a Vec takes every byte");
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}
