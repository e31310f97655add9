//! What can be cut out of a tool's definition that still leaves a tool: Orqen's own member, always, and, for the slim
//! tier, the texts.
//!
//! Only cuts, never a byte put in: what is left is the client's JSON less some members, and less the end of the
//! description. A schema stays a valid JSON Schema that takes the same values: types, properties, required members,
//! enumerations and references all stay, and a *property* that is called `description` does too.

use super::EXAMPLES;
use crate::domain::json::{Edits, Invalid, Kind, Scanner, Span};

/// Members of a schema that only people and models read (JSON Schema 2020-12, section 9, and what generators add).
const TEXTS: [&str; 7] =
    ["description", "title", "examples", "example", "$comment", "markdownDescription", "deprecated"];
/// Members of a schema whose members are schemas under names that somebody chose.
const NAMED: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Members of a schema that hold values: what looks like a schema in there is none.
const VALUES: [&str; 4] = ["enum", "const", "default", "required"];
/// How deep definitions are followed: real ones have a tenth of it, and this walk recurses.
const DEPTH_MAX: usize = 64;
/// Definitions lie within a body that was read already, within its own bound.
const NESTING_MAX: usize = 1024;

/// The places to cut, ascending and apart from each other. What does not look like a tool is left alone.
pub(super) fn cuts(json: &[u8], slim: bool) -> Vec<Span> {
    let mut trimmer = Trimmer { edits: Edits::default(), slim };
    let Ok(mut scan) = Scanner::new(json, NESTING_MAX) else { return Vec::new() };
    match trimmer.definition(&mut scan, 0) {
        Ok(()) => trimmer.edits.into_cuts(),
        // It was read before, so this cannot be; a definition that is sent whole is no harm.
        Err(_) => Vec::new(),
    }
}

struct Trimmer {
    edits: Edits,
    slim: bool,
}

impl Trimmer {
    /// The tool, or its `function` or `custom` object.
    fn definition(&mut self, scan: &mut Scanner<'_>, inside: usize) -> Result<(), Invalid> {
        self.object(scan, |trimmer, scan, name| match name {
            EXAMPLES => Ok(Fate::Goes),
            "function" | "custom" if inside == 0 && scan.kind()? == Kind::Object => {
                trimmer.definition(scan, 1).map(|()| Fate::Passed)
            }
            "description" if trimmer.slim && scan.kind()? == Kind::Text => {
                trimmer.first_sentence(scan).map(|()| Fate::Passed)
            }
            "parameters" | "input_schema" | "inputSchema" if trimmer.slim => {
                trimmer.schema(scan, 0).map(|()| Fate::Passed)
            }
            _ => Ok(Fate::Stays),
        })
    }

    fn schema(&mut self, scan: &mut Scanner<'_>, depth: usize) -> Result<(), Invalid> {
        match scan.kind()? {
            _ if depth > DEPTH_MAX => scan.skip().map(drop),
            Kind::Array => scan.array(|scan, _| self.schema(scan, depth + 1)).map(drop),
            Kind::Object => self.object(scan, |trimmer, scan, name| {
                if TEXTS.contains(&name) {
                    return Ok(Fate::Goes);
                }
                if VALUES.contains(&name) {
                    return Ok(Fate::Stays);
                }
                if NAMED.contains(&name) && scan.kind()? == Kind::Object {
                    return scan.object(|scan, _| trimmer.schema(scan, depth + 1)).map(|_| Fate::Passed);
                }
                trimmer.schema(scan, depth + 1).map(|()| Fate::Passed)
            }),
            _ => scan.skip().map(drop),
        }
    }

    /// Cuts a description after its first sentence.
    fn first_sentence(&mut self, scan: &mut Scanner<'_>) -> Result<(), Invalid> {
        let text = scan.text()?;
        let raw = &scan.source()[text.span.start..text.span.end];
        let end = text.span.start + sentence_end(raw);
        if end < text.span.end {
            self.edits.take(Span { start: end, end: text.span.end });
        }
        Ok(())
    }

    /// Walks an object, and takes those of its members out that go.
    fn object(
        &mut self,
        scan: &mut Scanner<'_>,
        mut each: impl FnMut(&mut Self, &mut Scanner<'_>, &str) -> Result<Fate, Invalid>,
    ) -> Result<(), Invalid> {
        if scan.kind()? != Kind::Object {
            return scan.skip().map(drop);
        }
        let mut members: Vec<(Span, bool)> = Vec::new();
        scan.object(|scan, member| {
            let source = scan.source();
            let name = member.decode(source).unwrap_or_default();
            let fate = each(self, scan, &name)?;
            if fate != Fate::Passed {
                scan.skip()?;
            }
            let whole = Span { start: member.span.start - 1, end: scan.position() };
            members.push((whole, fate == Fate::Goes));
            Ok::<_, Invalid>(())
        })?;
        if members.iter().any(|(_, goes)| *goes) {
            self.edits.take_out(members.into_iter());
        }
        Ok(())
    }
}

/// What becomes of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Goes,
    /// It stays, and its value was walked already.
    Passed,
}

/// Where the first sentence of a text ends, in bytes: after its full stop, or before a line's end. The text may be
/// decoded, or as it stands between the quotes of JSON.
pub fn sentence_end(raw: &str) -> usize {
    let mut previous = [' '; 3];
    let mut characters = raw.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => {
                let escaped = characters.next().map_or(' ', |(_, c)| c);
                if matches!(escaped, 'n' | 'r') && at > 0 {
                    return at;
                }
                previous = [previous[1], previous[2], escaped];
                continue;
            }
            '\n' | '\r' if at > 0 => return at,
            '。' | '！' | '？' => return at + c.len_utf8(),
            ' ' if ends_sentence(previous) && at > SHORTEST => return at,
            _ => {}
        }
        previous = [previous[1], previous[2], c];
    }
    raw.len()
}

/// The shortest first sentence, in bytes: what ends before it is a number or an abbreviation.
const SHORTEST: usize = 12;

/// Whether a sentence ends after these three characters, before a space; `e.g. this` and `... and` do not.
fn ends_sentence([earlier, before, last]: [char; 3]) -> bool {
    matches!(last, '.' | '!' | '?') && earlier != '.' && !matches!(before, '.' | ' ')
}
