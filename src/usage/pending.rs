//! The record of a request that is under way: a value that travels with the request, so that there is exactly
//! one record however it ends, also when nobody says how.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::UsageRecorder;
use crate::domain::{
    chat_request::ToolSet,
    key::Generation,
    secret::masked,
    usage::{Ended, Latency, Record, Routing, Saved, Tokens, ToolTally},
};

/// The longest text of a record, in bytes.
const TEXT_MAX: usize = 256;
/// What the client of a request that panicked is told.
const PANICKED: u16 = 500;

/// The definitions that a provider was spared and whose tokens are still to be counted.
#[derive(Debug, Clone, Default)]
pub struct Spared {
    /// Those that the key's lists removed.
    pub by_lists: ToolSet,
    /// Those that pruning removed.
    pub by_pruning: ToolSet,
    /// Those that pruning cut, as they were before.
    pub slimmed: ToolSet,
}

/// The record of a request that was let in and has not ended.
///
/// It is written exactly once: by `end`, or else when it is dropped. hyper drops the future and the body of an
/// answer when the client hangs up, so dropping it without a word means `Ended::Client`; while the thread
/// panics it means `Ended::Error`. Whoever holds it in a value that outlives the panic of its own poll (a body
/// written by hand) has to end it on every other way out.
#[derive(Debug)]
#[must_use = "dropped at once, it says that the client hung up"]
pub struct Pending {
    recorder: UsageRecorder,
    /// There until it is handed to the recorder. Boxed, since it moves with its request from one step to the next.
    open: Option<Box<Open>>,
}

/// A record, and what is known beside it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) record: Record,
    pub(super) spared: Spared,
    sent: Option<DateTime<Utc>>,
}

impl Pending {
    pub(super) fn new(recorder: UsageRecorder, record: Record) -> Self {
        let open = Open { record, spared: Spared::default(), sent: None };
        Self { recorder, open: Some(Box::new(open)) }
    }

    /// Notes that all of the request is there, and begins to measure: until then the time was the client's.
    pub fn whole(&mut self, now: DateTime<Utc>) {
        self.note(|record| record.at = now);
    }

    /// Notes what the client asked for.
    pub fn asked(&mut self, model: Option<&str>, streamed: bool) {
        self.note(|record| {
            record.model = model.map(own_words);
            record.streamed = streamed;
        });
    }

    /// Notes the client's name for the conversation.
    pub fn session(&mut self, session: &str) {
        self.note(|record| record.session = Some(own_words(session)));
    }

    /// Notes which generation of its key the request came with.
    pub fn generation(&mut self, generation: Option<Generation>) {
        self.note(|record| record.generation = generation.map(|generation| generation.number));
    }

    /// Notes which revision of the account's policy held.
    pub fn policy(&mut self, revision: i64) {
        self.note(|record| record.policy_revision = Some(revision));
    }

    /// Notes which upstream serves it.
    pub fn upstream(&mut self, name: &Arc<str>) {
        let fits = name.len() <= TEXT_MAX;
        self.note(|record| record.upstream = Some(if fits { Arc::clone(name) } else { cut(name).into() }));
    }

    /// Notes what became of the tools.
    pub fn tools(&mut self, tally: ToolTally) {
        self.note(|record| record.tools = tally);
    }

    /// Notes the tokens of the definitions that the provider was spared, where they are known.
    pub fn saved(&mut self, saved: Saved) {
        self.note(|record| record.saved = saved);
    }

    /// Has them counted by the writer, where they are not.
    pub fn spared(&mut self, spared: Spared) {
        if let Some(open) = &mut self.open {
            open.spared = spared;
        }
    }

    /// Notes how tools were compared.
    pub fn routing(&mut self, routing: Option<Routing>) {
        self.note(|record| record.routing = routing);
    }

    /// Notes that the request goes to the provider now.
    pub fn sent(&mut self) {
        let now = self.recorder.now();
        if let Some(open) = &mut self.open {
            open.sent = Some(now);
        }
    }

    /// Notes the HTTP status that the client is told.
    pub fn status(&mut self, status: u16) {
        self.note(|record| record.status = Some(status));
    }

    /// Notes that a piece of the answer came; the first is the first byte.
    pub fn piece(&mut self) {
        if let Some(open) = &mut self.open
            && open.record.latency.first_byte_us.is_none()
        {
            open.record.latency.first_byte_us = Some(micros(open.record.at, self.recorder.now()));
        }
    }

    /// Notes the tool calls of the answer, and how many of them were recall misses.
    pub fn called(&mut self, calls: usize, misses: usize) {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        self.note(|record| {
            record.called = count(calls);
            record.recall_misses = record.recall_misses.saturating_add(count(misses));
        });
    }

    /// Notes a recall miss that only this request showed: a call of the turn before.
    pub fn missed(&mut self) {
        self.note(|record| record.recall_misses = record.recall_misses.saturating_add(1));
    }

    /// Notes the provider's figures.
    pub fn tokens(&mut self, tokens: Tokens) {
        self.note(|record| record.tokens = tokens);
    }

    /// Writes the record.
    pub fn end(mut self, ended: Ended) {
        self.settle(ended, None);
    }

    fn note(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(open) = &mut self.open {
            change(&mut open.record);
        }
    }

    fn settle(&mut self, ended: Ended, status: Option<u16>) {
        let Some(mut open) = self.open.take() else { return };
        let (record, sent, now) = (&mut open.record, open.sent, self.recorder.now());
        let total_us = micros(record.at, now);
        let upstream_us = sent.map(|sent| micros(sent, now).min(total_us));
        record.latency =
            Latency { total_us, upstream_us, own_us: total_us - upstream_us.unwrap_or(0), ..record.latency };
        record.ended = ended;
        record.status = record.status.or(status);
        self.recorder.record(open);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        let (ended, status) = if panicking { (Ended::Error, Some(PANICKED)) } else { (Ended::Client, None) };
        self.settle(ended, status);
    }
}

/// The microseconds from one time to the other; none when the clock stepped back between them.
fn micros(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    (to - from).num_microseconds().unwrap_or(i64::MAX).max(0)
}

/// A text as it is kept: what is too long is cut.
fn cut(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_MAX)].to_owned()
}

/// A text of a client's own, without the secrets that he may have put into it.
fn own_words(text: &str) -> String {
    cut(&masked(&text[..text.floor_char_boundary(2 * TEXT_MAX)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(cut("gpt-4o"), "gpt-4o");
        assert_eq!(cut(&"é".repeat(200)), "é".repeat(128));
        assert_eq!(cut(&format!("x{}", "é".repeat(200))).len(), 255);
    }
}
