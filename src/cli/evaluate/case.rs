//! A line of an evaluation: a request, and which of its tools were needed.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// A case. The request stays as it is written, since its bytes are what is measured.
#[derive(Debug)]
pub(super) struct Case<'a> {
    pub(super) id: Option<String>,
    pub(super) source: Cow<'a, str>,
    pub(super) group: Option<String>,
    pub(super) plan: bool,
    pub(super) request: &'a str,
    pub(super) needed: Vec<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    // Some write numbers.
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    group: Option<&'a RawValue>,
    #[serde(default)]
    plan: bool,
    #[serde(borrow)]
    request: &'a RawValue,
    needed: Vec<String>,
}

impl<'a> Case<'a> {
    /// Reads a line.
    ///
    /// # Errors
    /// It is no JSON, or lacks `request` or `needed`.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        let line: Line<'a> = serde_json::from_slice(line)?;
        Ok(Self {
            id: line.id.map(plain),
            source: line.source.unwrap_or(Cow::Borrowed("all cases")),
            group: line.group.map(plain),
            plan: line.plan,
            request: line.request.get(),
            needed: line.needed,
        })
    }

    /// What its conversation is called.
    pub(super) fn conversation(&self) -> Option<&str> {
        self.group.as_deref().or(self.id.as_deref())
    }
}

/// A text without its quotes; anything else as it is written.
fn plain(value: &RawValue) -> String {
    serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_ignored_and_what_is_missing_is_told() {
        let line =
            br#"{"id": 7, "group": "g", "kind": "x", "request": {"a": 1.0}, "needed": ["n"], "z": []}"#;
        let case = Case::read(line).unwrap();
        assert_eq!((case.id.as_deref(), case.conversation(), case.plan), (Some("7"), Some("g"), false));
        assert_eq!(
            (case.request, &case.needed[..], &*case.source),
            (r#"{"a": 1.0}"#, &["n".to_owned()][..], "all cases")
        );
        let error = Case::read(br#"{"request": {}}"#).unwrap_err().to_string();
        assert!(error.contains("needed"), "{error}");
    }
}
