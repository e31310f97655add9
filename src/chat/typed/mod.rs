//! Between our typed chat messages and OpenAI's JSON. One converter for all of them, led by their descriptors:
//! a field that joins the proto is carried from then on, without a line here.
//!
//! proto3's own JSON mapping is not OpenAI's: it writes camel case, 64-bit integers as strings, and has no place
//! for members that a message does not know. Here those are merged from and into `extra` at every level. What a
//! member means, and whether it may be there, is left to the pipeline, which reads the bytes made here like any
//! client's. `Struct` holds numbers as doubles and its members in no order: they are written sorted, so that the
//! same request gives the same bytes.

mod decode;
mod encode;
mod values;

#[cfg(test)]
mod tests;

use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value as Json;

/// The field that holds what a message does not know.
const EXTRA: &str = "extra";

/// Why a message and a JSON text cannot be made from each other. From `to_json` it is the caller's doing, from
/// `from_json` the provider's.
#[derive(Debug, thiserror::Error)]
pub enum TypedError {
    /// `extra` names a member that the message has a field for: two values for one name.
    #[error("`{param}` names a field of the message itself: set that field instead")]
    Declared {
        /// Where, as in `tools[2].extra.type`.
        param: String,
    },
    /// `extra` says whether to stream.
    #[error("`{param}` is said by the call: StreamChatCompletion streams, CreateChatCompletion does not")]
    Stream {
        /// Always `extra.stream`.
        param: String,
    },
    /// A number that JSON has no way to write.
    #[error("`{param}` is not a finite number")]
    NotFinite {
        /// Where.
        param: String,
    },
    /// A field of a kind that OpenAI's JSON has no equal of. Chat messages have none; a test sees to it.
    #[error("`{param}` has a type that cannot be written as JSON")]
    Unmapped {
        /// Where.
        param: String,
    },
    /// Values that lie deeper in each other than protobuf can carry (100 messages, three for each JSON level).
    #[error("the values lie too deep in each other for a typed message")]
    TooDeep(#[source] prost::DecodeError),
    /// An answer that is no JSON object.
    #[error("the answer is not a JSON object")]
    NotAnObject(#[source] Option<serde_json::Error>),
}

impl TypedError {
    /// The path of the field that is wrong, where there is one.
    pub fn param(&self) -> Option<&str> {
        match self {
            Self::Declared { param }
            | Self::Stream { param }
            | Self::NotFinite { param }
            | Self::Unmapped { param } => Some(param),
            Self::TooDeep(_) | Self::NotAnObject(_) => None,
        }
    }

    /// The same error, seen from one level further out.
    fn within(mut self, outer: &str) -> Self {
        if let Self::Declared { param }
        | Self::Stream { param }
        | Self::NotFinite { param }
        | Self::Unmapped { param } = &mut self
        {
            let dot = if param.is_empty() || param.starts_with('[') { "" } else { "." };
            *param = format!("{outer}{dot}{param}");
        }
        self
    }
}

/// A chat request as OpenAI's JSON. Fields that are not set, empty lists and an empty `model` are left out, and
/// so is an unset message; a `Value` that is null is written. `streamed` adds `"stream": true`.
pub fn to_json(
    message: &impl Message,
    descriptor: MessageDescriptor,
    streamed: bool,
) -> Result<Vec<u8>, TypedError> {
    let bytes = message.encode_to_vec();
    let message = DynamicMessage::decode(descriptor, bytes.as_slice()).map_err(TypedError::TooDeep)?;
    let mut members = encode::members(&message)?;
    // No message declares it, so it can only come from `extra`.
    if members.contains_key("stream") {
        return Err(TypedError::Stream { param: format!("{EXTRA}.stream") });
    }
    if members.get("model").is_some_and(|model| model == "") {
        members.remove("model");
    }
    if streamed {
        members.insert("stream".to_owned(), Json::Bool(true));
    }
    Ok(Json::Object(members).to_string().into_bytes())
}

/// An answer, or one chunk of it, from OpenAI's JSON. Members that a message does not know go into its `extra`,
/// null ones too. So does a known member of another type than its field's: a provider that writes `created` as a
/// text should not cost the caller the answer. A known member that is null leaves its field unset.
pub fn from_json<M: Message + Default>(json: &[u8], descriptor: MessageDescriptor) -> Result<M, TypedError> {
    match serde_json::from_slice(json) {
        Ok(Json::Object(members)) => {
            decode::message(descriptor, &members).transcode_to().map_err(TypedError::TooDeep)
        }
        Ok(_) => Err(TypedError::NotAnObject(None)),
        Err(error) => Err(TypedError::NotAnObject(Some(error))),
    }
}

/// The message type of a field, if it is a message.
fn message_kind(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(descriptor) => Some(descriptor),
        _ => None,
    }
}

/// The field for a member of this name. A member that is itself called `extra` has none: it is unknown.
fn declared(descriptor: &MessageDescriptor, member: &str) -> Option<FieldDescriptor> {
    if member == EXTRA { None } else { descriptor.get_field_by_name(member) }
}
