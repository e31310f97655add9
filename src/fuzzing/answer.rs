//! An answer under the lists of a key, in one piece and as a stream: no call passes that they forbid, nothing else is
//! lost, and how the wire cuts a stream never matters.

use bytes::Bytes;

use super::{
    client::Client,
    given::{self, Given},
    json::Json,
    wire,
};
use crate::{
    chat::fuzzing::sifted,
    domain::{chat_answer::AnswerGuard, key::ToolMode},
};

/// Takes an answer through the lists, as a whole and as a stream. The option `u` keeps the usage of a stream back.
pub fn answer(input: &[u8]) {
    let Some(given) = Given::of(input) else { return };
    whole(&given);
    streamed(&given);
}

fn whole(given: &Given<'_>) {
    let Some(mut guard) = AnswerGuard::new(&given.lists.toollist, ToolMode::Filter) else { return };
    let Ok(left) = guard.whole(Bytes::copy_from_slice(given.rest)) else { return };
    let empty = given.rest.iter().all(u8::is_ascii_whitespace);
    assert!(empty || Json::read(&left).is_some(), "what is left is no JSON");
    let [before, after] = [given.rest, &left[..]].map(heard);
    after.calls_nothing_forbidden(&given.lists);
    assert_eq!(before.words, after.words, "words are lost");
    if guard.removed().is_empty()
        && !given.rest.windows(7).any(|bytes| matches!(bytes, b"\"index\"" | b"\"delta\""))
    {
        assert_eq!(left, given.rest, "nothing is taken out, and it is another answer");
    }
}

fn streamed(given: &Given<'_>) {
    let pass = |pieces: &[&[u8]]| sifted(given.has('u'), &given.lists.toollist, pieces);
    let Some((left, failed)) = pass(&[given.rest]) else { return };
    for cuts in [given.cuts, b"!"] {
        let pieces = given::pieces(given.rest, cuts);
        let otherwise = pass(&pieces).unwrap_or_default();
        assert_eq!(otherwise.1, failed, "cut otherwise, it ends otherwise");
        assert!(otherwise.0 == left, "cut otherwise, other bytes pass");
    }
    let after = listened(&left);
    if !given.lists.toollist.permits_all() {
        after.calls_nothing_forbidden(&given.lists);
        let mut by_line = Client::default();
        wire::data_lines(&left).iter().for_each(|line| by_line.hear(line));
        by_line.calls_nothing_forbidden(&given.lists);
    }
    if failed.is_none() {
        assert_eq!(listened(given.rest).words, after.words, "words are lost");
    }
}

/// A client that has heard one text.
fn heard(text: &[u8]) -> Client {
    let mut client = Client::default();
    client.hear(text);
    client
}

/// A client that has heard a stream, also what stands after its last empty line.
fn listened(stream: &[u8]) -> Client {
    let (events, last) = wire::events(stream);
    let mut client = Client::default();
    events.iter().chain(&last).for_each(|(_, data)| client.hear(data));
    client
}
