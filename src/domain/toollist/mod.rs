//! The tools that a key may use: an allowlist, a denylist, and which of two such pairs lies within the other.
//!
//! Allowed entries match exactly and denied ones after folding (`fold`): strict on the way in, broad on the way
//! out, so that no spelling of a denied name passes and none of an allowed one is invented. What a request does
//! with the answer is `chat_request`'s business. Compiled once and shared: cloning a key clones a pointer.

mod fold;
mod glob;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Weak},
};

pub(crate) use fold::fold;
use glob::Entries;

use crate::domain::{
    secret::reveals,
    violation::{Violations, shown},
};

/// The most names in one list.
pub const ENTRIES_MAX: usize = 1_000;

/// The longest name or pattern, in characters.
pub const ENTRY_LENGTH_MAX: usize = 256;

/// How many bad entries of one list are reported. A list of 100,000 must not be answered by a megabyte.
const REPORTED_MAX: usize = 20;

/// The tools that a key may use.
#[derive(Clone)]
pub struct Toollist(Option<Arc<Lists>>);

/// Which list it was, for whoever remembers what came of it: equal for clones of one list alone. It keeps no list alive, and
/// while it lives no other list can be taken for the one that it stands for.
#[derive(Clone)]
pub(crate) struct ToollistHandle(Weak<Lists>);

impl PartialEq for ToollistHandle {
    fn eq(&self, other: &Self) -> bool {
        Weak::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for ToollistHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToollistHandle")
    }
}

#[derive(Default)]
struct Lists {
    allowed: Option<Arc<List>>,
    denied: Option<Arc<List>>,
    /// Lists that a name must pass as well: those of a key, within which a token has its own.
    within: Option<Toollist>,
}

struct List {
    given: Vec<String>,
    compiled: Entries,
}

impl Toollist {
    /// A list that holds every tool.
    pub const fn unbound() -> Self {
        Self(None)
    }

    /// What to remember this list by; `None` for one that holds every tool.
    pub(crate) fn handle(&self) -> Option<ToollistHandle> {
        self.0.as_ref().map(|lists| ToollistHandle(Arc::downgrade(lists)))
    }

    /// A list that holds no tool.
    pub fn nothing() -> Self {
        let allowed = List { given: Vec::new(), compiled: Entries::compile(std::iter::empty()) };
        Self(Some(Arc::new(Lists { allowed: Some(Arc::new(allowed)), ..Lists::default() })))
    }

    /// Whether it holds every tool.
    pub fn is_unbound(&self) -> bool {
        self.0.is_none()
    }

    /// Whether no name at all is kept from passing: there is no list, or nothing but an empty denylist.
    pub fn permits_all(&self) -> bool {
        self.allow_entries().is_none()
            && self.deny_entries().is_none_or(|list| list.given.is_empty())
            && self.outer().is_none_or(Toollist::permits_all)
    }

    /// Whether there is a denied name.
    pub fn denies_some(&self) -> bool {
        self.deny_entries().is_some_and(|list| !list.given.is_empty())
            || self.outer().is_some_and(Toollist::denies_some)
    }

    /// How many patterns (entries with `*`) a name is compared with at most.
    pub fn patterns(&self) -> usize {
        let lists = self.allow_entries().into_iter().chain(self.deny_entries());
        let own: usize = lists.map(|list| list.compiled.patterns()).sum();
        own + self.outer().map_or(0, Toollist::patterns)
    }

    /// Checks and compiles the two lists, as given by a caller. `None` is no list, and an empty allowlist lets
    /// nothing through. Fails with everything that is wrong, of each list at most the first 20 entries and how
    /// many more there are.
    pub fn new(allowed: Option<Vec<String>>, denied: Option<Vec<String>>) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        let allowed = allowed.map(|given| {
            check("allowed_tools", &given, allowed_problem, &mut violations);
            let compiled = Entries::compile(given.iter().take(ENTRIES_MAX).map(String::as_str));
            Arc::new(List { given, compiled })
        });
        let denied = denied.map(|given| {
            check("denied_tools", &given, denied_problem, &mut violations);
            // What is too long is refused already, and not worth folding.
            let short = given.iter().filter(|entry| entry.len() <= 4 * ENTRY_LENGTH_MAX);
            let folded: Vec<_> = short.take(ENTRIES_MAX).map(|entry| fold(entry)).collect();
            let compiled = Entries::compile(folded.iter().map(AsRef::as_ref));
            Arc::new(List { given, compiled })
        });
        violations.into_result()?;
        Ok(match (&allowed, &denied) {
            (None, None) => Self::unbound(),
            _ => Self(Some(Arc::new(Lists { allowed, denied, within: None }))),
        })
    }

    /// Both: what passes must pass this list and `outer`. Two patterns have no pattern in common that could be written
    /// down, so both are kept; `allowed` and `denied` show of each kind the inner one.
    pub fn within(&self, outer: &Toollist) -> Self {
        let Some(own) = &self.0 else { return outer.clone() };
        if outer.is_unbound() {
            return self.clone();
        }
        let within = own.within.as_ref().map_or_else(|| outer.clone(), |inner| inner.within(outer));
        let Lists { allowed, denied, .. } = &**own;
        let lists = Lists { allowed: allowed.clone(), denied: denied.clone(), within: Some(within) };
        Self(Some(Arc::new(lists)))
    }

    /// These lists, with those instead that are given: `None` keeps one, `Some(None)` takes it away.
    pub fn replaced(
        &self,
        allowed: Option<Option<Vec<String>>>,
        denied: Option<Option<Vec<String>>>,
    ) -> Result<Self, Violations> {
        if allowed.is_none() && denied.is_none() {
            return Ok(self.clone());
        }
        let or = |given: Option<Option<Vec<String>>>, own: Option<&[String]>| {
            given.unwrap_or_else(|| own.map(<[String]>::to_vec))
        };
        Self::new(or(allowed, self.allowed()), or(denied, self.denied()))
    }

    /// The entries of the allowlist as they were given.
    pub fn allowed(&self) -> Option<&[String]> {
        let own = self.allow_entries().map(|list| list.given.as_slice());
        own.or_else(|| self.outer()?.allowed())
    }

    /// The entries of the denylist as they were given.
    pub fn denied(&self) -> Option<&[String]> {
        let own = self.deny_entries().map(|list| list.given.as_slice());
        own.or_else(|| self.outer()?.denied())
    }

    /// Whether a tool with this (decoded) name passes: it is not denied, and it is allowed where there is an
    /// allowlist. Denied wins.
    pub fn permits(&self, name: &str) -> bool {
        !self.denies(name)
            && self.allow_entries().is_none_or(|list| list.compiled.matches(name))
            && self.outer().is_none_or(|outer| outer.permits(name))
    }

    /// Whether the denylist speaks against a tool with this (decoded) name.
    pub(crate) fn denies(&self, name: &str) -> bool {
        self.deny_entries().is_some_and(|list| list.compiled.matches(&fold(name)))
            || self.outer().is_some_and(|outer| outer.denies(name))
    }

    /// The entry of the denylist, as it was given, that speaks against a tool with this (decoded) name.
    pub(crate) fn denying(&self, name: &str) -> Option<&str> {
        let own = self.deny_entries().and_then(|list| list.given.get(list.compiled.find(&fold(name))?));
        let entry = own.map(String::as_str);
        entry.or_else(|| self.outer()?.denying(name))
    }

    /// Whether every tool that passes `other` passes this list.
    ///
    /// Sound and quick rather than complete: each allowed entry of `other` must be covered by a single entry
    /// here, and each denied entry here by a single one of `other`. A name that passes `other` then matches one
    /// of its allowed entries and so one of ours; were it denied here, the covering entry of `other` would have
    /// denied it there. That a union of entries may cover an entry that no single one does, or that a denied
    /// entry may make an uncovered allowed one harmless, is left out: such a list is refused though it is
    /// narrower, and whoever meant it can spell it out.
    ///
    /// Of lists within others, each here must cover `other`, and one there is enough.
    pub fn covers(&self, other: &Toollist) -> bool {
        self.covers_inner(other) && self.outer().is_none_or(|outer| outer.covers(other))
    }

    fn covers_inner(&self, other: &Toollist) -> bool {
        self.covers_entries(other) || other.outer().is_some_and(|outer| self.covers_inner(outer))
    }

    fn covers_entries(&self, other: &Toollist) -> bool {
        let allowed = match (self.allow_entries(), other.allow_entries()) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own.compiled.cover(&other.compiled),
        };
        let denied = match (self.deny_entries(), other.deny_entries()) {
            (None, _) => true,
            (Some(own), None) => own.given.is_empty(),
            (Some(own), Some(other)) => other.compiled.cover(&own.compiled),
        };
        allowed && denied
    }

    fn allow_entries(&self) -> Option<&List> {
        self.0.as_ref()?.allowed.as_deref()
    }

    fn deny_entries(&self) -> Option<&List> {
        self.0.as_ref()?.denied.as_deref()
    }

    /// The lists that these lie within.
    fn outer(&self) -> Option<&Toollist> {
        self.0.as_ref()?.within.as_ref()
    }
}

impl PartialEq for Toollist {
    fn eq(&self, other: &Self) -> bool {
        self.allowed() == other.allowed() && self.denied() == other.denied() && self.outer() == other.outer()
    }
}

impl fmt::Debug for Toollist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Toollist");
        shown.field("allowed", &self.allowed()).field("denied", &self.denied());
        if let Some(outer) = self.outer() {
            shown.field("within", outer);
        }
        shown.finish()
    }
}

fn check(
    field: &str,
    entries: &[String],
    problem: fn(&str) -> Option<&'static str>,
    violations: &mut Violations,
) {
    if entries.len() > ENTRIES_MAX {
        violations.add(
            field,
            format!(
                "has {} names: at most {ENTRIES_MAX} fit, shorten it or use patterns (github_*)",
                entries.len()
            ),
        );
    }
    let mut found = 0_usize;
    for (index, entry) in entries.iter().enumerate() {
        let problem =
            |entry| problem(entry).or_else(|| reveals(entry).then_some("holds a secret: take it out"));
        let Some(problem) = length_problem(entry).or_else(|| problem(entry).map(str::to_owned)) else {
            continue;
        };
        found += 1;
        if found <= REPORTED_MAX {
            violations.add(format!("{field}[{index}]"), format!("{} {problem}", shown(entry)));
        }
    }
    if found > REPORTED_MAX {
        let more = found - REPORTED_MAX;
        violations.add(field, format!("has {more} more names that cannot be taken; correct them likewise"));
    }
}

fn length_problem(entry: &str) -> Option<String> {
    let length = entry.chars().count();
    let fits = (1..=ENTRY_LENGTH_MAX).contains(&length);
    (!fits).then(|| format!("has {length} characters: give 1 to {ENTRY_LENGTH_MAX}"))
}

/// An allowed name matches exactly, so one with a control character could only be a mistake.
fn allowed_problem(entry: &str) -> Option<&'static str> {
    entry.chars().any(char::is_control).then_some("holds a control character: take it out")
}

/// A denied name of nothing visible would silently deny nothing.
fn denied_problem(entry: &str) -> Option<&'static str> {
    fold(entry).is_empty().then_some("has no visible characters: name a tool or give a pattern")
}
