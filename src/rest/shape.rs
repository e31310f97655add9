//! How a message looks in JSON: most are objects, a few are something else, and some have no JSON here at all.
//! Bodies, query parameters and answers ask this file, so that the three agree.
//!
//! What has no JSON is found at the start, by walking the types of every bound method, not at a request.

use std::collections::HashSet;

use prost_reflect::{EnumDescriptor, EnumValueDescriptor, FieldDescriptor, Kind, MessageDescriptor};

/// The JSON form of a message.
pub(super) enum Shape {
    /// An object with a member for each field.
    Object,
    /// A bare array of the entries of this field: the message is a list that can also be absent.
    List(FieldDescriptor),
    /// `google.protobuf.Timestamp`: an RFC 3339 string.
    Timestamp,
    /// `google.protobuf.Struct`: an object of any members.
    Struct,
    /// `google.protobuf.Value`: any value.
    Value,
    /// `google.protobuf.FieldMask`: filled from the members of the body, never written by clients.
    Mask,
    /// A well-known type that these routes have no use for yet.
    None,
}

/// The shape of a message.
pub(super) fn of(message: &MessageDescriptor) -> Shape {
    match message.full_name() {
        "google.protobuf.Timestamp" => return Shape::Timestamp,
        "google.protobuf.Struct" => return Shape::Struct,
        "google.protobuf.Value" => return Shape::Value,
        "google.protobuf.FieldMask" => return Shape::Mask,
        "google.protobuf.ListValue" | "google.protobuf.Empty" => {}
        name if name.starts_with("google.") => return Shape::None,
        _ => {}
    }
    let mut fields = message.fields();
    match (fields.next(), fields.next()) {
        (Some(only), None)
            if only.name() == "values" && only.number() == 1 && only.is_list() && !only.is_map() =>
        {
            Shape::List(only)
        }
        _ => Shape::Object,
    }
}

/// Whether a message is `google.protobuf.Value`, for which `null` is a value like others.
pub(super) fn is_any_value(kind: &Kind) -> bool {
    matches!(kind, Kind::Message(message) if message.full_name() == "google.protobuf.Value")
}

/// The field that is filled from the members of a body.
pub(super) fn update_mask(message: &MessageDescriptor) -> Option<FieldDescriptor> {
    let field = message.get_field_by_name("update_mask")?;
    let kind = field.kind();
    let is_mask = matches!(kind.as_message().map(of), Some(Shape::Mask));
    (is_mask && !field.is_list()).then_some(field)
}

/// The first field below `message` that has no JSON form, as `path (type)`. At the top `except` needs none.
pub(super) fn unrepresentable(
    message: &MessageDescriptor,
    except: Option<&FieldDescriptor>,
) -> Option<String> {
    let mut seen = HashSet::from([message.full_name().to_owned()]);
    let mut ahead: Vec<(String, FieldDescriptor)> =
        message.fields().filter(|field| Some(field) != except).map(|f| (f.name().to_owned(), f)).collect();
    while let Some((path, field)) = ahead.pop() {
        if field.is_group() {
            return Some(format!("{path} (a group)"));
        }
        let Kind::Message(inner) = field.kind() else { continue };
        match of(&inner) {
            Shape::None | Shape::Mask => return Some(format!("{path} ({})", inner.full_name())),
            Shape::Timestamp | Shape::Struct | Shape::Value => {}
            Shape::Object | Shape::List(_) if !seen.insert(inner.full_name().to_owned()) => {}
            Shape::Object | Shape::List(_) => {
                ahead.extend(inner.fields().map(|f| (format!("{path}.{}", f.name()), f)));
            }
        }
    }
    None
}

/// The word of an enum value: lower-case, without its type's prefix. `None` for the value that means "not set",
/// which is neither taken nor printed.
pub(super) fn word(value: &EnumValueDescriptor) -> Option<String> {
    let prefix = screaming(value.parent_enum().name());
    let name = value.name();
    let bare = name.strip_prefix(&prefix).and_then(|rest| rest.strip_prefix('_')).unwrap_or(name);
    (value.number() != 0 || bare != "UNSPECIFIED").then(|| bare.to_ascii_lowercase())
}

/// The words that an enum's fields take.
pub(super) fn words(of: &EnumDescriptor) -> Vec<(String, i32)> {
    of.values().filter_map(|value| Some((word(&value)?, value.number()))).collect()
}

/// `ToolMode` to `TOOL_MODE`.
fn screaming(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for (i, c) in name.chars().enumerate() {
        let after_lower = i > 0 && !name.as_bytes()[i - 1].is_ascii_uppercase();
        if c.is_ascii_uppercase() && after_lower {
            out.push('_');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}
