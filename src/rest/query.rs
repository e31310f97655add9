//! The query string and the path's variables as fields of the request message: what no body carries.
//!
//! Strict like bodies: an unknown or repeated parameter is a finding, since `?include_revoke=true` that is
//! silently passed over answers another question than the one asked.

use std::collections::HashSet;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};

use super::{
    names::{Taken, field_named, unknown},
    percent,
    refusal::{Findings, shown},
    scalar,
    shape::{self, Shape},
};

/// Sets the path's variables.
pub(super) fn fill_path(
    message: &mut DynamicMessage,
    fields: &[FieldDescriptor],
    texts: &[String],
    findings: &mut Findings,
) {
    for (field, text) in fields.iter().zip(texts) {
        match scalar::from_text(&field.kind(), text) {
            Ok(value) => message.set_field(field, value),
            Err(wrong) => findings.add_at(field.name(), wrong),
        }
    }
}

/// Sets the fields that the query names: `page_size=10`, `parent.child=x`, `tag=a&tag=b`.
pub(super) fn fill(message: &mut DynamicMessage, query: &str, taken: &Taken<'_>, findings: &mut Findings) {
    let mut given = HashSet::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, text) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(text)) = (percent::decode_query(name), percent::decode_query(text)) else {
            let wrong = "expected percent-encoded UTF-8 (`%` as `%25`)";
            findings.add_at(&percent::lossy(name), wrong);
            continue;
        };
        if let Err(wrong) = set(message, &name, &text, &mut given, taken) {
            findings.add_at(&name, wrong);
        }
    }
}

/// Says that no parameter is taken, for bindings whose body is the whole message.
pub(super) fn refuse_all(query: &str, findings: &mut Findings) {
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let name = pair.split_once('=').map_or(pair, |(name, _)| name);
        findings.add_at(&percent::lossy(name), "there is no such parameter; everything goes into the body");
    }
}

fn set(
    message: &mut DynamicMessage,
    name: &str,
    text: &str,
    given: &mut HashSet<Vec<u32>>,
    taken: &Taken<'_>,
) -> Result<(), String> {
    let path = resolve(&message.descriptor(), name, taken)?;
    let Some((last, parents)) = path.split_last() else { return Ok(()) };
    let (element, is_list) = match last.kind() {
        Kind::Message(inner) => match shape::of(&inner) {
            Shape::List(entries) if !last.is_list() => (entries.kind(), true),
            _ => (last.kind(), last.is_list()),
        },
        kind => (kind, last.is_list()),
    };
    if last.is_map() || !scalar::has_text(&element) {
        return Err("it cannot be given in the query".to_owned());
    }
    let value = scalar::from_text(&element, text)?;
    if !given.insert(path.iter().map(FieldDescriptor::number).collect()) && !is_list {
        return Err(format!("the parameter is given more than once, again as {}; give it once", shown(text)));
    }
    let mut holder = message;
    for parent in parents {
        let Value::Message(inner) = holder.get_field_mut(parent) else { return Ok(()) };
        holder = inner;
    }
    if !is_list {
        holder.set_field(last, value);
    } else if let Some(entries) = entries_of(holder, last) {
        entries.push(value);
    }
    Ok(())
}

/// The fields from the root to the one that a dotted name means.
fn resolve(root: &MessageDescriptor, name: &str, taken: &Taken<'_>) -> Result<Vec<FieldDescriptor>, String> {
    let mut path: Vec<FieldDescriptor> = Vec::new();
    let mut within = root.clone();
    let mut names = name.split('.').peekable();
    while let Some(name) = names.next() {
        let taken = if path.is_empty() { taken } else { &Taken::NOTHING };
        let field = field_named(&within, name).ok_or_else(|| unknown("parameter", &within, taken))?;
        if let Some(why) = taken.why(&field) {
            return Err(why.into_owned());
        }
        if names.peek().is_some() {
            let inner = match field.kind() {
                Kind::Message(inner) if !field.is_list() && !field.is_map() => inner,
                _ => return Err(format!("`{}` has no fields of its own", field.name())),
            };
            // Not into a Timestamp or Struct: their fields are no part of their JSON.
            if !matches!(shape::of(&inner), Shape::Object) {
                return Err(format!("`{}` has no fields of its own", field.name()));
            }
            within = inner;
        }
        path.push(field);
    }
    Ok(path)
}

fn entries_of<'m>(holder: &'m mut DynamicMessage, field: &FieldDescriptor) -> Option<&'m mut Vec<Value>> {
    match holder.get_field_mut(field) {
        Value::List(entries) => Some(entries),
        Value::Message(wrapper) => wrapper.get_field_by_number_mut(1)?.as_list_mut(),
        _ => None,
    }
}
