//! The rules of event streams, line by line, and the laws: where the wire cuts never matters.

use proptest::prelude::*;

use super::*;

fn read(chunks: &[&[u8]]) -> Vec<Event> {
    let (mut reader, mut events) = (SseReader::new(), Vec::new());
    for chunk in chunks {
        reader.push(chunk, &mut events).unwrap();
    }
    events
}

fn data(stream: &str) -> Vec<String> {
    read(&[stream.as_bytes()]).into_iter().map(|event| String::from_utf8(event.data).unwrap()).collect()
}

#[test]
fn every_kind_of_line_end_ends_an_event() {
    for end in ["\n", "\r", "\r\n"] {
        let stream = format!("data: one{end}{end}data: two{end}{end}");
        assert_eq!(data(&stream), ["one", "two"], "{end:?}");
    }
    assert_eq!(data("data: one\r\n\ndata: two\n\r\n"), ["one", "two"]);
}

#[test]
fn data_lines_of_one_event_are_joined_and_lose_one_space() {
    assert_eq!(data("data: a\ndata:b\ndata:  c\n\n"), ["a\nb\n c"]);
    assert_eq!(data("data\n\n"), [""]);
    assert_eq!(data("data\ndata\n\n"), ["\n"]);
}

#[test]
fn comments_other_fields_and_events_without_data_are_no_events() {
    assert!(data(": ping\n\nid: 7\nretry: 10\n\nevent: x\n\ndatax: 1\n\n\n\n").is_empty());
    assert_eq!(data(": ping\ndata: a\nid: 7\n\n"), ["a"]);
}

#[test]
fn the_name_of_an_event_does_not_leak_into_the_next() {
    let events = read(&[b"event: error\ndata: a\n\ndata: b\n\n"]);
    assert_eq!(events[0].name, b"error");
    assert!(events[1].name.is_empty());
}

#[test]
fn a_byte_order_mark_is_skipped_at_the_start_only() {
    assert_eq!(data("\u{feff}data: a\n\n\u{feff}data: b\n\ndata: c\n\n"), ["a", "c"]);
    assert_eq!(read(&[b"\xef", b"\xbb", b"\xbfdata: a\n\n"]).len(), 1);
}

#[test]
fn an_event_that_the_end_cuts_off_is_lost() {
    assert!(data("data: a\n").is_empty());
    let (mut reader, mut events) = (SseReader::new(), Vec::new());
    reader.push(b"data: a\n\ndata: b\n", &mut events).unwrap();
    assert!(!reader.at_boundary());
    assert_eq!(events.len(), 1);
}

#[test]
fn done_is_recognised() {
    assert!(read(&[b"data: [DONE]\n\n"])[0].is_done());
    assert!(!read(&[b"data: {}\n\n"])[0].is_done());
}

#[test]
fn an_event_that_grows_too_large_is_refused_for_good() {
    for stream in ["data: 0123456789", ": 0123456789abcdef", "data: 01234\ndata: 56789"] {
        let (mut reader, mut events) = (SseReader::bounded(12), Vec::new());
        reader.push(b"data: a\n\n", &mut events).unwrap();
        assert_eq!(
            reader.push(stream.as_bytes(), &mut events),
            Err(SseError::TooLarge { limit: 12 }),
            "{stream}"
        );
        assert_eq!(reader.push(b"\n\n", &mut events), Err(SseError::TooLarge { limit: 12 }));
        assert_eq!(events.len(), 1);
    }
}

/// Streams in which everything that matters is likely.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(vec![
        "data:", "data: ", "event: e", ":", "id: 1", "x", " ", "\r", "\n", "\r\n", "\n\n", "\u{feff}", "é",
        "[DONE]",
    ]);
    prop::collection::vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes())
}

proptest! {
    #[test]
    fn a_stream_cut_at_any_byte_gives_the_same_events(
        stream in streams(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let (mut reader, mut events) = (SseReader::bounded(40), Vec::new());
        let (mut whole_reader, mut whole) = (SseReader::bounded(40), Vec::new());
        let result = cuts.windows(2).try_for_each(|cut| reader.push(&stream[cut[0]..cut[1]], &mut events));
        let whole_result = whole_reader.push(&stream, &mut whole);
        prop_assert_eq!(events, whole);
        prop_assert_eq!(result, whole_result);
        if result.is_ok() {
            prop_assert_eq!(reader.at_boundary(), whole_reader.at_boundary());
        }
    }

    #[test]
    fn a_comment_at_a_boundary_changes_no_event(stream in streams(), at in any::<prop::sample::Index>()) {
        let (before, after) = stream.split_at(at.index(stream.len() + 1));
        let mut tracker = BoundaryTracker::new();
        tracker.push(before);
        // A byte order mark after a comment is the one exception, told in `BoundaryTracker::new`.
        if tracker.at_boundary() && !(before.is_empty() && after.starts_with(BYTE_ORDER_MARK)) {
            prop_assert_eq!(read(&[before, b": keep-alive\n\n", after]), read(&[&stream]));
        }
    }

    #[test]
    fn anything_at_all_is_read_without_a_panic(stream in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = SseReader::bounded(64);
        let _ = reader.push(&stream, &mut Vec::new());
    }
}
