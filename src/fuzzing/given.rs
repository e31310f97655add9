//! The first line of an input, which says under which lists the rest is tried: `allowed|denied|options|cuts`.
//!
//! Text, so that a person can write an input and read what a fuzzer made of one: `get_*,a|delete_file|b|` allows two
//! entries, denies one and has the option `b`. Nothing between two bars is no list, `!` an empty one.

use crate::domain::toollist::Toollist;

/// What the first line says, and what follows it.
pub(super) struct Given<'a> {
    /// Both lists.
    pub(super) lists: Lists,
    /// Letters, which mean something else to each target.
    pub(super) options: &'a str,
    /// How the rest is cut: see `pieces`.
    pub(super) cuts: &'a [u8],
    /// What follows the first line.
    pub(super) rest: &'a [u8],
}

impl<'a> Given<'a> {
    /// Reads an input; `None` where the first line says nothing, or has lists that no key may have.
    pub(super) fn of(input: &'a [u8]) -> Option<Self> {
        let (head, rest) = first_line(input)?;
        let mut parts = std::str::from_utf8(head).ok()?.splitn(4, '|');
        let (allowed, denied) = (parts.next()?, parts.next()?);
        let lists = Lists::of(allowed, denied)?;
        let options = parts.next().unwrap_or_default();
        Some(Self { lists, options, cuts: parts.next().unwrap_or_default().as_bytes(), rest })
    }

    /// Whether an option is given.
    pub(super) fn has(&self, option: char) -> bool {
        self.options.contains(option)
    }
}

/// The first line, and what follows its end.
pub(super) fn first_line(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = input.iter().position(|byte| *byte == b'\n')?;
    Some((&input[..end], &input[end + 1..]))
}

/// The bytes in pieces, whose lengths `cuts` says in turns: a byte, less the space's, is a length.
pub(super) fn pieces<'a>(bytes: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut lengths = cuts.iter().map(|cut| usize::from(cut.saturating_sub(b' ')).max(1)).cycle();
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (piece, others) = rest.split_at(lengths.next().unwrap_or(rest.len()).min(rest.len()));
        pieces.push(piece);
        rest = others;
    }
    pieces
}

/// The lists of a key, and what they say by a second opinion.
pub(super) struct Lists {
    /// As the key has them.
    pub(super) toollist: Toollist,
    /// The denylist alone.
    denied_alone: Toollist,
    allowed: Option<Vec<String>>,
    denied: Vec<String>,
}

impl Lists {
    fn of(allowed: &str, denied: &str) -> Option<Self> {
        let (allowed, denied) = (entries(allowed), entries(denied));
        Some(Self {
            toollist: Toollist::new(allowed.clone(), denied.clone()).ok()?,
            denied_alone: Toollist::new(None, denied.clone()).ok()?,
            allowed,
            denied: denied.unwrap_or_default(),
        })
    }

    /// Whether a tool of this name may not be used.
    pub(super) fn forbid(&self, name: &str) -> bool {
        let allowed = self.allowed.as_ref().is_none_or(|entries| entries.iter().any(|e| matches(e, name)));
        !allowed || self.deny(name) || !self.toollist.permits(name)
    }

    /// Whether a name is denied, whatever the allowlist says.
    pub(super) fn deny(&self, name: &str) -> bool {
        let plain = name.to_ascii_lowercase();
        self.denied.iter().any(|entry| matches(&entry.to_ascii_lowercase(), &plain))
            || !self.denied_alone.permits(name)
    }
}

fn entries(text: &str) -> Option<Vec<String>> {
    match text {
        "" => None,
        "!" => Some(Vec::new()),
        _ => Some(text.split(',').map(str::to_owned).collect()),
    }
}

/// Whether a pattern matches a name, tried at every place; what the lists do in one pass is checked against this.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == name };
    let Some(rest) = name.strip_prefix(before) else { return false };
    let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.any(|at| matches(after, &rest[at..]))
}
