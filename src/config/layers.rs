//! The sources laid over each other, and for every value where it came from. Tables are merged field by field;
//! a list replaces a list, since nobody can guess which upstream an entry was meant to change.

use std::{collections::BTreeMap, fmt, path::Path, path::PathBuf};

use toml::{Table, Value};

use crate::config::{
    ConfigError, Environment, Loaded, Problem, environment, inspect,
    reference::{self, DEFAULTS},
};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The embedded reference.
    Default,
    /// A file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File(path) => path.display().fmt(f),
            Origin::Variable(name) => f.write_str(name),
        }
    }
}

/// The origin of every value that is not a default, by its path (`server.listen`, `upstreams[0].name`).
#[derive(Debug, Clone, Default)]
pub struct Origins(BTreeMap<String, Origin>);

impl Origins {
    /// Where the value of a field came from.
    pub fn of(&self, field: &str) -> &Origin {
        self.0.get(field).unwrap_or(&Origin::Default)
    }

    /// Where a field was given, if it was: itself, the list it stands in, or what stands in it.
    pub(super) fn given(&self, field: &str) -> Option<&Origin> {
        let within = || self.0.range(field.to_owned()..).find(|(path, _)| is_within(path, field));
        let mut around = field;
        while !self.0.contains_key(around) {
            match around.rfind(['.', '[']) {
                Some(end) => around = &around[..end],
                None => return within().map(|(_, origin)| origin),
            }
        }
        self.0.get(around)
    }

    fn record(&mut self, path: &str, value: &Value, origin: &Origin) {
        match value {
            Value::Table(table) if !table.is_empty() && !reference::is_free(last(path)) => {
                table.iter().for_each(|(name, value)| self.record(&join(path, name), value, origin));
            }
            Value::Array(list) if list.iter().any(Value::is_table) => {
                for (i, element) in list.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    self.record(&path, element, origin);
                    self.0.insert(path, origin.clone());
                }
            }
            _ => {
                self.0.insert(path.to_owned(), origin.clone());
            }
        }
    }
}

fn is_within(path: &str, field: &str) -> bool {
    path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

/// The merged sources, not yet looked at, and what could not be merged.
#[derive(Debug)]
pub(super) struct Layers {
    table: Table,
    origins: Origins,
    stray: Vec<Problem>,
}

impl Layers {
    /// The defaults alone.
    pub(super) fn defaults() -> Self {
        Self { table: DEFAULTS.clone(), origins: Origins::default(), stray: Vec::new() }
    }

    /// Lays the text of a file over what is there.
    pub(super) fn file(&mut self, path: &Path, text: &str) -> Result<(), ConfigError> {
        let given = text.parse().map_err(|error| syntax(path, text, &error))?;
        lay(&mut self.table, &mut self.origins, "", given, &Origin::File(path.to_owned()));
        Ok(())
    }

    /// Lays the environment over what is there.
    pub(super) fn environment(&mut self, env: &Environment) {
        for (name, path, value) in env.configuration() {
            let mut stray = |message: String| {
                self.stray.push(Problem { field: name.to_owned(), origin: None, message });
            };
            match (reference::example(&path), value) {
                (None, _) => stray(unknown_variable(&path)),
                (Some(_), None) => stray("is not UTF-8: write it anew".to_owned()),
                (Some(example), Some(value)) => {
                    let nested = path.iter().rev().fold(typed(value, example), |inner, name| {
                        Value::Table(Table::from_iter([(name.clone(), inner)]))
                    });
                    if let Value::Table(given) = nested {
                        lay(
                            &mut self.table,
                            &mut self.origins,
                            "",
                            given,
                            &Origin::Variable(name.to_owned()),
                        );
                    }
                }
            }
        }
    }

    /// The configuration, or everything that is wrong with it.
    pub(super) fn finish(self) -> Result<Loaded, ConfigError> {
        let Self { table, origins, stray } = self;
        match inspect::config(table, &origins, stray) {
            Ok(config) => Ok(Loaded { config, origins }),
            Err(problems) => Err(ConfigError::Invalid { problems }),
        }
    }
}

fn lay(target: &mut Table, origins: &mut Origins, at: &str, given: Table, origin: &Origin) {
    for (name, value) in given {
        let path = join(at, &name);
        match (target.get_mut(&name), value) {
            (Some(Value::Table(inner)), Value::Table(more)) if !reference::is_free(&name) => {
                lay(inner, origins, &path, more, origin);
            }
            (_, value) => {
                origins.0.retain(|known, _| !is_within(known, &path));
                origins.record(&path, &value, origin);
                target.insert(name, value);
            }
        }
    }
}

/// The text of a variable in the type of its field. What does not fit stays text, and is told with the rest.
fn typed(text: &str, example: &Value) -> Value {
    let value = match example {
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Float(_) => text.trim().parse().ok().map(Value::Float),
        Value::Array(_) => text.trim().parse().ok().filter(Value::is_array),
        _ => None,
    };
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn unknown_variable(path: &[String]) -> String {
    if path.first().is_some_and(|section| section == "upstreams") {
        return "upstreams are a list of tables, which no variable can hold: write `[[upstreams]]` in the file"
            .to_owned();
    }
    let known = reference::paths();
    match reference::nearest(&path.join("."), known.iter().map(String::as_str)) {
        Some(field) => format!("is no field; did you mean {}?", environment::variable(field)),
        None => "is no field; `orqen config show` lists them all".to_owned(),
    }
}

fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> ConfigError {
    let at = error.span().map_or(0, |span| span.start.min(text.len()));
    let before = text.get(..at).unwrap_or_default();
    ConfigError::Syntax {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
        message: error.message().replace('\n', ", "),
    }
}
