//! From a message to the members of a JSON object.

use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage, Value};
use serde_json::{Map, Value as Json};

use super::{EXTRA, TypedError, declared, values};

/// The members of a message: its fields under their proto names, and beside them what is in `extra`.
pub(super) fn members(message: &DynamicMessage) -> Result<Map<String, Json>, TypedError> {
    let descriptor = message.descriptor();
    let mut members = Map::new();
    for field in descriptor.fields().filter(|field| field.name() != EXTRA && is_written(message, field)) {
        let json = json_of(&message.get_field(&field)).map_err(|error| error.within(field.name()))?;
        members.insert(field.name().to_owned(), json);
    }
    let extra = message.get_field_by_name(EXTRA);
    let Some(extra) = extra.as_deref().and_then(Value::as_message) else { return Ok(members) };
    for (name, json) in values::struct_members(extra).map_err(|error| error.within(EXTRA))? {
        if declared(&descriptor, &name).is_some() {
            return Err(TypedError::Declared { param: name }.within(EXTRA));
        }
        members.insert(name, json);
    }
    Ok(members)
}

/// A field that cannot be unset (`role`, `type`, `name`) is written whatever it holds: OpenAI requires those,
/// and the provider's word on an empty one is better than ours on a missing one.
fn is_written(message: &DynamicMessage, field: &FieldDescriptor) -> bool {
    message.has_field(field) || !(field.supports_presence() || field.is_list() || field.is_map())
}

fn json_of(value: &Value) -> Result<Json, TypedError> {
    match value {
        Value::Bool(value) => Ok(Json::from(*value)),
        Value::I32(value) => Ok(Json::from(*value)),
        Value::I64(value) => Ok(Json::from(*value)),
        Value::U32(value) => Ok(Json::from(*value)),
        Value::U64(value) => Ok(Json::from(*value)),
        Value::F32(value) => values::number(f64::from(*value)),
        Value::F64(value) => values::number(*value),
        Value::String(value) => Ok(Json::from(value.as_str())),
        Value::List(list) => values::array(list, json_of),
        Value::Message(message) => match message.descriptor().full_name() {
            values::VALUE => values::value_json(message),
            values::STRUCT => values::struct_members(message).map(Json::Object),
            _ => members(message).map(Json::Object),
        },
        Value::Bytes(_) | Value::EnumNumber(_) | Value::Map(_) => {
            Err(TypedError::Unmapped { param: String::new() })
        }
    }
}
