//! Fields that a header carries. Which ones is an option of the field, so that gRPC has a typed field, the API
//! description a parameter, and no service ever looks at HTTP; how a header is written is HTTP's own matter and is
//! known here: entity tags are quoted (RFC 9110, 8.8.3), anything else is the value as it is.
//!
//! Not handed on as gRPC metadata instead: there it would be a second, untyped way in that nobody can look up.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use prost_reflect::{DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, Value};

use super::{
    bindings::{Binding, BindingProblem, malformed},
    refusal::{Findings, shown},
    scalar,
};

/// A field, and the header that carries it.
#[derive(Debug, Clone, PartialEq)]
pub struct HeaderField {
    /// The header.
    pub name: HeaderName,
    /// Its name as people write it: `If-Match`.
    pub spelling: String,
    /// The field.
    pub field: FieldDescriptor,
}

/// The fields of a message that headers carry.
pub(super) fn carried(
    message: &MessageDescriptor,
    option: &ExtensionDescriptor,
) -> Result<Vec<HeaderField>, BindingProblem> {
    let named = message.fields().filter(|field| field.options().has_extension(option));
    named.map(|field| read(field, option)).collect()
}

fn read(field: FieldDescriptor, option: &ExtensionDescriptor) -> Result<HeaderField, BindingProblem> {
    let options = field.options();
    let spelling = options.get_extension(option).as_str().unwrap_or_default().to_owned();
    let refused =
        |why: &str| Err(malformed(&format!("the header `{spelling}` of `{}`: {why}", field.name())));
    let Ok(name) = HeaderName::try_from(spelling.as_str()) else {
        return refused("it is no header's name");
    };
    let fits = !matches!(field.kind(), Kind::Message(_) | Kind::Bytes) && !field.is_list();
    if !fits {
        return refused("a header carries one number or text");
    }
    if name == header::IF_MATCH && !field.supports_presence() {
        return refused("`*` leaves it unset, so that it must be optional");
    }
    Ok(HeaderField { name, spelling, field })
}

/// The message that is the body of an answer.
pub(super) fn body_of(output: &MessageDescriptor, field: Option<&FieldDescriptor>) -> MessageDescriptor {
    match field.map(FieldDescriptor::kind) {
        Some(Kind::Message(message)) => message,
        _ => output.clone(),
    }
}

/// Sets the fields whose headers are there.
pub(super) fn fill(
    message: &mut DynamicMessage,
    fields: &[HeaderField],
    headers: &HeaderMap,
    findings: &mut Findings,
) {
    for HeaderField { name, spelling, field } in fields {
        let mut given = headers.get_all(name).iter();
        let Some(value) = given.next() else { continue };
        let read = match given.next() {
            Some(_) => Err("the header is given more than once; send it once".to_owned()),
            None => value_of(name, field, value),
        };
        match read {
            Ok(Some(value)) => message.set_field(field, value),
            Ok(None) => {}
            Err(wrong) => findings.add_at(spelling, wrong),
        }
    }
}

fn value_of(
    name: &HeaderName,
    field: &FieldDescriptor,
    value: &HeaderValue,
) -> Result<Option<Value>, String> {
    let Ok(text) = value.to_str() else { return Err("expected printable ASCII".to_owned()) };
    if name != header::IF_MATCH {
        return scalar::from_text(&field.kind(), text).map(Some);
    }
    if text == "*" {
        return Ok(None);
    }
    let wrong = || {
        let form = "expected one ETag as an answer had it, in quotes, such as \"7\", or * for any";
        format!("{form}; got {}", shown(text))
    };
    if text.starts_with("W/") {
        // It could only ever fail, and whoever repeats the call as a conflict suggests would fail for ever.
        return Err(format!("a weak tag matches nothing: leave the `W/` out; got {}", shown(text)));
    }
    let tag = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let tag = tag.filter(|tag| !tag.contains('"')).ok_or_else(wrong)?;
    // A tag of ours is spelled in one way only.
    let digits =
        matches!(field.kind(), Kind::String) || !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(wrong());
    }
    scalar::from_text(&field.kind(), tag).map(Some).map_err(|_| wrong())
}

/// Writes the headers that repeat fields of an answer's body.
pub(super) fn write(answer: &DynamicMessage, binding: &Binding, headers: &mut HeaderMap) {
    let within = binding.response_body.as_ref().map(|field| answer.get_field(field));
    let body = match &within {
        None => answer,
        Some(value) => match value.as_message() {
            Some(body) => body,
            None => return,
        },
    };
    for HeaderField { name, field, .. } in &binding.in_headers {
        if field.supports_presence() && !body.has_field(field) {
            continue;
        }
        let text = match &*body.get_field(field) {
            Value::String(text) => text.clone(),
            Value::I32(number) => number.to_string(),
            Value::I64(number) => number.to_string(),
            Value::U32(number) => number.to_string(),
            Value::U64(number) => number.to_string(),
            _ => continue,
        };
        let text = if name == header::ETAG { format!("\"{text}\"") } else { text };
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}
