//! What an answer tells, read from it as the provider sends it: what the model called, for the pruner to learn from,
//! the provider's figures, for the record, and whether a stream came to its end.
//!
//! Only the pieces in which one of these is spoken of are read. Watching changes nothing and holds nothing up. It
//! comes before anything is kept back: a call that is taken out of the answer was made by the model all the same,
//! and counts as called. An answer that is too long or odd to be read tells nothing, which is no harm.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;

use crate::{
    chat::{
        glance::{Glance, tells_call, tells_usage},
        sse::{Event, SseReader},
    },
    domain::{
        json::{Invalid, Kind, Scanner},
        toollist::Toollist,
        usage::Tokens,
    },
    prune::{Pruner, Ticket},
    upstream::UpstreamResponse,
};

/// The longest answer in one piece that is read: with a picture in it, it may have megabytes.
const LONGEST: usize = 8 * 1024 * 1024;
/// The most calls of one answer.
const CALLS_MAX: usize = 256;
/// How deep an answer is followed.
const DEPTH: usize = 64;
/// More tokens than any answer has: beyond it a figure is wrong.
const TOKENS_MAX: i64 = 1_000_000_000_000;

/// Watches one answer.
#[derive(Debug)]
pub(super) struct Watch {
    learner: Option<(Arc<Pruner>, Ticket)>,
    /// Lists in `observe`: calls that they would have taken out are counted.
    observed: Option<Toollist>,
    reading: Reading,
    /// Whether all of an answer in one piece was read, and is JSON.
    json: bool,
    /// Whether the stream said that it has ended.
    done: bool,
    /// Whether a reason for the end was given.
    finished: bool,
    /// Names by the choice and the place of the call in it.
    calls: BTreeMap<(u64, u64), String>,
    tokens: Tokens,
}

/// What an answer told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Told {
    /// How many tools were called.
    pub(super) calls: usize,
    /// How many of them had been pruned.
    pub(super) misses: usize,
    /// How many lists in `observe` would have taken out.
    pub(super) would_remove: usize,
    /// Whether it is all there: of a stream that it said so, by `[DONE]` or, since some providers leave that out,
    /// between two events once a reason for the end was given.
    pub(super) whole: bool,
    /// The provider's figures, the last ones where there were several.
    pub(super) tokens: Tokens,
}

#[derive(Debug)]
enum Reading {
    /// A stream: events that are open, and whether any was cut in two.
    Events(Box<SseReader>),
    /// The pieces of an answer that is no stream, and their length.
    Whole(Vec<Bytes>, usize),
    /// It is too long, or no success.
    Nothing,
}

impl Watch {
    pub(super) fn new(
        learner: Option<(Arc<Pruner>, Ticket)>,
        observed: Option<Toollist>,
        response: &UpstreamResponse,
    ) -> Self {
        let reading = match (response.status.is_success(), response.is_event_stream()) {
            (false, _) => Reading::Nothing,
            (true, true) => Reading::Events(Box::default()),
            (true, false) => Reading::Whole(Vec::new(), 0),
        };
        Self {
            learner,
            observed,
            reading,
            json: false,
            done: false,
            finished: false,
            calls: BTreeMap::new(),
            tokens: Tokens::default(),
        }
    }

    /// Takes note of a piece of the answer; of a stream with what it speaks of.
    pub(super) fn push(&mut self, piece: &Bytes, glance: Option<Glance>) {
        match &mut self.reading {
            Reading::Events(reader) => {
                // Most pieces are whole events that tell nothing.
                let glance = glance.unwrap_or_else(|| Glance::of(piece));
                if reader.at_boundary() && glance.ends_an_event && !glance.tells() {
                    return;
                }
                let mut events = Vec::new();
                if reader.push(piece, &mut events).is_err() {
                    self.reading = Reading::Nothing;
                }
                for event in &events {
                    self.done |= event.is_done();
                    self.read_if_told(&event.data);
                }
            }
            Reading::Whole(pieces, length) if *length + piece.len() <= LONGEST => {
                *length += piece.len();
                pieces.push(piece.clone());
            }
            Reading::Whole(..) => self.reading = Reading::Nothing,
            Reading::Nothing => {}
        }
    }

    /// Reads what came, and looks at nothing more; whether it is all there.
    pub(super) fn close(&mut self) -> bool {
        match std::mem::replace(&mut self.reading, Reading::Nothing) {
            Reading::Whole(pieces, _) => {
                match &pieces[..] {
                    [] => {}
                    [whole] => self.read_whole(whole),
                    pieces => self.read_whole(&pieces.concat()),
                }
                true
            }
            Reading::Events(reader) => self.done || self.ends_well(*reader),
            // Nobody can say otherwise.
            Reading::Nothing => true,
        }
    }

    /// Hands what was called to the pruner, and says what was told; of an answer that broke off, what came of it.
    pub(super) fn finish(mut self) -> Told {
        let whole = self.close();
        let called: Vec<String> = self.calls.into_values().filter(|name| !name.is_empty()).collect();
        let misses = match &self.learner {
            Some((pruner, ticket)) if !called.is_empty() => pruner.learn(ticket, &called),
            _ => 0,
        };
        let barred = |lists: &Toollist| called.iter().filter(|name| !lists.permits(name)).count();
        let would_remove = self.observed.as_ref().map_or(0, barred);
        Told { calls: called.len(), misses, would_remove, whole, tokens: self.tokens }
    }

    /// Whether a stream without `[DONE]` ended between two events after its reason; only a last `[DONE]` is whole
    /// without the empty line after it.
    fn ends_well(&self, mut reader: SseReader) -> bool {
        if reader.at_boundary() {
            return self.finished;
        }
        let mut last = Vec::new();
        reader.push(b"\n\n", &mut last).is_ok() && last.iter().any(Event::is_done)
    }

    /// An answer in one piece. Where nothing is called only its figures are looked for: the end needs no reason.
    fn read_whole(&mut self, json: &[u8]) {
        let call = tells_call(json);
        if call || tells_usage(json) {
            self.json = self.read(json, call).is_ok();
        }
    }

    /// Whether it was read to its end once it was closed, and is JSON: nobody has to read it again to say so.
    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    fn read_if_told(&mut self, json: &[u8]) {
        if Glance::of(json).tells() {
            let _ = self.read(json, true);
        }
    }

    /// Reads the figures, and the choices where they are asked for. What was read before something odd stays read.
    fn read(&mut self, json: &[u8], choices: bool) -> Result<(), Invalid> {
        let mut scan = Scanner::new(json, DEPTH)?;
        members(&mut scan, |scan, name| match name {
            "choices" if choices && scan.kind()? == Kind::Array => {
                scan.array(|scan, place| self.choice(scan, place as u64)).map(drop)
            }
            "usage" if scan.kind()? == Kind::Object => {
                self.tokens = tokens(scan)?;
                Ok(())
            }
            _ => scan.skip().map(drop),
        })?;
        scan.end()
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
            "finish_reason" => {
                self.finished |= scan.kind()? == Kind::Text;
                scan.skip().map(drop)
            }
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
pub(super) fn members(
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

/// The figures of a `usage` object. One that is no sensible number is none.
fn tokens(scan: &mut Scanner<'_>) -> Result<Tokens, Invalid> {
    let mut tokens = Tokens::default();
    members(scan, |scan, name| match name {
        "prompt_tokens" => number(scan, &mut tokens.prompt),
        "completion_tokens" => number(scan, &mut tokens.completion),
        "prompt_tokens_details" => members(scan, |scan, name| match name {
            "cached_tokens" => number(scan, &mut tokens.cached),
            _ => scan.skip().map(drop),
        }),
        _ => scan.skip().map(drop),
    })?;
    Ok(tokens)
}

fn number(scan: &mut Scanner<'_>, into: &mut Option<i64>) -> Result<(), Invalid> {
    let source = scan.source();
    let span = scan.skip()?;
    *into = source[span.start..span.end].parse().ok().filter(|tokens| (0..=TOKENS_MAX).contains(tokens));
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, StatusCode, header};
    use http_body_util::{BodyExt, Empty};

    use super::*;

    fn told(media: &'static str, pieces: &[&'static str]) -> Told {
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media))]);
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let mut watch = Watch::new(None, None, &UpstreamResponse::new(StatusCode::OK, headers, body));
        pieces.iter().for_each(|piece| watch.push(&Bytes::from_static(piece.as_bytes()), None));
        watch.finish()
    }

    const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":5,"total_tokens":17,"prompt_tokens_details":{"cached_tokens":8}}}"#;

    fn figures(prompt: i64, completion: i64, cached: i64) -> Tokens {
        Tokens { prompt: Some(prompt), completion: Some(completion), cached: Some(cached) }
    }

    #[test]
    fn the_figures_of_an_answer_are_read_however_it_is_cut() {
        let event: &'static str = format!("data: {USAGE}\n\n").leak();
        for at in 0..=event.len() {
            let (one, other) = event.split_at(at);
            assert_eq!(told("text/event-stream", &["data: {}\n\n", one, other]).tokens, figures(12, 5, 8));
        }
        for at in 0..=USAGE.len() {
            let (one, other) = USAGE.split_at(at);
            assert_eq!(told("application/json", &[one, other]).tokens, figures(12, 5, 8));
        }
    }

    #[test]
    fn of_figures_that_come_twice_the_last_hold_and_of_wrong_ones_none() {
        let twice = ["data: {\"usage\": {\"prompt_tokens\": 1}}\n\n", "data: {\"usage\":null}\n\n"];
        assert_eq!(told("text/event-stream", &twice).tokens, Tokens { prompt: Some(1), ..Tokens::default() });
        let again = [twice[0], "data: {\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":3}}\n\n"];
        let tokens = Tokens { prompt: Some(2), completion: Some(3), cached: None };
        assert_eq!(told("text/event-stream", &again).tokens, tokens);
        for wrong in [
            r#"{"usage":{"prompt_tokens":-1,"completion_tokens":1.5}}"#,
            r#"{"usage":{"prompt_tokens":"12","completion_tokens":null}}"#,
            r#"{"usage":{"prompt_tokens":99999999999999999999,"prompt_tokens_details":7}}"#,
            r#"{"usage":[1]}"#,
            r#"{"usage":{"prompt_tokens":12"#,
            "no JSON",
        ] {
            assert_eq!(told("application/json", &[wrong]).tokens, Tokens::default(), "{wrong}");
        }
    }

    #[test]
    fn calls_are_counted_beside_them() {
        let call = r#"{"choices":[{"message":{"tool_calls":[{"function":{"name":"a"}},{"function":{"name":"b"}}]}}],"usage":{"prompt_tokens":3}}"#;
        let told = told("application/json", &[call]);
        assert_eq!((told.calls, told.misses, told.tokens.prompt), (2, 0, Some(3)));
    }

    #[test]
    fn a_stream_is_whole_when_it_says_so() {
        const LAST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\": \"stop\"}]}\n\n";
        const MORE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":null}]}\n\n";
        const DONE: &str = "data: [DONE]\n\n";
        let whole = |pieces: &[&'static str]| told("text/event-stream", pieces).whole;
        for pieces in
            [&[MORE, LAST, DONE][..], &[MORE, DONE], &[LAST], &[LAST, ": x\n\n"], &["data: [DO", "NE]\n"]]
        {
            assert!(whole(pieces), "{pieces:?}");
        }
        for pieces in [&[MORE][..], &[], &[LAST, "data: {\"cho"], &[&LAST[..LAST.len() - 1]]] {
            assert!(!whole(pieces), "{pieces:?}");
        }
        assert!(told("application/json", &["{}"]).whole);
    }

    #[test]
    fn calls_that_observed_lists_would_take_out_are_counted() {
        let list = Toollist::new(None, Some(vec!["gone".into()])).unwrap();
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let mut watch = Watch::new(None, Some(list), &UpstreamResponse::new(StatusCode::OK, headers, body));
        let answer = r#"{"choices":[{"message":{"tool_calls":[{"function":{"name":"Gone"}},{"function":{"name":"b"}}]}}]}"#;
        watch.push(&Bytes::from_static(answer.as_bytes()), None);
        let told = watch.finish();
        assert_eq!((told.calls, told.would_remove), (2, 1));
    }
}
