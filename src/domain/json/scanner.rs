//! One pass over the bytes, front to back, without recursion of its own.
//!
//! A caller walks into the objects and arrays that it cares for (`object`, `array`) and skips the others (`skip`),
//! which checks them just as strictly. How deep a skipped value nests costs bytes on the heap, at most as many as
//! the limit, and no stack.

use super::{Invalid, Span, Text, open::Open};

/// What kind of value stands next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    Text,
    /// A digit or `-`.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`
    Null,
}

/// Passes over one document.
#[derive(Debug)]
pub struct Scanner<'a> {
    source: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    depth: usize,
    limit: usize,
    spent: usize,
}

impl<'a> Scanner<'a> {
    /// A scanner at the first byte of the first value of `body`, in which arrays and objects may lie at most
    /// `limit` deep in each other.
    pub fn new(body: &'a [u8], limit: usize) -> Result<Self, Invalid> {
        if body.starts_with(b"\xef\xbb\xbf") {
            return Err(Invalid::ByteOrderMark);
        }
        let source = match simdutf8::basic::from_utf8(body) {
            Ok(source) => source,
            // Told from the start again, since the fast check does not say where.
            Err(_) => {
                simdutf8::compat::from_utf8(body).map_err(|e| Invalid::Encoding { at: e.valid_up_to() })?
            }
        };
        let mut scanner = Self { source, bytes: body, at: 0, depth: 0, limit, spent: 0 };
        scanner.space();
        if scanner.at == body.len() { Err(Invalid::Empty) } else { Ok(scanner) }
    }

    /// The whole document.
    pub fn source(&self) -> &'a str {
        self.source
    }

    /// The place of the next byte.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Counts work that the caller does for this document beside the scan, of which all together may cost `most`;
    /// whether it still may. Kept here because this is what every part of a walk has at hand.
    pub fn spend(&mut self, cost: usize, most: usize) -> bool {
        self.spent = self.spent.saturating_add(cost);
        self.spent <= most
    }

    /// What kind of value stands here.
    pub fn kind(&self) -> Result<Kind, Invalid> {
        Ok(match self.peek() {
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b'"' => Kind::Text,
            b'-' | b'0'..=b'9' => Kind::Number,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => return Err(self.wrong("a value")),
        })
    }

    /// Passes the object that stands here. `each` is called with each member's name and must pass its value.
    /// Gives the object's place.
    pub fn object<E: From<Invalid>>(
        &mut self,
        mut each: impl FnMut(&mut Self, Text) -> Result<(), E>,
    ) -> Result<Span, E> {
        let start = self.at;
        if self.enter(b'{', "an object", b'}')? {
            loop {
                let name = self.name()?;
                each(self, name)?;
                if !self.another(b'}')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(Span { start, end: self.at })
    }

    /// Passes the array that stands here. `each` is called with each element's index and must pass it. Gives the
    /// array's place.
    pub fn array<E: From<Invalid>>(
        &mut self,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), E>,
    ) -> Result<Span, E> {
        let start = self.at;
        if self.enter(b'[', "an array", b']')? {
            for index in 0.. {
                each(self, index)?;
                if !self.another(b']')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(Span { start, end: self.at })
    }

    /// Passes the value that stands here, whatever it is, and gives its place.
    pub fn skip(&mut self) -> Result<Span, Invalid> {
        let start = self.at;
        let mut open = Open::default();
        'value: loop {
            match self.peek() {
                b'{' => {
                    self.nest(&mut open, true)?;
                    if self.peek() != b'}' {
                        self.pass_name()?;
                        continue;
                    }
                }
                b'[' => {
                    self.nest(&mut open, false)?;
                    if self.peek() != b']' {
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            // A value has ended, or an empty container stands before its closer: close all that ends here.
            while open.depth > 0 {
                let object = open.innermost_is_object();
                let closer = if object { b'}' } else { b']' };
                self.space();
                let next = self.peek();
                if next == b',' {
                    self.at += 1;
                    self.space();
                    if object {
                        self.pass_name()?;
                    }
                    continue 'value;
                }
                if next != closer {
                    return Err(self.wrong(after_value(closer)));
                }
                self.at += 1;
                open.pop();
            }
            return Ok(Span { start, end: self.at });
        }
    }

    /// What has not been passed yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Passes a value whose very bytes stand here, and of which it is known that it is one: it was passed in another
    /// document before, where it lay as deep. Gives its place.
    pub fn pass_known(&mut self, value: &[u8]) -> Span {
        let start = self.at;
        debug_assert!(self.rest().starts_with(value), "another value stands here");
        self.at += value.len();
        Span { start, end: self.at }
    }

    /// How much work `spend` has counted.
    pub fn spent(&self) -> usize {
        self.spent
    }

    /// Makes sure that nothing but white space follows.
    pub fn end(&mut self) -> Result<(), Invalid> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.wrong("nothing after the first document")) }
    }

    /// Steps into a container; whether there is anything in it. An empty one is left again.
    fn enter(&mut self, opener: u8, expected: &'static str, closer: u8) -> Result<bool, Invalid> {
        if self.peek() != opener {
            return Err(self.wrong(expected));
        }
        self.depth += 1;
        if self.depth > self.limit {
            return Err(Invalid::TooDeep { at: self.at, limit: self.limit });
        }
        self.at += 1;
        self.space();
        let empty = self.peek() == closer;
        if empty {
            self.at += 1;
        }
        Ok(!empty)
    }

    /// Steps into a container that is skipped.
    #[inline]
    fn nest(&mut self, open: &mut Open, object: bool) -> Result<(), Invalid> {
        if self.depth + open.depth >= self.limit {
            return Err(Invalid::TooDeep { at: self.at, limit: self.limit });
        }
        open.push(object);
        self.at += 1;
        self.space();
        Ok(())
    }

    /// After a value in a container: whether a comma leads to another one. The closer is passed.
    fn another(&mut self, closer: u8) -> Result<bool, Invalid> {
        self.space();
        let next = self.peek();
        if next != b',' && next != closer {
            return Err(self.wrong(after_value(closer)));
        }
        self.at += 1;
        if next == b',' {
            self.space();
        }
        Ok(next == b',')
    }

    /// Passes a member's name and its colon.
    fn name(&mut self) -> Result<Text, Invalid> {
        if self.peek() != b'"' {
            return Err(self.wrong("a member's name in quotes"));
        }
        let name = self.text()?;
        self.colon()?;
        Ok(name)
    }

    /// The same where nobody asks what the name is.
    #[inline]
    fn pass_name(&mut self) -> Result<(), Invalid> {
        if self.peek() != b'"' {
            return Err(self.wrong("a member's name in quotes"));
        }
        self.pass_text()?;
        self.colon()
    }

    #[inline]
    fn colon(&mut self) -> Result<(), Invalid> {
        self.space();
        if self.peek() != b':' {
            return Err(self.wrong("a colon after the member's name"));
        }
        self.at += 1;
        self.space();
        Ok(())
    }

    #[inline]
    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\t' | b'\r') {
            self.at += 1;
        }
    }

    /// The byte here; NUL, which the grammar has nowhere, at the end.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[cold]
    pub(super) fn wrong(&self, expected: &'static str) -> Invalid {
        let at = self.at;
        if at >= self.bytes.len() {
            Invalid::Unterminated { at: self.bytes.len(), expected }
        } else {
            Invalid::Syntax { at, expected }
        }
    }
}

fn after_value(closer: u8) -> &'static str {
    if closer == b'}' { "a comma or } after a member" } else { "a comma or ] after an element" }
}
