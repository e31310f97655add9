//! Objects whose members decide something, and how a value in them is refused.
//!
//! In such an object every member is there once, counted by its decoded name, and none passes for a governed one
//! that it does not equal (`Tools`, `toolſ`): two parsers could read two different requests, and the one that
//! matters is not ours.

use std::{borrow::Cow, collections::HashSet, fmt};

use super::{Malformed, shape::Name};
use crate::domain::{
    json::{Invalid, Kind, LoneSurrogate, Scanner, Span, Text},
    toollist::fold,
    violation::shown,
};

/// The most members of a governed object. Real requests have some dozens; the bound keeps what Orqen remembers of a body well below the size of a body that is full of them.
pub(super) const MANY: usize = 100_000;

/// The longest name that decides something, in bytes: of a member, a tool or a model. Sixteen times what providers
/// take; folding a name costs far more than reading it, and a body could be one name of 32 MiB.
pub(super) const NAME_MAX: usize = 1024;

/// How many bytes of names that are not ASCII one request may have folded, of members and again of tools. Folding
/// costs up to a microsecond a byte; real requests have none.
pub(super) const FOLDING_MAX: usize = 1 << 20;

/// How many names are compared one by one before they are hashed. Tools have four members, requests twenty.
const FEW: usize = 24;

/// Where in the request something stands, written only when it is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Path<'p> {
    Root,
    Member(&'p Path<'p>, &'p str),
    Element(&'p Path<'p>, usize),
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Root => f.write_str("the request"),
            Path::Member(Path::Root, name) => f.write_str(name),
            Path::Member(parent, name) => write!(f, "{parent}.{name}"),
            Path::Element(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl Path<'_> {
    /// An error that speaks of this place: the path, then `problem`.
    pub(super) fn malformed(&self, problem: impl fmt::Display) -> Malformed {
        let param = (!matches!(self, Path::Root)).then(|| self.to_string());
        Malformed { param, message: format!("{self} {problem}") }
    }

    /// A name that stands here and is too long.
    fn too_long(&self, bytes: usize) -> Malformed {
        self.malformed(format_args!("has {bytes} bytes: send a name of {NAME_MAX} at most"))
    }

    /// Passes the value that stands here and refuses it for its type.
    pub(super) fn wrong_type(&self, scan: &mut Scanner<'_>, wanted: &str) -> Malformed {
        match scan.skip() {
            Ok(span) => {
                let value = shown(&scan.source()[span.start..span.end]);
                self.malformed(format_args!("is {value}: send {wanted}"))
            }
            Err(invalid) => invalid.into(),
        }
    }
}

impl From<Invalid> for Malformed {
    fn from(invalid: Invalid) -> Self {
        Self { param: None, message: invalid.to_string() }
    }
}

/// A string of the request, decoded.
#[derive(Debug)]
pub(super) struct Said<'a> {
    pub(super) value: Cow<'a, str>,
    pub(super) span: Span,
}

impl From<Said<'_>> for Name {
    fn from(said: Said<'_>) -> Self {
        match said.value {
            Cow::Borrowed(_) => Name::Plain(said.span),
            Cow::Owned(text) => Name::Decoded(text.into()),
        }
    }
}

/// Reads a string, or `None` for null, which every client library writes for what it leaves out.
pub(super) fn string<'a>(scan: &mut Scanner<'a>, path: Path<'_>) -> Result<Option<Said<'a>>, Malformed> {
    match scan.kind()? {
        Kind::Null => scan.skip().map(|_| None).map_err(Malformed::from),
        Kind::Text => {
            let text = scan.text()?;
            if text.span.end - text.span.start > 6 * NAME_MAX {
                return Err(path.too_long(text.span.end - text.span.start));
            }
            let value = text.decode(scan.source()).map_err(|lone: LoneSurrogate| path.malformed(lone))?;
            if value.len() > NAME_MAX {
                return Err(path.too_long(value.len()));
            }
            Ok(Some(Said { value, span: text.span }))
        }
        _ => Err(path.wrong_type(scan, "a string")),
    }
}

/// Walks a governed object. `each` gets every member's name and, for a governed one, what it stands for; it must
/// pass the value.
pub(super) fn object<'a, P: Copy>(
    scan: &mut Scanner<'a>,
    path: Path<'_>,
    governed: &[(&str, P)],
    mut each: impl FnMut(&mut Scanner<'a>, Text, Option<P>) -> Result<(), Malformed>,
) -> Result<Span, Malformed> {
    if scan.kind()? != Kind::Object {
        return Err(path.wrong_type(scan, "an object"));
    }
    let mut seen = Seen::default();
    scan.object(|scan, text| {
        let name = text
            .decode(scan.source())
            .map_err(|lone| path.malformed(format_args!("has a member whose name {lone}")))?;
        if name.len() > NAME_MAX {
            let bytes = name.len();
            return Err(path.malformed(format_args!(
                "has a member whose name has {bytes} bytes: send a name of {NAME_MAX} at most"
            )));
        }
        if !name.is_ascii() && !scan.spend(name.len(), FOLDING_MAX) {
            return Err(path.malformed(format_args!(
                "has members whose names are not ASCII, and the request more than {FOLDING_MAX} bytes of those: send fewer"
            )));
        }
        let part = part_of(&name, path, governed)?;
        seen.add(name).map_err(|refusal| refusal.at(path))?;
        each(scan, text, part)
    })
}

/// What a member of this name stands for. Fails for a name that only passes for a governed one.
fn part_of<P: Copy>(name: &str, path: Path<'_>, governed: &[(&str, P)]) -> Result<Option<P>, Malformed> {
    if let Some((_, part)) = governed.iter().find(|(governed, _)| *governed == name) {
        return Ok(Some(*part));
    }
    // What folds to itself passes for no other: nearly every name.
    if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        return Ok(None);
    }
    let folded = fold(name);
    match governed.iter().find(|(governed, _)| *governed == folded) {
        Some((governed, _)) => Err(look_alike(path, name, governed)),
        None => Ok(None),
    }
}

/// The error for a member `name` that is not `governed` but could be read as it.
pub(super) fn look_alike(path: Path<'_>, name: &str, governed: &str) -> Malformed {
    let problem = format!(
        "has a member {}, which differs from {governed:?} only in case, form or invisible characters: two parsers \
         could read two different requests, so write it exactly or leave it out",
        shown(name)
    );
    let message = path.malformed(problem).message;
    Malformed { param: Some(Path::Member(&path, &label(name)).to_string()), message }
}

/// A name as it may stand in a path.
fn label(name: &str) -> String {
    shown(name).trim_matches('"').to_owned()
}

/// Why a name is not added.
enum Unseen {
    Repeated(String),
    TooMany,
}

impl Unseen {
    fn at(self, path: Path<'_>) -> Malformed {
        match self {
            Unseen::TooMany => path.malformed(format_args!("has more than {MANY} members: send fewer")),
            Unseen::Repeated(name) => {
                let problem = format!(
                    "has the member {} more than once: two parsers could read two different requests, so send it once",
                    shown(&name)
                );
                let message = path.malformed(problem).message;
                Malformed { param: Some(Path::Member(&path, &label(&name)).to_string()), message }
            }
        }
    }
}

/// The decoded names of an object so far: few in place, many hashed, so that ten thousand cost ten thousand times
/// one. The hash is keyed, so no choice of names makes it slow.
struct Seen<'a> {
    few: [&'a str; FEW],
    count: usize,
    many: Option<HashSet<Cow<'a, str>>>,
}

impl Default for Seen<'_> {
    fn default() -> Self {
        Self { few: [""; FEW], count: 0, many: None }
    }
}

impl<'a> Seen<'a> {
    fn add(&mut self, name: Cow<'a, str>) -> Result<(), Unseen> {
        self.count += 1;
        if self.count > MANY {
            return Err(Unseen::TooMany);
        }
        let before = self.count - 1;
        if let (None, true, Cow::Borrowed(name)) = (&self.many, before < FEW, &name) {
            if self.few[..before].contains(name) {
                return Err(Unseen::Repeated((*name).to_owned()));
            }
            self.few[before] = name;
            return Ok(());
        }
        let few = &self.few[..before.min(FEW)];
        let many = self.many.get_or_insert_with(|| few.iter().map(|&name| Cow::Borrowed(name)).collect());
        if many.contains(&name) {
            return Err(Unseen::Repeated(name.into_owned()));
        }
        many.insert(name);
        Ok(())
    }
}
