//! The rules of the sieve on streams, cut at every byte.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::domain::{key::ToolMode, toollist::Toollist};

const CHUNK: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
const LAST: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
const BOTH: &str = "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const NAMED: &str = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"name\":\"a\"}]}}]}\n\n";
const ARGUED: &str =
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"arguments\":\"{}\"}]}}]}\n\n";
const GONE: &str = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"name\":\"gone\"}]}}]}\n\n";
const BY_CALL: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n";
const STOPPED: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

fn hiding() -> Sieve {
    Sieve::new(true, None).unwrap()
}

fn guarding(hides_usage: bool) -> Sieve {
    let list = Toollist::new(None, Some(vec!["gone".into()])).unwrap();
    Sieve::new(hides_usage, AnswerGuard::new(&list, ToolMode::Filter)).unwrap()
}

fn push(sieve: &mut Sieve, piece: impl Into<Bytes>) -> Sifted {
    let piece = piece.into();
    let glance = Glance::of(&piece);
    sieve.push(piece, glance)
}

/// All that passes of a stream in these pieces, or what passed before it failed.
fn sifted(mut sieve: Sieve, pieces: &[&[u8]]) -> Result<String, (String, Unsure)> {
    let mut all = Vec::new();
    let mut text = |passed: &Bytes| {
        all.extend_from_slice(passed);
        String::from_utf8_lossy(&all).into_owned()
    };
    for piece in pieces {
        let Sifted { passed, failed } = push(&mut sieve, Bytes::copy_from_slice(piece));
        let so_far = text(&passed);
        if let Some(failed) = failed {
            return Err((so_far, failed));
        }
    }
    let Sifted { passed, failed } = sieve.rest();
    let all = text(&passed);
    failed.map_or(Ok(all.clone()), |failed| Err((all, failed)))
}

fn passed(pieces: &[&[u8]]) -> String {
    sifted(hiding(), pieces).unwrap()
}

#[test]
fn without_a_rule_there_is_no_sieve() {
    assert!(Sieve::new(false, None).is_none());
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
            assert_eq!(sifted(guarding(true), &[&bytes[..at], &bytes[at..]]).unwrap(), expected, "{at}");
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
    assert_eq!(push(&mut hiding(), whole.clone()).passed.as_ptr(), whole.as_ptr(), "not even a copy");
}

#[test]
fn an_event_without_an_end_is_not_held_for_ever_and_usage_at_the_end_is_not_told() {
    let long = format!("data: {}", "x".repeat(LONGEST));
    assert_eq!(passed(&[long.as_bytes(), LAST.as_bytes()]), format!("{long}{LAST}"));
    assert_eq!(passed(&[LAST.trim_end().as_bytes()]), "");
}

#[test]
fn a_call_that_may_not_be_made_is_taken_out_wherever_the_stream_is_cut() {
    for end in ["\n", "\r\n", "\r"] {
        let stream = format!("{CHUNK}{GONE}{CHUNK}{ARGUED}{BY_CALL}{DONE}").replace('\n', end);
        let expected = format!("{CHUNK}{CHUNK}{STOPPED}{DONE}").replace('\n', end);
        let bytes = stream.as_bytes();
        for at in 0..=bytes.len() {
            assert_eq!(sifted(guarding(false), &[&bytes[..at], &bytes[at..]]).unwrap(), expected, "{at}");
        }
        assert_eq!(sifted(guarding(false), &bytes.chunks(1).collect::<Vec<_>>()).unwrap(), expected);
    }
}

#[test]
fn text_passes_at_once_and_calls_with_their_first_argument_bytes() {
    let mut sieve = guarding(false);
    let text = Bytes::from([CHUNK, CHUNK, ": comment\n\n"].concat());
    assert_eq!(push(&mut sieve, text.clone()).passed.as_ptr(), text.as_ptr(), "not even a copy of several");
    assert_eq!(push(&mut sieve, NAMED).passed, "");
    assert_eq!(push(&mut sieve, CHUNK).passed, "", "what follows a call waits with it");
    assert_eq!(push(&mut sieve, ARGUED).passed, format!("{NAMED}{CHUNK}{ARGUED}"));
    assert_eq!(push(&mut sieve, ARGUED).passed.as_ptr(), ARGUED.as_ptr());
    let both = format!("{CHUNK}{CHUNK}data: {{\"cho");
    assert_eq!(push(&mut sieve, both).passed, [CHUNK, CHUNK].concat());
}

#[test]
fn a_call_without_arguments_is_decided_at_the_end() {
    for end in [BY_CALL, DONE, ""] {
        assert_eq!(
            sifted(guarding(false), &[NAMED.as_bytes(), end.as_bytes()]).unwrap(),
            format!("{NAMED}{end}")
        );
        let left = end.replace("tool_calls", "stop");
        assert_eq!(sifted(guarding(false), &[GONE.as_bytes(), end.as_bytes()]).unwrap(), left);
    }
    let mut sieve = guarding(false);
    let filler = format!(
        "data: {{\"choices\":[{{\"index\":1,\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "x".repeat(HELD_MAX)
    );
    assert_eq!(push(&mut sieve, GONE).passed, "");
    assert_eq!(push(&mut sieve, filler.clone()).passed, filler, "more is not held for a call");
}

#[test]
fn a_stream_whose_calls_cannot_be_told_ends() {
    for odd in [
        "data: {\"choices\":[],\"choices\":[{\"tool_calls\":0}]}\n\n",
        "data: call\n\n",
        "Data: {\"tool_calls\":0}\n\n",
        "{\"choices\":[\"call\"]}\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"name\":\"gone",
        "data: {\"a\ndata: call\":1}\n\n",
        "data: 1\ndata: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"name\":\"gone\"}]}}]}\n\n",
    ] {
        let stream = format!("{CHUNK}{odd}");
        let (before, _) = sifted(guarding(false), &[stream.as_bytes()]).expect_err(odd);
        assert_eq!(before, CHUNK, "{odd}");
    }
    let long = "x".repeat(LONGEST_GUARDED);
    let (before, why) = sifted(guarding(false), &[CHUNK.as_bytes(), b"data: ", long.as_bytes()]).unwrap_err();
    assert_eq!((before.as_str(), why), (CHUNK, Unsure::TooLong));
}

#[test]
fn what_no_reader_finds_a_call_in_passes_however_odd_it_is_and_however_it_is_cut() {
    for odd in
        ["data: {\"choices\":[],\"Choices\":[]}\n\n", "data: hello\n\n", "Data: {}\n\n", "{\"choices\":[]}\n"]
    {
        let stream = format!("{CHUNK}{odd}");
        for cut in 0..stream.len() {
            let (one, other) = stream.as_bytes().split_at(cut);
            assert_eq!(sifted(guarding(false), &[one, other]).unwrap(), stream, "{odd}");
        }
    }
}

fn streams() -> impl Strategy<Value = String> {
    let two = "data: {\"choices\":\ndata: [{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"name\":\"gone\"}]}}]}\n\n";
    let events = vec![
        CHUNK,
        LAST,
        BOTH,
        DONE,
        NAMED,
        ARGUED,
        GONE,
        BY_CALL,
        two,
        ": c\n\n",
        "\n",
        "id: 1\n",
        "data:\n\n",
    ];
    vec((select(events), select(vec!["\n", "\r\n", "\r"])), 0..12)
        .prop_map(|events| events.iter().map(|(event, end)| event.replace('\n', end)).collect())
}

proptest! {
    #[test]
    fn a_stream_cut_at_any_byte_passes_the_same_bytes(
        stream in streams(), cuts in vec(any::<prop::sample::Index>(), 0..6), hides_usage in any::<bool>(),
    ) {
        let bytes = stream.as_bytes();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let whole = sifted(guarding(hides_usage), &[bytes]);
        prop_assert_eq!(sifted(guarding(hides_usage), &pieces), whole.clone());
        let passed = whole.unwrap_or_else(|(before, _)| before);
        prop_assert!(!passed.contains("gone"), "{}", passed);
    }
}
