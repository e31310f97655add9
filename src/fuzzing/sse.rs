//! The reader of events: how the wire cuts a stream never matters, and the events are those of the rules.

use super::{given, wire};
use crate::chat::sse::{BoundaryTracker, Event, SseError, SseReader};

/// A bound that inputs reach.
const SMALL: usize = 48;

/// Reads a stream whose cuts the first line says.
pub fn sse(input: &[u8]) {
    let Some((cuts, stream)) = given::first_line(input) else { return };
    let whole = read(SseReader::new(), &[stream]);
    let bounded = read(SseReader::bounded(SMALL), &[stream]);
    for cuts in [cuts, b"!"] {
        let pieces = given::pieces(stream, cuts);
        assert_eq!(read(SseReader::new(), &pieces), whole, "cut otherwise, it is another stream");
        assert_eq!(read(SseReader::bounded(SMALL), &pieces), bounded, "cut otherwise, the bound is another");
    }
    let (expected, _) = wire::events(stream);
    let events: Vec<wire::Event> =
        whole.events.iter().map(|event| (event.name.clone(), event.data.clone())).collect();
    assert_eq!(events, expected, "the events are not those of the rules");
    assert!(whole.events.starts_with(&bounded.events), "a bound makes other events");
    // One line may be as long as the bound, and with its name and data no longer.
    let small = wire::lines(stream).iter().all(|(line, _)| line.len() <= SMALL);
    let fits = bounded.events.iter().all(|event| event.data.len() + event.name.len() <= SMALL);
    assert!(fits && (small || bounded.failed), "the bound is not kept");
    assert_eq!(whole.at_boundary, ends_between_events(stream), "it does not end where it says");
}

#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<Event>,
    failed: bool,
    at_boundary: bool,
}

fn read(mut reader: SseReader, pieces: &[&[u8]]) -> Outcome {
    let (mut events, mut tracker, mut failed) = (Vec::new(), BoundaryTracker::new(), None::<SseError>);
    for piece in pieces {
        tracker.push(piece);
        let read = reader.push(piece, &mut events);
        assert!(failed.is_none() || read.is_err(), "an error is forgotten");
        failed = failed.or(read.err());
    }
    if failed.is_none() {
        assert_eq!(reader.at_boundary(), tracker.at_boundary(), "the two disagree about where it ends");
    }
    Outcome { events, failed: failed.is_some(), at_boundary: tracker.at_boundary() }
}

/// Whether nothing stands after the last empty line.
fn ends_between_events(stream: &[u8]) -> bool {
    match wire::lines(stream).last() {
        None => true,
        Some((line, ended)) => line.is_empty() && *ended,
    }
}
