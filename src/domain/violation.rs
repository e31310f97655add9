//! What is wrong with an input: every offending field at once, each with the value and the way out.

use std::fmt;

/// One field that cannot be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in the request, in proto names: `allowed_tools[3]`.
    pub field: String,
    /// A sentence for people: what was wrong, with which value, and what to do.
    pub message: String,
}

/// All violations of one input, never empty where it is used as an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A single one.
    pub fn one(field: impl Into<String>, message: impl Into<String>) -> Self {
        let mut all = Self::new();
        all.add(field, message);
        all
    }

    /// Adds one.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Violation { field: field.into(), message: message.into() });
    }

    /// Adds those of an `Err`, or gives the value of an `Ok`.
    pub fn collect<T>(&mut self, result: Result<T, Violations>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(more) => {
                self.0.extend(more.0);
                None
            }
        }
    }

    /// `Ok` while there are none.
    pub fn into_result(self) -> Result<(), Violations> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// They, in the order they were found.
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, violation) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", violation.field, violation.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}

/// A value as it may stand in a message: quoted, without control characters, cut after 64 characters.
pub fn shown(value: &str) -> String {
    let cut: String = value.chars().take(64).flat_map(char::escape_debug).collect();
    let more = if value.chars().nth(64).is_some() { "…" } else { "" };
    format!("\"{cut}{more}\"")
}
