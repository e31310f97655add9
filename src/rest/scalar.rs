//! One value of a field that is no object, list or map: numbers, strings, words of enums, times. From JSON, and
//! from the text of a path segment or query parameter.
//!
//! Integers are exact or refused: a limit that was rounded on the way in is another limit. Strings of digits
//! are not numbers, so that a client learns of its mistake here and not when it reads the number back.

use chrono::{DateTime, Datelike, Timelike};
use prost_reflect::{DynamicMessage, EnumDescriptor, Kind, MessageDescriptor, Value};

use super::{
    base64,
    json::Json,
    refusal::shown,
    shape::{self, Shape},
};

/// A JSON value as a value of this kind, or a sentence with what was expected.
pub(super) fn from_json(kind: &Kind, json: &Json<'_>) -> Result<Value, String> {
    let got = |expected: &str| format!("expected {expected}, got {}", json.shown());
    match (kind, json) {
        (Kind::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (Kind::Bool, _) => Err(got("true or false")),
        (Kind::String, Json::String(text)) => Ok(Value::String(text.clone().into_owned())),
        (Kind::String, _) => Err(got("a string")),
        (Kind::Bytes, Json::String(text)) => bytes(text),
        (Kind::Bytes, _) => Err(got("a base64 string")),
        (Kind::Enum(of), Json::String(text)) => enum_number(of, text),
        (Kind::Enum(of), _) => Err(got(&one_of(of))),
        (Kind::Message(message), Json::String(text)) => timestamp(message, text),
        (Kind::Message(_), _) => Err(got(RFC_3339)),
        (Kind::Float | Kind::Double, Json::Number(text)) => floating(kind, text),
        (_, Json::Number(text)) => integer(kind, text),
        (_, Json::String(text)) if looks_like_number(text) => {
            let bare = Json::Number(text).shown();
            Err(format!("expected a number, not a string: write {bare} without quotes"))
        }
        _ => Err(got("a number")),
    }
}

/// A text as a value of this kind, or a sentence with what was expected.
pub(super) fn from_text(kind: &Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::Bool => match text {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => Err(format!("expected true or false, got {}", shown(text))),
        },
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bytes => bytes(text),
        Kind::Enum(of) => enum_number(of, text),
        Kind::Message(message) => timestamp(message, text),
        _ if !looks_like_number(text) => Err(format!("expected a number, got {}", shown(text))),
        Kind::Float | Kind::Double => floating(kind, text),
        _ => integer(kind, text),
    }
}

/// Whether fields of this kind can be written as one text.
pub(super) fn has_text(kind: &Kind) -> bool {
    match kind {
        Kind::Message(message) => matches!(shape::of(message), Shape::Timestamp),
        _ => true,
    }
}

fn integer(kind: &Kind, text: &str) -> Result<Value, String> {
    let (least, most): (i128, i128) = match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => (i32::MIN.into(), i32::MAX.into()),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => (i64::MIN.into(), i64::MAX.into()),
        Kind::Uint32 | Kind::Fixed32 => (0, u32::MAX.into()),
        _ => (0, u64::MAX.into()),
    };
    let wrong =
        || format!("expected a whole number from {least} to {most}, got {}", Json::Number(text).shown());
    let number = exact_integer(text).filter(|n| (least..=most).contains(n)).ok_or_else(wrong)?;
    Ok(match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number as u32),
        _ => Value::U64(number as u64),
    })
}

/// The integer that a JSON number is, however it is spelled (`10`, `1e1`, `10.0`); `None` when it is none or
/// lies beyond 38 digits.
fn exact_integer(text: &str) -> Option<i128> {
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    if !significant.bytes().any(|b| b.is_ascii_digit()) {
        return Some(0);
    }
    let dropped = i64::try_from(digits.len() - significant.len()).ok()?;
    let zeros = exponent.parse::<i64>().ok()?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let zeros = u32::try_from(zeros.checked_add(dropped)?).ok()?;
    significant.parse::<i128>().ok()?.checked_mul(10_i128.checked_pow(zeros)?)
}

fn floating(kind: &Kind, text: &str) -> Result<Value, String> {
    let wrong =
        || format!("expected a number within the range of its type, got {}", Json::Number(text).shown());
    match kind {
        Kind::Float => text.parse().ok().filter(|n: &f32| n.is_finite()).map(Value::F32).ok_or_else(wrong),
        _ => text.parse().ok().filter(|n: &f64| n.is_finite()).map(Value::F64).ok_or_else(wrong),
    }
}

/// Whether a text is spelled like a JSON number; Rust's own parsers also take `inf`, `nan` and `+1`.
fn looks_like_number(text: &str) -> bool {
    text.len() <= 400
        && text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
}

fn enum_number(of: &EnumDescriptor, text: &str) -> Result<Value, String> {
    let known = shape::words(of).into_iter().find(|(word, _)| word == text);
    let (_, number) = known.ok_or_else(|| format!("expected {}, got {}", one_of(of), shown(text)))?;
    Ok(Value::EnumNumber(number))
}

fn one_of(of: &EnumDescriptor) -> String {
    let words: Vec<String> = shape::words(of).into_iter().map(|(word, _)| format!("\"{word}\"")).collect();
    format!("one of {}", words.join(", "))
}

fn bytes(text: &str) -> Result<Value, String> {
    let bytes = base64::decode(text).ok_or_else(|| format!("expected base64, got {}", shown(text)))?;
    Ok(Value::Bytes(bytes.into()))
}

const RFC_3339: &str = "an RFC 3339 time such as \"2026-01-31T12:00:00Z\"";

fn timestamp(of: &MessageDescriptor, text: &str) -> Result<Value, String> {
    let wrong = || format!("expected {RFC_3339}, got {}", shown(text));
    // chrono also takes a space for `T`, and a leap second as a nanosecond count that no Timestamp can hold.
    let strict = text.len() <= 64 && !text.contains(' ');
    let time = DateTime::parse_from_rfc3339(text).ok().filter(|_| strict).ok_or_else(wrong)?.to_utc();
    if time.nanosecond() >= 1_000_000_000 || !(1..=9999).contains(&time.year()) {
        return Err(wrong());
    }
    let mut message = DynamicMessage::new(of.clone());
    message.set_field_by_number(1, Value::I64(time.timestamp()));
    message.set_field_by_number(2, Value::I32(time.nanosecond().cast_signed()));
    Ok(Value::Message(message))
}
