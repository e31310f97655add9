//! A JSON text as an ordered tree that borrows from it. Strict by RFC 8259, and stricter: repeated members and
//! lone surrogates are findings, with their path.
//!
//! Why not `serde_json`: its numbers are already `f64` or 64-bit when a visitor sees them (`1e400` ends the
//! parse without a path), its depth is fixed at 127 and a lone surrogate is only a position. Numbers stay text
//! here, so that what a field expects is decided where the field is known. A test holds both to the same texts.

mod strings;

use std::borrow::Cow;

use super::refusal::{Findings, shown};

/// A value, members in their order.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, spelled as it came.
    Number(&'a str),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    Array(Vec<Json<'a>>),
    /// An object; of a repeated member only the first.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl Json<'_> {
    /// The value as it may stand in a message: short, whatever its size.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(text) if text.len() > 40 => format!("{}…", &text[..40]),
            Self::Number(text) => (*text).to_owned(),
            Self::String(text) => shown(text),
            Self::Array(_) => "an array".to_owned(),
            Self::Object(_) => "an object".to_owned(),
        }
    }
}

/// Parses one JSON text whose arrays and objects lie at most `depth` deep in each other. The error says what
/// is wrong and where; repeated members and lone surrogates go to `findings` and do not stop the parse.
pub(super) fn parse<'a>(text: &'a [u8], depth: usize, findings: &mut Findings) -> Result<Json<'a>, String> {
    let text =
        std::str::from_utf8(text).map_err(|e| format!("it is not UTF-8 (at byte {})", e.valid_up_to()))?;
    let mut parser = Parser { text, at: 0, depth, left: depth, findings };
    parser.space();
    let value = parser.value()?;
    parser.space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.wrong("there is more after the end of the JSON text")),
    }
}

struct Parser<'a, 'f> {
    text: &'a str,
    /// A byte offset, always at a character's start.
    at: usize,
    depth: usize,
    left: usize,
    findings: &'f mut Findings,
}

impl<'a> Parser<'a, '_> {
    fn value(&mut self) -> Result<Json<'a>, String> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => {
                let (text, whole) = self.string()?;
                if !whole {
                    self.findings.add(LONE_SURROGATE);
                }
                Ok(Json::String(text))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            Some(b'n') => self.word("null", Json::Null),
            _ => Err(self.wrong("a value is expected")),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Json<'a>, String>) -> Result<Json<'a>, String> {
        if self.left == 0 {
            let depth = self.depth;
            return Err(self.wrong(&format!("arrays and objects lie more than {depth} deep in each other")));
        }
        self.left -= 1;
        self.at += 1;
        self.space();
        let value = read(self);
        self.left += 1;
        value
    }

    fn array(&mut self) -> Result<Json<'a>, String> {
        let mut entries = Vec::new();
        if self.take(b']') {
            return Ok(Json::Array(entries));
        }
        loop {
            let mark = self.findings.enter_entry(entries.len());
            entries.push(self.value()?);
            self.findings.leave(mark);
            self.space();
            if self.take(b']') {
                return Ok(Json::Array(entries));
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `]` is expected"));
            }
            self.space();
        }
    }

    fn object(&mut self) -> Result<Json<'a>, String> {
        let mut members = Vec::new();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a member's name in double quotes is expected"));
            }
            let (name, whole) = self.string()?;
            self.space();
            if !self.take(b':') {
                return Err(self.wrong("`:` is expected"));
            }
            self.space();
            let mark = self.findings.enter(&name);
            if !whole {
                self.findings.add(LONE_SURROGATE);
            }
            let value = self.value()?;
            self.findings.leave(mark);
            members.push((name, value));
            self.space();
            if self.take(b'}') {
                self.drop_repeated(&mut members);
                return Ok(Json::Object(members));
            }
            if !self.take(b',') {
                return Err(self.wrong("`,` or `}` is expected"));
            }
            self.space();
        }
    }

    /// Sorted, not hashed: no chosen names make it slower than n log n.
    fn drop_repeated(&mut self, members: &mut Vec<(Cow<'a, str>, Json<'a>)>) {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by(|&a, &b| members[a].0.cmp(&members[b].0).then(a.cmp(&b)));
        let mut repeated: Vec<usize> = order
            .windows(2)
            .filter(|pair| members[pair[0]].0 == members[pair[1]].0)
            .map(|pair| pair[1])
            .collect();
        if repeated.is_empty() {
            return;
        }
        repeated.sort_unstable();
        for &index in &repeated {
            let name = members[index].0.clone();
            self.findings.add_at(&name, "the member is given more than once; give it once");
        }
        let mut index = 0;
        members.retain(|_| {
            index += 1;
            repeated.binary_search(&(index - 1)).is_err()
        });
    }

    fn number(&mut self) -> Result<Json<'a>, String> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') && self.digits() == 0 {
            return Err(self.wrong("a digit is expected"));
        }
        if self.take(b'.') && self.digits() == 0 {
            return Err(self.wrong("a digit is expected"));
        }
        if self.take(b'e') || self.take(b'E') {
            let _sign = self.take(b'+') || self.take(b'-');
            if self.digits() == 0 {
                return Err(self.wrong("a digit is expected"));
            }
        }
        Ok(Json::Number(&self.text[start..self.at]))
    }

    fn digits(&mut self) -> usize {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().position(|b| !b.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        count
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Result<Json<'a>, String> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong("a value is expected"));
        }
        self.at += word.len();
        Ok(value)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn wrong(&self, what: &str) -> String {
        let before = &self.text.as_bytes()[..self.at.min(self.text.len())];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|&&b| b != b'\n').count() + 1;
        match self.at >= self.text.len() {
            true => format!("{what}, but the text ends (line {line}, column {column})"),
            false => format!("{what} (line {line}, column {column})"),
        }
    }
}

const LONE_SURROGATE: &str =
    "half of a surrogate pair (\\ud800 to \\udfff alone) is no character; send both halves";
