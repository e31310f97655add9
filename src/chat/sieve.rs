//! Keeps the usage of a stream from a client that did not ask for it.
//!
//! Orqen asks providers for it, and they tell it in a last event without a choice. Only an event that may be that one
//! is held until it is whole; everything else passes as it comes, and with the same bytes.

use bytes::Bytes;
use memchr::memchr2;

use super::{
    sse::SseReader,
    watch::{ends_an_event, members, tells_usage},
};
use crate::domain::json::{Invalid, Kind, Scanner};

/// The longest event that is held. One with usage alone has some hundred bytes; from a longer one on all of the stream
/// passes.
const LONGEST: usize = 1024 * 1024;
/// How deep an event is followed.
const DEPTH: usize = 64;

/// Lets the events of a stream pass, but for those with nothing but usage.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    /// The begin of an event.
    held: Vec<u8>,
    /// Where the last line of it begins.
    line: usize,
    open: bool,
}

impl Sieve {
    /// What passes of a piece, and of what was held before it.
    pub(super) fn push(&mut self, piece: Bytes) -> Bytes {
        if self.open || (self.held.is_empty() && ends_an_event(&piece) && !tells_usage(&piece)) {
            return piece;
        }
        self.held.extend_from_slice(&piece);
        let mut passed = Vec::new();
        while let Some(end) = self.event_end() {
            if !is_usage_alone(&self.held[..end]) {
                passed.extend_from_slice(&self.held[..end]);
            }
            self.held.drain(..end);
            self.line = 0;
        }
        if self.held.len() > LONGEST {
            self.open = true;
            passed.append(&mut self.held);
        }
        passed.into()
    }

    /// What is held when the stream ends: an event without the empty line after it.
    pub(super) fn rest(&mut self) -> Bytes {
        let held = std::mem::take(&mut self.held);
        let mut whole = held.clone();
        whole.extend_from_slice(b"\n\n");
        if is_usage_alone(&whole) { Bytes::new() } else { held.into() }
    }

    /// The place after the first empty line of what is held.
    fn event_end(&mut self) -> Option<usize> {
        while let Some(at) = memchr2(b'\r', b'\n', &self.held[self.line..]) {
            let at = self.line + at;
            let pair = self.held[at..].starts_with(b"\r\n");
            if self.held[at] == b'\r' && at + 1 == self.held.len() {
                // Whether a line feed follows is not known yet.
                return None;
            }
            let next = at + if pair { 2 } else { 1 };
            if at == self.line {
                return Some(next);
            }
            self.line = next;
        }
        None
    }
}

/// Whether this event has figures of usage and no choice.
fn is_usage_alone(event: &[u8]) -> bool {
    if !tells_usage(event) {
        return false;
    }
    let mut events = Vec::new();
    if SseReader::bounded(2 * LONGEST).push(event, &mut events).is_err() {
        return false;
    }
    events.iter().any(|event| holds_usage_alone(&event.data).unwrap_or(false))
}

fn holds_usage_alone(json: &[u8]) -> Result<bool, Invalid> {
    let mut scan = Scanner::new(json, DEPTH)?;
    let (mut usage, mut choices) = (false, None);
    members(&mut scan, |scan, name| match name {
        "usage" => {
            usage = scan.kind()? == Kind::Object;
            scan.skip().map(drop)
        }
        "choices" if scan.kind()? == Kind::Array => {
            let mut number = 0;
            scan.array(|scan, _| {
                number += 1;
                scan.skip().map(drop)
            })?;
            choices = Some(number);
            Ok(())
        }
        _ => scan.skip().map(drop),
    })?;
    Ok(usage && choices == Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
    const LAST: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    const BOTH: &str = "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}\n\n";
    const DONE: &str = "data: [DONE]\n\n";

    fn passed(pieces: &[&[u8]]) -> String {
        let mut sieve = Sieve::default();
        let mut all: Vec<u8> =
            pieces.iter().flat_map(|piece| sieve.push(Bytes::copy_from_slice(piece))).collect();
        all.extend(sieve.rest());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn usage_alone_is_kept_back_wherever_the_stream_is_cut() {
        for stream in [
            format!("{CHUNK}{LAST}{DONE}"),
            format!(": comment\n\n{CHUNK}{LAST}{DONE}").replace('\n', "\r\n"),
            format!("{CHUNK}{LAST}{DONE}").replace('\n', "\r"),
        ] {
            let (bytes, end) = (stream.as_bytes(), stream.find("data: {\"choices\":[],").unwrap());
            let expected = format!("{}{}", &stream[..end], &stream[stream.find("data: [DONE]").unwrap()..]);
            for at in 0..=bytes.len() {
                assert_eq!(passed(&[&bytes[..at], &bytes[at..]]), expected, "{at}");
            }
            let each: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(passed(&each), expected);
        }
    }

    #[test]
    fn everything_else_passes_with_its_own_bytes() {
        for stream in
            [CHUNK, BOTH, DONE, "data: {\"usage\":{\"a\":1}}\n\n", "data: x\n", "\n\n", "data: {\"choices\""]
        {
            assert_eq!(passed(&[stream.as_bytes()]), stream);
        }
        let error = "data: {\"error\":{\"message\":\"about \\\"usage\\\": {}\"}}\n\n";
        assert_eq!(passed(&[error.as_bytes()]), error);
        let whole = Bytes::from_static(CHUNK.as_bytes());
        let mut sieve = Sieve::default();
        assert_eq!(sieve.push(whole.clone()).as_ptr(), whole.as_ptr(), "not even a copy");
    }

    #[test]
    fn an_event_without_an_end_is_not_held_for_ever_and_usage_at_the_end_is_not_told() {
        let long = format!("data: {}", "x".repeat(LONGEST));
        assert_eq!(passed(&[long.as_bytes(), LAST.as_bytes()]), format!("{long}{LAST}"));
        assert_eq!(passed(&[LAST.trim_end().as_bytes()]), "");
    }
}
