//! Names of fields as clients give them, in bodies and queries: which field is meant, which ones are not the
//! client's to give, and what to say of a name that is none.

use std::borrow::Cow;

use prost_reflect::{FieldDescriptor, MessageDescriptor};

use super::{bindings::Binding, headers::HeaderField};

/// Members that are not the body's to set, each with the reason.
pub(super) struct Taken<'a> {
    /// Fields that the path gives.
    pub(super) by_path: &'a [FieldDescriptor],
    /// Fields that a header gives.
    pub(super) by_header: &'a [HeaderField],
    /// The field that is made from the members.
    pub(super) mask: Option<&'a FieldDescriptor>,
    /// The field that is the whole body, seen from the query.
    pub(super) by_body: Option<&'a FieldDescriptor>,
}

impl<'a> Taken<'a> {
    /// Nothing is taken: below the top, every field is the client's.
    pub(super) const NOTHING: Self = Taken { by_path: &[], by_header: &[], mask: None, by_body: None };

    /// What a binding takes, but for the field that is the body.
    pub(super) fn of(binding: &'a Binding) -> Self {
        let Binding { by_path, by_header, mask, .. } = binding;
        Self { by_path, by_header, mask: mask.as_ref(), by_body: None }
    }

    /// Why a client may not give this field, if so.
    pub(super) fn why(&self, field: &FieldDescriptor) -> Option<Cow<'static, str>> {
        if self.mask == Some(field) {
            return Some("it is made from the members of the body; leave it out".into());
        }
        if self.by_body == Some(field) {
            return Some("the body gives it; leave it out".into());
        }
        if let Some(header) = self.by_header.iter().find(|header| header.field == *field) {
            return Some(format!("the header `{}` gives it; send it there", header.spelling).into());
        }
        self.by_path.contains(field).then_some("the path gives it; leave it out".into())
    }
}

/// The field of this name, in the proto's spelling or in proto3 JSON's.
pub(super) fn field_named(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name))
}

/// What to say of a name that is no field.
pub(super) fn unknown(what: &str, message: &MessageDescriptor, taken: &Taken<'_>) -> String {
    let known: Vec<String> = message
        .fields()
        .filter(|field| taken.why(field).is_none())
        .map(|field| format!("`{}`", field.name()))
        .collect();
    match known.is_empty() {
        true => format!("there is no such {what}; none is taken here"),
        false => format!("there is no such {what}; known are {}", known.join(", ")),
    }
}

/// The field's other name, beside the one that was given.
pub(super) fn other_spelling<'a>(field: &'a FieldDescriptor, name: &str) -> &'a str {
    if field.name() == name { field.json_name() } else { field.name() }
}
