//! Entries of a list: names, and patterns in which `*` stands for any run of characters, also an empty one.
//!
//! A pattern is matched piece by piece, each at its leftmost place, which is right because only `*` lies between
//! pieces; the time is linear in the name, so no pattern that a caller stores can slow the chat path down.

use std::collections::HashMap;

use memchr::memmem;

/// One pattern.
#[derive(Debug)]
pub(super) struct Glob {
    text: Box<str>,
    prefix: Box<[u8]>,
    middles: Vec<memmem::Finder<'static>>,
    suffix: Box<[u8]>,
}

impl Glob {
    /// Compiles `text`; `None` when it has no `*` and so is a name.
    fn compile(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_once('*')?;
        let (middles, suffix) = rest.rsplit_once('*').unwrap_or(("", rest));
        let middles = middles.split('*').filter(|piece| !piece.is_empty());
        Some(Self {
            text: text.into(),
            prefix: prefix.as_bytes().into(),
            middles: middles.map(|piece| memmem::Finder::new(piece).into_owned()).collect(),
            suffix: suffix.as_bytes().into(),
        })
    }

    /// Whether the pattern matches all of `name`. Bytes are enough: UTF-8 has no character within another.
    fn matches(&self, name: &str) -> bool {
        let Some(rest) = name.as_bytes().strip_prefix(&*self.prefix) else { return false };
        let Some(mut rest) = rest.strip_suffix(&*self.suffix) else { return false };
        for middle in &self.middles {
            let Some(at) = middle.find(rest) else { return false };
            rest = &rest[at + middle.needle().len()..];
        }
        true
    }
}

/// The entries of one list, compiled.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Each with its place in the list.
    names: HashMap<Box<str>, usize>,
    globs: Vec<(Glob, usize)>,
}

impl Entries {
    /// Compiles the entries of a list.
    pub(super) fn compile<'e>(entries: impl Iterator<Item = &'e str>) -> Self {
        let mut all = Self::default();
        for (place, entry) in entries.enumerate() {
            match Glob::compile(entry) {
                Some(glob) => all.globs.push((glob, place)),
                None => {
                    all.names.entry(entry.into()).or_insert(place);
                }
            }
        }
        all
    }

    /// How many of the entries are patterns.
    pub(super) fn patterns(&self) -> usize {
        self.globs.len()
    }

    /// Whether an entry matches `name`.
    pub(super) fn matches(&self, name: &str) -> bool {
        self.names.contains_key(name) || self.globs.iter().any(|(glob, _)| glob.matches(name))
    }

    /// The place in the list of an entry that matches `name`: a name before patterns, and of these the first.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        let pattern = || self.globs.iter().find(|(glob, _)| glob.matches(name)).map(|(_, place)| *place);
        self.names.get(name).copied().or_else(pattern)
    }

    /// Whether each entry of `other` is covered by a single entry of these.
    ///
    /// One pattern covers another when it matches the other's *text*: no piece between its stars holds a `*`, so
    /// a `*` of the other is only ever consumed by one of its own, which would consume whatever stands there just
    /// as well. Every name that the other matches is therefore matched too.
    pub(super) fn cover(&self, other: &Entries) -> bool {
        let globs = other.globs.iter().map(|(glob, _)| &glob.text);
        other.names.keys().chain(globs).all(|entry| self.covers_entry(entry))
    }

    fn covers_entry(&self, entry: &str) -> bool {
        self.matches(entry) || self.globs.iter().any(|(glob, _)| &*glob.text == entry)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Entries::compile([pattern].into_iter()).matches(name)
    }

    #[test]
    fn a_star_stands_for_any_run_anywhere() {
        for (pattern, name, expected) in [
            ("github_*", "github_get", true),
            ("github_*", "github_", true),
            ("github_*", "github", false),
            ("*_get", "github_get", true),
            ("*_get", "github_get_2", false),
            ("a*c", "ac", true),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
            ("**", "x", true),
            ("a**b", "ab", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "acb", false),
            ("*b*b*", "b", false),
            ("*b*b*", "bb", true),
            ("é*é", "éé", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_the_name_is_long() {
        let pattern = "*a".repeat(100) + "b";
        assert!(!matches(&pattern, &"a".repeat(1_000_000)));
    }

    #[test]
    fn an_entry_that_matches_is_found_by_its_place() {
        let entries = Entries::compile(["git*", "github", "*hub", "github"].into_iter());
        for (name, place) in [("github", Some(1)), ("gitlab", Some(0)), ("dochub", Some(2)), ("svn", None)] {
            assert_eq!((entries.find(name), entries.matches(name)), (place, place.is_some()), "{name}");
        }
    }

    /// The textbook definition, exponential but plainly right.
    fn reference(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|at| reference(rest, &name[at..])),
            Some((byte, rest)) => name.split_first().is_some_and(|(b, n)| b == byte && reference(rest, n)),
        }
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_definition(pattern in "[ab*]{0,7}", name in "[ab]{0,9}") {
            prop_assert_eq!(matches(&pattern, &name), reference(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
