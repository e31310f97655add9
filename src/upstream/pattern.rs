//! The names of models that an upstream serves: a literal name, or a pattern in which `*` stands for anything.
//!
//! Matching is case-sensitive, as providers are, and takes time proportional to pattern times name at worst: no
//! backtracking that a hostile model name could make explode.

use std::fmt;

/// One entry of an upstream's `models`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ModelPattern(String);

impl ModelPattern {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names one model only.
    pub(super) fn is_literal(&self) -> bool {
        !self.0.contains('*')
    }

    /// Whether `model` is meant. The last `*` seen takes one byte more whenever what follows it does not fit; an
    /// earlier one never needs to be tried again.
    pub(super) fn matches(&self, model: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), model.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            if pattern.get(p) == Some(&b'*') {
                star = Some((p, n));
                p += 1;
            } else if pattern.get(p) == Some(&name[n]) {
                p += 1;
                n += 1;
            } else if let Some((at, taken)) = star {
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|&byte| byte == b'*')
    }
}

impl fmt::Debug for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        ModelPattern::new(pattern.into()).matches(name)
    }

    #[test]
    fn a_star_stands_for_anything_anywhere() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "a/b"),
            ("gpt-*", "gpt-4o"),
            ("gpt-*", "gpt-"),
            ("*-mini", "gpt-4o-mini"),
            ("meta-llama/*", "meta-llama/Llama-3"),
            ("a*b*c", "aXbYbZc"),
            ("**o", "4o"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("gpt-*", "GPT-4"),
            ("gpt-*", "xgpt-4"),
            ("*-mini", "mini"),
            ("a*b*c", "acb"),
            ("gpt-4o", "gpt-4o-mini"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        assert!(!matches(&"a*".repeat(200), &"a".repeat(100).repeat(50).replace("aa", "ab")[..199]));
        assert!(!matches(&("*a".repeat(500) + "b"), &"a".repeat(10_000)));
    }
}
