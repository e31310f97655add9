//! Strings: where they stand in the document, and what they say once their escapes are read.

use std::borrow::Cow;

use super::Span;

/// A string that the scanner has passed: its escapes are well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text {
    /// What stands between the quotes.
    pub span: Span,
    /// Whether there is a backslash in it.
    pub escaped: bool,
}

/// A string holds half of a surrogate pair: it is valid JSON, but no text, and every parser makes something else
/// of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("holds a lone surrogate (\\ud800 to \\udfff without its other half)")]
pub struct LoneSurrogate;

impl Text {
    /// What the string says. `source` is the document that it was found in.
    pub fn decode(self, source: &str) -> Result<Cow<'_, str>, LoneSurrogate> {
        let raw = &source[self.span.start..self.span.end];
        if self.escaped { unescape(raw).map(Cow::Owned) } else { Ok(Cow::Borrowed(raw)) }
    }
}

fn unescape(raw: &str) -> Result<String, LoneSurrogate> {
    let mut plain = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        plain.push_str(&rest[..at]);
        let (c, length) = escape(&rest[at..])?;
        plain.push(c);
        rest = &rest[at + length..];
    }
    plain.push_str(rest);
    Ok(plain)
}

/// The character of the escape that `rest` begins with, and how long the escape is.
fn escape(rest: &str) -> Result<(char, usize), LoneSurrogate> {
    let simple = match rest.as_bytes()[1] {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = code_unit(rest).ok_or(LoneSurrogate)?;
            if let Some(c) = char::from_u32(u32::from(first)) {
                return Ok((c, 6));
            }
            let second = code_unit(&rest[6..]).ok_or(LoneSurrogate)?;
            let pair = char::decode_utf16([first, second]).next().and_then(Result::ok);
            return Ok((pair.ok_or(LoneSurrogate)?, 12));
        }
        itself => char::from(itself),
    };
    Ok((simple, 2))
}

fn code_unit(rest: &str) -> Option<u16> {
    u16::from_str_radix(rest.strip_prefix("\\u")?.get(..4)?, 16).ok()
}
