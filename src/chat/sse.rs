//! Server-sent events as they come off the wire, after the WHATWG rules (HTML standard, 9.2.6): lines end with
//! CR, LF or CRLF, a byte order mark at the start is skipped, comments are dropped, several `data` lines are one.
//!
//! `SseReader` reads events, for whoever needs what is in them; `BoundaryTracker` only knows whether an event is
//! open, which is all that the pass-through path needs to put a comment in between, at the cost of a look at the
//! end of each chunk. How the wire cuts the bytes never matters. What an event means is left to the callers.

use memchr::memchr2;

/// The most that one event may hold, in bytes, unless a reader is told otherwise. A chunk of an answer is a few
/// hundred bytes, one with a whole image in base64 a few megabytes.
pub const MAX_EVENT: usize = 8 * 1024 * 1024;

/// The largest line buffer that is used again.
const KEPT_BUFFER: usize = 64 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its `event` field; empty when it has none.
    pub name: Vec<u8>,
    /// Its `data` lines, joined with LF.
    pub data: Vec<u8>,
}

impl Event {
    /// Whether this is `[DONE]`, which ends a chat stream.
    pub fn is_done(&self) -> bool {
        self.data.trim_ascii() == b"[DONE]"
    }
}

/// Why a stream of events cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event holds more than the reader was told to take.
    #[error("an event of the stream is larger than {limit} bytes")]
    TooLarge {
        /// The most that was allowed.
        limit: usize,
    },
}

/// Reads events from chunks of bytes.
#[derive(Debug)]
pub struct SseReader {
    limit: usize,
    failed: bool,
    start: bool,
    after_cr: bool,
    line: Vec<u8>,
    name: Vec<u8>,
    /// `None` until a `data` field comes: an event without one is none.
    data: Option<Vec<u8>>,
    boundary: BoundaryTracker,
}

impl SseReader {
    /// A reader whose events hold at most `MAX_EVENT` bytes.
    pub fn new() -> Self {
        Self::bounded(MAX_EVENT)
    }

    /// A reader whose events hold at most `limit` bytes, the line that is being read included.
    pub fn bounded(limit: usize) -> Self {
        Self {
            limit,
            failed: false,
            start: true,
            after_cr: false,
            line: Vec::new(),
            name: Vec::new(),
            data: None,
            boundary: BoundaryTracker::new(),
        }
    }

    /// Reads a chunk and adds the events that it completes to `events`; those are good even when it fails.
    /// After an error every further call gives it again.
    pub fn push(&mut self, mut chunk: &[u8], events: &mut Vec<Event>) -> Result<(), SseError> {
        if self.failed {
            return Err(SseError::TooLarge { limit: self.limit });
        }
        self.boundary.push(chunk);
        while let [first, rest @ ..] = chunk {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                chunk = rest;
                continue;
            }
            let end = memchr2(b'\r', b'\n', chunk);
            let part = &chunk[..end.unwrap_or(chunk.len())];
            self.hold(part)?;
            let Some(end) = end else { break };
            self.after_cr = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
            let line = std::mem::take(&mut self.line);
            events.extend(self.end_line(&line));
            // The buffer goes back, so that a stream of small events allocates for their data only; a large one
            // does not, so that one image does not stay for as long as the stream.
            if line.capacity() <= KEPT_BUFFER {
                self.line = line;
                self.line.clear();
            }
        }
        Ok(())
    }

    /// Whether the bytes so far end between two events. At the end of a stream, `false` says that it was cut
    /// off: the event that was open is lost, as the rules have it.
    pub fn at_boundary(&self) -> bool {
        self.boundary.at_boundary()
    }

    fn hold(&mut self, part: &[u8]) -> Result<(), SseError> {
        let held = self.line.len() + self.name.len() + self.data.as_ref().map_or(0, Vec::len);
        if held + part.len() > self.limit {
            self.failed = true;
            return Err(SseError::TooLarge { limit: self.limit });
        }
        self.line.extend_from_slice(part);
        Ok(())
    }

    fn end_line(&mut self, mut line: &[u8]) -> Option<Event> {
        if std::mem::take(&mut self.start) {
            line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        }
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            return self.data.take().map(|data| Event { name, data });
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (field, value) = (&line[..colon], line.get(colon + 1..).unwrap_or_default());
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match (field, &mut self.data) {
            (b"data", Some(data)) => {
                data.push(b'\n');
                data.extend_from_slice(value);
            }
            (b"data", none) => *none = Some(value.to_vec()),
            (b"event", _) => value.clone_into(&mut self.name),
            // Comments, `id` and `retry`: nothing of ours reconnects to a stream.
            _ => {}
        }
        None
    }
}

impl Default for SseReader {
    fn default() -> Self {
        Self::new()
    }
}

/// Knows whether the bytes of a stream so far end between two events, where a comment of our own does no harm.
#[derive(Debug, Clone, Copy)]
pub struct BoundaryTracker {
    at: At,
    after_cr: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Boundary,
    LineStart,
    InLine,
}

impl BoundaryTracker {
    /// At the start of a stream, which is a boundary. (A comment put there would rob a byte order mark after it
    /// of its meaning; providers send none.)
    pub fn new() -> Self {
        Self { at: At::Boundary, after_cr: false }
    }

    /// Takes note of a chunk. Only the line ends at its end are looked at.
    pub fn push(&mut self, chunk: &[u8]) {
        let ends = match chunk.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')) {
            Some(last) => {
                (self.at, self.after_cr) = (At::InLine, false);
                &chunk[last + 1..]
            }
            None => chunk,
        };
        for &byte in ends {
            let second_half = std::mem::replace(&mut self.after_cr, byte == b'\r') && byte == b'\n';
            if !second_half {
                self.at = if self.at == At::InLine { At::LineStart } else { At::Boundary };
            }
        }
    }

    /// Whether an event ended, or none ever began, right before the next byte. Between the two halves of a CRLF
    /// this may be `true`: what comes in between makes the second half one more empty line, which is nothing.
    pub fn at_boundary(&self) -> bool {
        self.at == At::Boundary
    }
}

impl Default for BoundaryTracker {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
