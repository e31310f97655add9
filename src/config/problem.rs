//! What is wrong with a configuration, said so that it can be put right without a look into the manual: the
//! field, where it was given, the value and the way out. Problems are gathered, not thrown: who deploys wants
//! the whole list at once.

use std::{fmt, io, ops::RangeInclusive, path::PathBuf, time::Duration};

use crate::config::{
    duration,
    layers::{Origin, Origins},
};

/// One field that cannot be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its path: `server.listen`, `upstreams[0].name`.
    pub field: String,
    /// Where it was given; `None` when it is missing, or is a default.
    pub origin: Option<Origin>,
    /// What is wrong, with which value, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there, may not be read, or is not UTF-8.
    #[error("the configuration file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no TOML. The offending line is not shown: it may hold a password.
    #[error("{}, line {line}, column {column} is not TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, in characters, from 1.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// Fields that are unknown, of the wrong shape, or out of bounds; never empty.
    #[error("the configuration has {}:{}", count(problems.len()), list(problems))]
    Invalid {
        /// All of them.
        problems: Vec<Problem>,
    },
}

fn count(problems: usize) -> String {
    if problems == 1 { "a problem".to_owned() } else { format!("{problems} problems") }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("\n  {problem}")).collect()
}

/// Problems while they are gathered.
#[derive(Debug)]
pub(super) struct Problems<'a> {
    origins: &'a Origins,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    /// None yet, of values that came from `origins`.
    pub(super) fn new(origins: &'a Origins) -> Self {
        Self { origins, found: Vec::new() }
    }

    /// Adds one about `field`.
    pub(super) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let field = field.into();
        let origin = self.origins.given(&field).cloned();
        self.found.push(Problem { field, origin, message: message.into() });
    }

    /// Adds one unless the number lies within `bounds`.
    pub(super) fn within<N: PartialOrd + fmt::Display>(
        &mut self,
        field: &str,
        number: N,
        bounds: RangeInclusive<N>,
    ) {
        if !bounds.contains(&number) {
            let (least, most) = (bounds.start(), bounds.end());
            self.add(field, format!("{number} is out of bounds: give {least} to {most}"));
        }
    }

    /// Adds one unless the duration lies within `bounds`.
    pub(super) fn lasts(&mut self, field: &str, given: Duration, bounds: RangeInclusive<Duration>) {
        if !bounds.contains(&given) {
            let [given, least, most] = [given, *bounds.start(), *bounds.end()].map(duration::format);
            self.add(field, format!("\"{given}\" is out of bounds: give \"{least}\" to \"{most}\""));
        }
    }

    /// Where a field was given.
    pub(super) fn origin(&self, field: &str) -> &'a Origin {
        self.origins.of(field)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// They, in the order they were found.
    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.found
    }
}
