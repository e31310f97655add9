//! The merged tables read into the sections, with every problem told and not only the first.
//!
//! serde stops at one error a value. So each field is tried alone, in the place of its example in the
//! reference: what fails is that field's fault, and the others are still looked at. Only a section whose fields
//! all fit is read whole and asked for values that are out of bounds.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{
    config::{
        Config, Origin, Origins, Problem, environment,
        problem::Problems,
        reference::{self, FIELDS},
        upstream,
    },
    domain::violation::shown,
};

/// A section, or an upstream.
pub(super) trait Section: DeserializeOwned {
    /// Adds every value that is out of bounds; `at` is the section's path.
    fn check(&self, at: &str, problems: &mut Problems<'_>);
}

/// Reads the merged table; `stray` is what could not be merged into it.
pub(super) fn config(table: Table, origins: &Origins, stray: Vec<Problem>) -> Result<Config, Vec<Problem>> {
    let mut problems = Problems::new(origins);
    for name in table.keys().filter(|name| !FIELDS.contains_key(*name)) {
        problems.add(name.clone(), unknown(name, "", &FIELDS));
    }
    section::<super::Server>("server", &table, &mut problems);
    section::<super::Store>("store", &table, &mut problems);
    section::<super::Auth>("auth", &table, &mut problems);
    upstreams(&table, &mut problems);
    section::<super::Demo>("demo", &table, &mut problems);
    section::<super::Policy>("policy", &table, &mut problems);
    let pruning = section::<super::Pruning>("pruning", &table, &mut problems);
    if let Some(embeddings) = pruning.and_then(|pruning| pruning.embeddings) {
        embeddings.check_upstream(&upstream_names(&table), &mut problems);
    }
    section::<super::Usage>("usage", &table, &mut problems);
    section::<super::Limits>("limits", &table, &mut problems);
    section::<super::Redis>("redis", &table, &mut problems);
    section::<super::Log>("log", &table, &mut problems);
    section::<super::Otel>("otel", &table, &mut problems);

    let mut found = stray;
    found.extend(problems.into_vec());
    if !found.is_empty() {
        return Err(found);
    }
    Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        let message = error.message().to_owned();
        vec![Problem { field: "configuration".to_owned(), origin: None, message }]
    })
}

fn section<S: Section>(name: &str, table: &Table, problems: &mut Problems<'_>) -> Option<S> {
    let fields = FIELDS.get(name).and_then(Value::as_table).expect("the reference has every section");
    read::<S>(name, table.get(name)?, fields, problems)
}

/// The names of the upstreams, also of those that have a fault elsewhere.
fn upstream_names(table: &Table) -> Vec<&str> {
    let all = table.get("upstreams").and_then(Value::as_array);
    all.into_iter().flatten().filter_map(|upstream| upstream.get("name")?.as_str()).collect()
}

fn upstreams(table: &Table, problems: &mut Problems<'_>) {
    let mut names = Vec::new();
    match table.get("upstreams") {
        None => {}
        Some(Value::Array(all)) => {
            for (i, value) in all.iter().enumerate() {
                let at = format!("upstreams[{i}]");
                let upstream: Option<super::Upstream> = read(&at, value, reference::upstream(), problems);
                names.extend(upstream.map(|upstream| (format!("{at}.name"), upstream.name)));
            }
        }
        Some(_) => problems.add("upstreams", "is a list of tables: write `[[upstreams]]`, with two brackets"),
    }
    upstream::check_unique(&names, problems);
}

/// Reads one section, if it can be read at all.
fn read<S: Section>(at: &str, value: &Value, fields: &Table, problems: &mut Problems<'_>) -> Option<S> {
    let Value::Table(given) = value else {
        problems.add(at, not_a_table(at));
        return None;
    };
    let before = problems.len();
    Fields::<S> { root: fields, read: S::deserialize }.walk(&Place { at, path: &[] }, given, problems);
    if problems.len() > before {
        return None;
    }
    match S::deserialize(value.clone()) {
        Ok(section) => {
            section.check(at, problems);
            Some(section)
        }
        Err(error) => {
            problems.add(at, error.message());
            None
        }
    }
}

/// The fields of a section as the reference shows them, and how the section is read.
struct Fields<'a, S> {
    root: &'a Table,
    read: fn(Value) -> Result<S, toml::de::Error>,
}

/// A table within a section: its whole path, and its path below the section.
struct Place<'a> {
    at: &'a str,
    path: &'a [&'a str],
}

impl<S> Fields<'_, S> {
    fn walk(&self, place: &Place<'_>, given: &Table, problems: &mut Problems<'_>) {
        let known = place.path.iter().fold(self.root, |table, name| {
            table.get(*name).and_then(Value::as_table).expect("only tables of the reference are entered")
        });
        for (name, value) in given {
            let field = format!("{}.{name}", place.at);
            let path = [place.path, &[name.as_str()]].concat();
            match (known.get(name), value) {
                (None, _) => problems.add(field, unknown(name, place.at, known)),
                (Some(Value::Table(_)), Value::Table(inner)) if !reference::is_free(name) => {
                    self.walk(&Place { at: &field, path: &path }, inner, problems);
                }
                (Some(Value::Table(_)), _) if !reference::is_free(name) => {
                    problems.add(field.clone(), not_a_table(&field));
                }
                (Some(example), value) => {
                    if let Err(error) = (self.read)(replaced(self.root, &path, Some(value))) {
                        let origin = problems.origin(&field);
                        problems.add(
                            field.clone(),
                            misshapen(&field, value, &error, &way_out(&field, example, origin)),
                        );
                    }
                }
            }
        }
        for (name, example) in known.iter().filter(|(name, _)| !given.contains_key(*name)) {
            let path = [place.path, &[name.as_str()]].concat();
            if (self.read)(replaced(self.root, &path, None)).is_err() {
                let field = format!("{}.{name}", place.at);
                let way_out = way_out(&field, example, &Origin::Default);
                problems.add(field, format!("is missing: {way_out}"));
            }
        }
    }
}

/// `table` with the field at `path` set to `value`, or taken out.
fn replaced(table: &Table, path: &[&str], value: Option<&Value>) -> Value {
    let mut table = table.clone();
    match (path, value) {
        ([], _) => {}
        ([name], Some(value)) => {
            table.insert((*name).to_owned(), value.clone());
        }
        ([name], None) => {
            table.remove(*name);
        }
        ([name, below @ ..], value) => {
            if let Some(Value::Table(inner)) = table.get(*name) {
                let inner = replaced(inner, below, value);
                table.insert((*name).to_owned(), inner);
            }
        }
    }
    Value::Table(table)
}

fn not_a_table(at: &str) -> String {
    let header = if at.starts_with("upstreams") { "[[upstreams]]".to_owned() } else { format!("[{at}]") };
    format!("is a table of fields: write `{header}` on a line of its own, and its fields below")
}

fn unknown(name: &str, at: &str, known: &Table) -> String {
    let kind = if at.is_empty() { "section" } else { "field" };
    if let Some(meant) = reference::nearest(name, known.keys().map(String::as_str)) {
        return format!("is no {kind}; did you mean `{meant}`?");
    }
    let elsewhere = reference::paths();
    if let Some(field) = elsewhere.iter().find(|field| field.rsplit('.').next() == Some(name)) {
        return format!("is no {kind}; did you mean `{field}`?");
    }
    let known: Vec<_> = known.keys().map(|name| format!("`{name}`")).collect();
    format!("is no {kind}; known are {}", known.join(", "))
}

fn misshapen(field: &str, value: &Value, error: &toml::de::Error, way_out: &str) -> String {
    // What serde says of a value repeats it: neither is for a secret.
    if reference::is_secret(field) {
        return format!("does not fit: {way_out}");
    }
    let value = match value {
        Value::String(text) => shown(text),
        other => other.to_string().chars().take(64).collect(),
    };
    let reason = error.message();
    let reason = match reason.split_once(", expected ") {
        Some((what, expected)) if what.starts_with("invalid ") => format!("expected {expected}"),
        _ => reason.to_owned(),
    };
    format!("{value} does not fit ({reason}): {way_out}")
}

/// How the field is written, in the place where it was given.
fn way_out(field: &str, example: &Value, origin: &Origin) -> String {
    let example = match example {
        Value::Array(list) if list.is_empty() => "[\"…\"]".to_owned(),
        other => other.to_string(),
    };
    let name = field.rsplit('.').next().unwrap_or(field);
    match origin {
        Origin::Variable(_) => {
            format!("write it like `{}='{}'`", environment::variable(field), example.trim_matches('"'))
        }
        _ => format!("write it like `{name} = {example}`"),
    }
}
