//! What has nothing in it: strings, numbers and literals.
//!
//! Strings are most of a request, so they are passed eight bytes at a time; the rest is a byte at a time.

use super::{Invalid, Scanner, Span, Text};

impl Scanner<'_> {
    /// Passes the string that stands here.
    pub fn text(&mut self) -> Result<Text, Invalid> {
        if self.peek() != b'"' {
            return Err(self.wrong("a string"));
        }
        let start = self.at + 1;
        let escaped = self.pass_text()?;
        Ok(Text { span: Span { start, end: self.at - 1 }, escaped })
    }

    /// Passes the string whose quote stands here; whether it has escapes.
    #[inline]
    pub(super) fn pass_text(&mut self) -> Result<bool, Invalid> {
        let at = next_special(self.bytes, self.at + 1);
        if self.bytes.get(at) == Some(&b'"') {
            self.at = at + 1;
            return Ok(false);
        }
        self.pass_odd_text(at).map(|()| true)
    }

    /// The rest of a string whose first special byte, at `at`, is not its closing quote.
    fn pass_odd_text(&mut self, mut at: usize) -> Result<(), Invalid> {
        loop {
            self.at = at;
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(());
                }
                Some(b'\\') => at = next_special(self.bytes, at + self.escape_length()?),
                Some(_) => {
                    return Err(self.wrong("an escape: control characters are written \\u00XX in strings"));
                }
                None => return Err(self.wrong("the closing quote of a string")),
            }
        }
    }

    /// Passes the number, string or literal that stands here.
    #[inline]
    pub(super) fn scalar(&mut self) -> Result<(), Invalid> {
        match self.peek() {
            b'"' => self.pass_text().map(|_| ()),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => Err(self.wrong("a value")),
        }
    }

    fn literal(&mut self, word: &'static str) -> Result<(), Invalid> {
        for byte in word.bytes() {
            if self.peek() != byte {
                return Err(self.wrong(word));
            }
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Invalid> {
        if self.peek() == b'-' {
            self.at += 1;
        }
        // A number of more digits does not begin with zero; what would follow is refused as what follows a value.
        if self.peek() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), Invalid> {
        if !self.peek().is_ascii_digit() {
            return Err(self.wrong("a digit"));
        }
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        Ok(())
    }

    /// The length of the escape that begins here.
    fn escape_length(&mut self) -> Result<usize, Invalid> {
        let backslash = self.at;
        self.at += 1;
        match self.peek() {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(2),
            b'u' => {
                self.at += 1;
                while self.at < backslash + 6 {
                    if !self.peek().is_ascii_hexdigit() {
                        return Err(self.wrong("four hexadecimal digits after \\u"));
                    }
                    self.at += 1;
                }
                Ok(6)
            }
            _ => Err(self.wrong("one of \" \\ / b f n r t u after a backslash")),
        }
    }
}

const LOW: u64 = u64::MAX / 255;
const HIGH: u64 = LOW << 7;

/// How many words are tried before a string counts as long. Names and most values are shorter.
const WORDS: usize = 4;

/// A bit for each quote, backslash and control character of a word; above the first it may be wrong.
///
/// The classic test for a byte in a word (Mycroft, 1987): subtracting borrows into a byte's high bit exactly where it is
/// zero or, for controls, below the bound, and a borrow can only spoil bits above the first hit.
#[inline]
fn hits(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    let quote = word ^ (LOW * u64::from(b'"'));
    let backslash = word ^ (LOW * u64::from(b'\\'));
    let hits = (quote.wrapping_sub(LOW) & !quote)
        | (backslash.wrapping_sub(LOW) & !backslash)
        | (word.wrapping_sub(LOW * 0x20) & !word);
    hits & HIGH
}

/// Whether a text has to be escaped to stand in a JSON string. For short ones.
pub fn has_special(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks();
    let mut last = [b' '; 8];
    last.iter_mut().zip(rest).for_each(|(last, byte)| *last = *byte);
    words.iter().fold(hits(last), |any, word| any | hits(*word)) != 0
}

/// The place of the first quote, backslash or control character from `at` on, or the end. A few words go by themselves, what
/// is longer by vectors, which cost more to begin with.
#[inline]
pub(super) fn next_special(bytes: &[u8], mut at: usize) -> usize {
    for _ in 0..WORDS {
        let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
        let hits = hits(*chunk);
        if hits != 0 {
            return at + hits.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    far_special(bytes, at)
}

#[inline(never)]
fn far_special(bytes: &[u8], at: usize) -> usize {
    let Some(rest) = bytes.get(at..) else { return bytes.len() };
    let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
    // Without an early exit, so that it is done with vectors as well.
    let control = rest[..end].iter().fold(false, |found, byte| found | (*byte < 0x20));
    let found = if control { rest.iter().position(|byte| *byte < 0x20).unwrap_or(end) } else { end };
    at + found
}
