//! An event of a stream as its bytes: what its data say, and the same event with other data.
//!
//! `sse` reads events for whoever wants to know what is in them; here the bytes around the data have to survive. An
//! event that clients could cut otherwise than the rules have it is none that may pass: they would read other data.

use bytes::Bytes;
use memchr::{memchr, memchr2};

use crate::domain::json::Span;

/// An event, with the empty line that ends it where there is one.
#[derive(Debug)]
pub(super) struct RawEvent {
    bytes: Bytes,
    data: Data,
}

#[derive(Debug)]
enum Data {
    /// A comment, a name or nothing at all.
    None,
    /// In one line, as always.
    Line(Span),
    /// In several, which are one text. Some clients take each line for itself, so that it is written as one.
    Lines(Bytes),
}

/// A line that is no field of an event, which some clients may take for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it has a line that is no field of an event")]
pub(in crate::chat) struct OddLine;

impl RawEvent {
    /// Reads an event; `first` says that the stream begins with it.
    pub(super) fn read(bytes: Bytes, first: bool) -> Result<Self, OddLine> {
        let mut values: Vec<Span> = Vec::new();
        for line in lines(&bytes, first) {
            match field(&bytes, line) {
                (b"data", value) => values.push(value),
                // A comment is a field without a name, and so is an empty line.
                (b"" | b"event" | b"id" | b"retry", _) => {}
                _ => return Err(OddLine),
            }
        }
        let data = match values[..] {
            [] => Data::None,
            [one] => Data::Line(one),
            _ => {
                let values: Vec<&[u8]> = values.iter().map(|value| value.of(&bytes)).collect();
                Data::Lines(values.join(&b'\n').into())
            }
        };
        Ok(Self { bytes, data })
    }

    /// What it says.
    pub(super) fn data(&self) -> Bytes {
        match &self.data {
            Data::None => Bytes::new(),
            Data::Line(span) => self.bytes.slice(span.start..span.end),
            Data::Lines(joined) => joined.clone(),
        }
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The event with these data: its own bytes where they are what it had in one line.
    pub(super) fn with(self, data: &Bytes) -> Bytes {
        let mut place = match self.data {
            Data::None => return self.bytes,
            Data::Line(span)
                if data.as_ptr() == self.bytes[span.start..].as_ptr()
                    && data.len() == span.end - span.start =>
            {
                return self.bytes;
            }
            Data::Line(_) | Data::Lines(_) => Some(data),
        };
        let mut written = Vec::with_capacity(self.bytes.len() + data.len());
        let mut at = 0;
        for line in lines(&self.bytes, false) {
            let (name, value) = field(&self.bytes, line);
            if name.strip_prefix(BYTE_ORDER_MARK).unwrap_or(name) != b"data" {
                continue;
            }
            written.extend_from_slice(&self.bytes[at..line.start]);
            at = line.end;
            match place.take() {
                Some(data) => {
                    written.extend_from_slice(&self.bytes[line.start..value.start]);
                    // In JSON a line's end stands between two tokens, where a space means the same.
                    written.extend(data.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
                }
                // Of the others the line's end goes as well, or it would be an empty line.
                None => at += line_end(&self.bytes[at..]),
            }
        }
        written.extend_from_slice(&self.bytes[at..]);
        written.into()
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The place of each line, without its end.
fn lines(bytes: &[u8], first: bool) -> impl Iterator<Item = Span> {
    let mut at = if first && bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    std::iter::from_fn(move || {
        if at >= bytes.len() {
            return None;
        }
        let end = memchr2(b'\r', b'\n', &bytes[at..]).map_or(bytes.len(), |length| at + length);
        let line = Span { start: at, end };
        at = end + line_end(&bytes[end..]);
        Some(line)
    })
}

/// How long the line end is that stands here.
fn line_end(bytes: &[u8]) -> usize {
    match bytes {
        [b'\r', b'\n', ..] => 2,
        [] => 0,
        _ => 1,
    }
}

/// The name of a line's field, and the place of its value.
fn field(bytes: &[u8], line: Span) -> (&[u8], Span) {
    let text = line.of(bytes);
    let colon = memchr(b':', text).unwrap_or(text.len());
    let value = (line.start + colon + 1).min(line.end);
    let space = usize::from(bytes[value..line.end].starts_with(b" "));
    (&text[..colon], Span { start: value + space, end: line.end })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &'static str) -> RawEvent {
        RawEvent::read(Bytes::from_static(text.as_bytes()), true).unwrap()
    }

    #[test]
    fn data_are_found_among_other_fields_and_put_back_in_their_place() {
        for (text, data, expected) in [
            ("data: {}\n\n", "{}", "data: new\n\n"),
            ("data:{}\r\n\r\n", "{}", "data:new\r\n\r\n"),
            (": x\nid: 7\ndata:  {}\revent: e\r\r", " {}", ": x\nid: 7\ndata: new\revent: e\r\r"),
            ("data: [\ndata\n:c\ndata:1]\n\n", "[\n\n1]", "data: new\n:c\n\n"),
            ("\u{feff}data: {}\n\n", "{}", "\u{feff}data: new\n\n"),
            ("data: {}", "{}", "data: new"),
        ] {
            assert_eq!(event(text).data(), data, "{text:?}");
            assert_eq!(event(text).with(&Bytes::from_static(b"new")), expected, "{text:?}");
        }
    }

    #[test]
    fn an_event_whose_data_stay_is_the_same_buffer_and_one_in_several_lines_becomes_one() {
        let bytes = Bytes::from_static(b"data: {}\n\n");
        let event = RawEvent::read(bytes.clone(), false).unwrap();
        let data = event.data();
        assert_eq!(event.with(&data).as_ptr(), bytes.as_ptr());
        let event = RawEvent::read(Bytes::from_static(b"data: {\ndata: }\n\n"), false).unwrap();
        let data = event.data();
        assert_eq!(event.with(&data), "data: { }\n\n");
    }

    #[test]
    fn a_line_that_only_some_clients_read_is_refused() {
        for text in
            ["Data: {}\n\n", " data: {}\n\n", "{\"choices\":[]}", "\u{feff}data: {}\n\n", "data : 1\n\n"]
        {
            assert_eq!(
                RawEvent::read(Bytes::from_static(text.as_bytes()), false).err(),
                Some(OddLine),
                "{text:?}"
            );
        }
        for text in ["", "\n\n", ": comment\n\n", "event: ping\n\n", "retry: 1\nid\n\n"] {
            let event = RawEvent::read(Bytes::from_static(text.as_bytes()), false).unwrap();
            assert!(event.data().is_empty());
            assert_eq!(event.with(&Bytes::new()), text);
        }
    }
}
