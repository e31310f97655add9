//! From the members of a JSON object to a message. Never fails: what does not fit a field goes into `extra`.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde_json::{Map, Value as Json};

use super::{EXTRA, declared, message_kind, values};

/// The message that an object stands for.
pub(super) fn message(descriptor: MessageDescriptor, members: &Map<String, Json>) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    let mut extra = Vec::new();
    for (name, json) in members {
        match declared(&descriptor, name).map(|field| (field_value(&field, json), field)) {
            Some((Fit::Value(value), field)) => message.set_field(&field, value),
            Some((Fit::Unset, _)) => {}
            Some((Fit::No, _)) | None => extra.push((name, json)),
        }
    }
    let field = descriptor.get_field_by_name(EXTRA).filter(|_| !extra.is_empty());
    if let Some((field, structure)) = field.and_then(|field| message_kind(&field).map(|kind| (field, kind))) {
        message.set_field(&field, Value::Message(values::structure(structure, extra)));
    }
    message
}

/// How a member fits the field of its name.
enum Fit {
    Value(Value),
    /// Null, which only a `Value` can hold.
    Unset,
    No,
}

fn field_value(field: &FieldDescriptor, json: &Json) -> Fit {
    let is_value = message_kind(field).is_some_and(|kind| kind.full_name() == values::VALUE);
    let value = match json {
        Json::Null if !is_value || field.is_list() => return Fit::Unset,
        Json::Array(elements) if field.is_list() => elements
            .iter()
            .map(|element| single(&field.kind(), element))
            .collect::<Option<Vec<_>>>()
            .map(Value::List),
        _ if field.is_list() || field.is_map() => None,
        _ => single(&field.kind(), json),
    };
    value.map_or(Fit::No, Fit::Value)
}

/// A value of one kind; `None` where the JSON has another type. Numbers are taken as integers when they are
/// whole, however they are spelt.
fn single(kind: &Kind, json: &Json) -> Option<Value> {
    match (kind, json) {
        (Kind::Bool, Json::Bool(value)) => Some(Value::Bool(*value)),
        (Kind::String, Json::String(value)) => Some(Value::String(value.clone())),
        (Kind::Double, Json::Number(number)) => number.as_f64().map(Value::F64),
        (Kind::Int64, Json::Number(_)) => integer(json).map(Value::I64),
        (Kind::Int32, Json::Number(_)) => Some(Value::I32(i32::try_from(integer(json)?).ok()?)),
        (Kind::Message(descriptor), json) => match (descriptor.full_name(), json) {
            (values::VALUE, json) => Some(values::value(descriptor, json)),
            (values::STRUCT, Json::Object(members)) => Some(values::structure(descriptor.clone(), members)),
            (values::STRUCT, _) => None,
            (_, Json::Object(members)) => Some(message(descriptor.clone(), members)),
            _ => None,
        }
        .map(Value::Message),
        _ => None,
    }
}

fn integer(json: &Json) -> Option<i64> {
    json.as_i64().or_else(|| {
        let number = json.as_f64()?;
        values::is_exact_integer(number).then_some(number as i64)
    })
}
