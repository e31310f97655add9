//! Strings of a JSON text: borrowed where nothing is escaped, which is nearly always.
//!
//! A lone surrogate becomes U+FFFD and is told to the caller, who knows which member it stands in; ending the
//! parse there would hide every other finding.

use std::borrow::Cow;

use super::Parser;

impl<'a> Parser<'a, '_> {
    /// The string, and whether every escape in it was a character.
    pub(super) fn string(&mut self) -> Result<(Cow<'a, str>, bool), String> {
        self.at += 1;
        let start = self.at;
        let (mut unescaped, mut whole) = (None::<String>, true);
        let mut copied = start;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let plain = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).unwrap_or(rest.len());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    let end = self.at;
                    self.at += 1;
                    let last = &self.text[copied..end];
                    let text = unescaped.map_or(Cow::Borrowed(last), |text| Cow::Owned(text + last));
                    return Ok((text, whole));
                }
                Some(b'\\') => {
                    let text = unescaped.get_or_insert_default();
                    text.push_str(&self.text[copied..self.at]);
                    let character = self.escape()?;
                    whole &= character.is_some();
                    text.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
                    copied = self.at;
                }
                Some(_) => return Err(self.wrong("a control character in a string must be escaped")),
                None => return Err(self.wrong("a string does not end")),
            }
        }
    }

    /// One escape, with both halves of a surrogate pair; `None` for a half without the other.
    fn escape(&mut self) -> Result<Option<char>, String> {
        self.at += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.code_unit()?;
                if !(0xd800..0xdc00).contains(&first) || !self.text[self.at..].starts_with("\\u") {
                    return Ok(char::from_u32(first.into()));
                }
                let before = self.at;
                self.at += 1;
                let second = self.code_unit()?;
                let pair = char::decode_utf16([first, second]).next().and_then(Result::ok);
                if pair.is_none() {
                    self.at = before;
                }
                return Ok(pair);
            }
            _ => return Err(self.wrong("there is no such escape")),
        };
        self.at += 1;
        Ok(Some(character))
    }

    /// The four digits after `u`, at which the parser stands.
    fn code_unit(&mut self) -> Result<u16, String> {
        let digits = self.text.as_bytes().get(self.at + 1..self.at + 5).unwrap_or_default();
        if digits.len() != 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(self.wrong("`\\u` needs four hexadecimal digits"));
        }
        self.at += 5;
        let unit = digits.iter().fold(0, |unit, &b| unit << 4 | (b as char).to_digit(16).unwrap_or(0));
        Ok(unit as u16)
    }
}
