//! What the model called, read from the answer as it passes by, for the pruner to learn from.
//!
//! Only answers to requests whose tools were chosen are watched, and of those only the pieces in which a call is
//! spoken of are read. Watching changes nothing and holds nothing up: the bytes are gone by the time they are looked
//! at. An answer that is too long or odd to be read teaches nothing, which is no harm.

use std::{collections::BTreeMap, sync::Arc};

use memchr::memmem;

use crate::{
    chat::sse::{Event, SseReader},
    domain::json::{Invalid, Kind, Scanner},
    prune::{Pruner, Ticket},
    upstream::UpstreamResponse,
};

/// The longest answer that is not a stream, and the longest event of one, that is read.
const LONGEST: usize = 1024 * 1024;
/// The most calls of one answer.
const CALLS_MAX: usize = 256;
/// How deep an answer is followed.
const DEPTH: usize = 64;

/// Watches one answer.
#[derive(Debug)]
pub(super) struct Watch {
    pruner: Arc<Pruner>,
    ticket: Ticket,
    reading: Reading,
    /// Names by the choice and the place of the call in it.
    calls: BTreeMap<(u64, u64), String>,
}

#[derive(Debug)]
enum Reading {
    /// A stream: events that are open, and whether any was cut in two.
    Events(Box<SseReader>),
    Whole(Vec<u8>),
    /// It is too long, or no success.
    Nothing,
}

impl Watch {
    pub(super) fn new(pruner: Arc<Pruner>, ticket: Ticket, response: &UpstreamResponse) -> Self {
        let reading = match (response.status.is_success(), response.is_event_stream()) {
            (false, _) => Reading::Nothing,
            (true, true) => Reading::Events(Box::new(SseReader::bounded(LONGEST))),
            (true, false) => Reading::Whole(Vec::new()),
        };
        Self { pruner, ticket, reading, calls: BTreeMap::new() }
    }

    /// Takes note of a piece of the answer.
    pub(super) fn push(&mut self, piece: &[u8]) {
        match &mut self.reading {
            Reading::Events(reader) => {
                // Most pieces are whole events that speak of no call.
                if reader.at_boundary() && ends_an_event(piece) && !speaks_of_call(piece) {
                    return;
                }
                let mut events = Vec::new();
                if reader.push(piece, &mut events).is_err() {
                    self.reading = Reading::Nothing;
                }
                for event in events {
                    self.read_event(&event);
                }
            }
            Reading::Whole(body) if body.len() + piece.len() <= LONGEST => body.extend_from_slice(piece),
            Reading::Whole(_) => self.reading = Reading::Nothing,
            Reading::Nothing => {}
        }
    }

    /// Hands what was called to the pruner; of an answer that broke off, what came of it. Gives the number of
    /// calls, and how many of them were recall misses.
    pub(super) fn finish(mut self) -> (usize, usize) {
        if let Reading::Whole(body) = std::mem::replace(&mut self.reading, Reading::Nothing)
            && speaks_of_call(&body)
        {
            self.read(&body);
        }
        let called: Vec<String> = self.calls.into_values().filter(|name| !name.is_empty()).collect();
        if called.is_empty() {
            return (0, 0);
        }
        (called.len(), self.pruner.learn(&self.ticket, &called))
    }

    fn read_event(&mut self, event: &Event) {
        if speaks_of_call(&event.data) {
            self.read(&event.data);
        }
    }

    fn read(&mut self, json: &[u8]) {
        if let Ok(mut scan) = Scanner::new(json, DEPTH) {
            let _ = members(&mut scan, |scan, name| match name {
                "choices" if scan.kind()? == Kind::Array => {
                    scan.array(|scan, place| self.choice(scan, place as u64)).map(drop)
                }
                _ => scan.skip().map(drop),
            });
        }
    }

    fn choice(&mut self, scan: &mut Scanner<'_>, choice: u64) -> Result<(), Invalid> {
        members(scan, |scan, name| match name {
            "message" | "delta" => members(scan, |scan, name| match name {
                "tool_calls" if scan.kind()? == Kind::Array => {
                    scan.array(|scan, place| self.call(scan, (choice, place as u64))).map(drop)
                }
                // One call a choice, and none beside it.
                "function_call" => self.call(scan, (choice, u64::MAX)),
                _ => scan.skip().map(drop),
            }),
            _ => scan.skip().map(drop),
        })
    }

    fn call(&mut self, scan: &mut Scanner<'_>, (choice, place): (u64, u64)) -> Result<(), Invalid> {
        let (mut index, mut called) = (place, String::new());
        members(scan, |scan, name| match name {
            "index" => {
                let source = scan.source();
                let span = scan.skip()?;
                index = source[span.start..span.end].parse().unwrap_or(place);
                Ok(())
            }
            "function" | "custom" => members(scan, |scan, name| match name {
                "name" => text(scan, &mut called),
                _ => scan.skip().map(drop),
            }),
            "name" => text(scan, &mut called),
            _ => scan.skip().map(drop),
        })?;
        if !called.is_empty() && (self.calls.len() < CALLS_MAX || self.calls.contains_key(&(choice, index))) {
            // Some providers send a name in pieces.
            self.calls.entry((choice, index)).or_default().push_str(&called);
        }
        Ok(())
    }
}

/// Walks an object; anything else is passed.
fn members(
    scan: &mut Scanner<'_>,
    mut each: impl FnMut(&mut Scanner<'_>, &str) -> Result<(), Invalid>,
) -> Result<(), Invalid> {
    if scan.kind()? != Kind::Object {
        return scan.skip().map(drop);
    }
    scan.object(|scan, member| {
        let source = scan.source();
        each(scan, &member.decode(source).unwrap_or_default())
    })
    .map(drop)
}

fn text(scan: &mut Scanner<'_>, into: &mut String) -> Result<(), Invalid> {
    if scan.kind()? != Kind::Text {
        return scan.skip().map(drop);
    }
    let text = scan.text()?;
    if text.span.end - text.span.start <= 1024 {
        into.push_str(&text.decode(scan.source()).unwrap_or_default());
    }
    Ok(())
}

/// `tool_calls` or `function_call`.
fn speaks_of_call(bytes: &[u8]) -> bool {
    memmem::find(bytes, b"_call").is_some()
}

fn ends_an_event(piece: &[u8]) -> bool {
    piece.ends_with(b"\n\n") || piece.ends_with(b"\r\n\r\n")
}
