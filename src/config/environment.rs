//! The environment, read once and handed in from here on, so that tests need no process environment and nobody
//! can look up a variable unnoticed. Its values are credentials as often as not: `Debug` shows names only.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The prefix of our variables.
const PREFIX: &str = "ORQEN_";

/// A snapshot of environment variables.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// Names whose values are not UTF-8: refused where they are used, not passed over.
    unreadable: BTreeSet<String>,
}

impl Environment {
    /// The environment of this process. `std::env::vars` would panic on a value that is not UTF-8.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => environment.variables.insert(name, value),
                Err(_) => {
                    environment.unreadable.insert(name);
                    None
                }
            };
        }
        environment
    }

    /// The value of a variable. An empty one counts as unset.
    pub fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// The variables that are configuration, each with its path (`["server", "listen"]`); a value of `None` is
    /// not UTF-8.
    pub(super) fn configuration(&self) -> impl Iterator<Item = (&str, Vec<String>, Option<&str>)> {
        let readable = self.variables.iter().filter(|(_, value)| !value.is_empty());
        let values = readable.map(|(name, value)| (name.as_str(), Some(value.as_str())));
        values
            .chain(self.unreadable.iter().map(|name| (name.as_str(), None)))
            .filter_map(|(name, value)| Some((name, path(name)?, value)))
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, unreadable: BTreeSet::new() }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// The variable that sets the field at a dotted path.
pub(super) fn variable(field: &str) -> String {
    format!("{PREFIX}{}", field.replace('.', "__").to_uppercase())
}

fn path(name: &str) -> Option<Vec<String>> {
    let rest = name.strip_prefix(PREFIX)?;
    rest.contains("__").then(|| rest.split("__").map(str::to_lowercase).collect())
}
