//! What of a stream reaches the client: whole events, by rules, in the provider's order and with its bytes.
//!
//! Two rules there are. A client that did not ask for the usage of a stream does not get the event that tells it,
//! since it is Orqen that asked; `"usage":null` in other events stays, though it may be there for the same reason:
//! some providers write it unasked, it says nothing, and taking it out would copy every event of every stream. And
//! calls that the key may not make are taken out (`domain::chat_answer`). A stream without rules has no sieve, and
//! a piece in which no rule has anything to do is passed as it is.
//!
//! A call is held until it is decided, and what comes after it waits behind it, so that no client sees an order that
//! the provider did not write. It takes a part or two: names come before arguments.

mod event;
#[cfg(test)]
mod tests;
mod usage;

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

use self::{
    event::{OddLine, RawEvent},
    usage::is_usage_alone,
};
use super::glance::Glance;
use crate::domain::chat_answer::{Answer, AnswerGuard, Unreadable, calls_nothing};

/// The longest event that is held until it is whole. One with usage alone has some hundred bytes; from a longer one
/// on all of the stream passes.
const LONGEST: usize = 1024 * 1024;
/// The same where calls are looked for, and a longer one ends the stream: one with a picture has some megabytes.
const LONGEST_GUARDED: usize = 8 * 1024 * 1024;
/// How many bytes wait for a call to be decided; with more it is decided by what is known. A call's first part has
/// some hundred bytes, and what could wait behind it is the text of other choices.
const HELD_MAX: usize = 1024 * 1024;

/// Lets the events of a stream pass by its rules.
#[derive(Debug)]
pub(super) struct Sieve {
    hides_usage: bool,
    guard: Option<AnswerGuard>,
    /// The begin of an event.
    begun: BytesMut,
    /// Where the last line of it begins.
    line: usize,
    /// Whether all passes from here on.
    open: bool,
    /// Whether an event came already.
    started: bool,
    /// Whether the piece at hand tells no usage, so that none of its events has to be searched again.
    quiet: bool,
    /// Events that wait, the first of them for a call to be decided.
    waiting: VecDeque<(RawEvent, Answer)>,
    /// How many bytes they have.
    held: usize,
}

/// What came of a piece.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    /// What passes.
    pub(super) passed: Bytes,
    /// Why nothing does from here on.
    pub(super) failed: Option<Unsure>,
}

/// Why it cannot be told which calls are in a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsure {
    #[error(transparent)]
    Event(#[from] OddLine),
    #[error(transparent)]
    Json(#[from] Unreadable),
    #[error("it has an event of more than {LONGEST_GUARDED} bytes")]
    TooLong,
}

impl Sieve {
    /// A sieve with these rules; `None` without any.
    pub(super) fn new(hides_usage: bool, guard: Option<AnswerGuard>) -> Option<Self> {
        (hides_usage || guard.is_some()).then(|| Self {
            hides_usage,
            guard,
            begun: BytesMut::new(),
            line: 0,
            open: false,
            started: false,
            quiet: false,
            waiting: VecDeque::new(),
            held: 0,
        })
    }

    /// What passes of a piece, and of what was held before it.
    pub(super) fn push(&mut self, mut piece: Bytes, glance: Glance) -> Sifted {
        if self.open || self.is_plain(&piece, glance) {
            self.started = true;
            return Sifted { passed: piece, failed: None };
        }
        self.quiet = self.begun.is_empty() && !glance.usage;
        let source = piece.clone();
        let mut passed = Passed::default();
        let failed = if self.begun.is_empty() {
            // Events that are whole in the piece are not copied.
            let failed = self.events(&mut piece, &mut passed);
            self.begun.extend_from_slice(&piece);
            failed
        } else {
            let mut begun = std::mem::take(&mut self.begun);
            begun.extend_from_slice(&piece);
            let failed = self.events(&mut begun, &mut passed);
            self.begun = begun;
            failed
        };
        let failed = failed.and_then(|()| self.bound(&mut passed)).err();
        Sifted { passed: passed.joined(&source), failed }
    }

    /// Whether no rule has anything to do with a piece: whole events that tell no usage and, where calls are looked for,
    /// of which no reader can find one, nor an end, with nothing held before them.
    fn is_plain(&self, piece: &[u8], glance: Glance) -> bool {
        let alone = self.begun.is_empty() && self.waiting.is_empty() && glance.ends_an_event;
        alone && !glance.usage && (self.guard.is_none() || (!glance.tells() && calls_nothing(piece)))
    }

    /// The same of one event: however the wire cuts a stream, the same comes of it.
    fn is_plain_event(&self, event: &[u8]) -> bool {
        self.guard.is_none()
            || (self.waiting.is_empty() && calls_nothing(event) && !Glance::of(event).tells())
    }

    /// What is held when the stream ends: an event without the empty line after it, and what waited.
    pub(super) fn rest(&mut self) -> Sifted {
        self.quiet = false;
        let mut passed = Passed::default();
        let last = std::mem::take(&mut self.begun).freeze();
        let failed = if last.is_empty() { Ok(()) } else { self.event(last, &mut passed) };
        if failed.is_ok()
            && let Some(guard) = &mut self.guard
        {
            guard.end();
            self.release(&mut passed);
        }
        Sifted { passed: passed.joined(&Bytes::new()), failed: failed.err() }
    }

    /// What the calls were for that were taken out since this was last asked.
    pub(super) fn removed(&mut self) -> Vec<String> {
        self.guard.as_mut().map(AnswerGuard::removed).unwrap_or_default()
    }

    /// Takes the whole events from the front of `bytes`.
    fn events(&mut self, bytes: &mut impl Front, passed: &mut Passed) -> Result<(), Unsure> {
        while let Some(end) = self.event_end(bytes.as_ref()) {
            self.line = 0;
            self.event(bytes.take(end), passed)?;
        }
        Ok(())
    }

    fn event(&mut self, event: Bytes, passed: &mut Passed) -> Result<(), Unsure> {
        let first = !std::mem::replace(&mut self.started, true);
        if self.hides_usage && !self.quiet && is_usage_alone(&event) {
            return Ok(());
        }
        let plain = self.is_plain_event(&event);
        let Some(guard) = self.guard.as_mut().filter(|_| !plain) else {
            passed.0.push(event);
            return Ok(());
        };
        let event = RawEvent::read(event, first)?;
        let data = event.data();
        let answer = if data.trim_ascii() == b"[DONE]" {
            guard.end();
            Answer::default()
        } else {
            guard.read(&data)?
        };
        self.held += event.len();
        self.waiting.push_back((event, answer));
        self.release(passed);
        if self.held > HELD_MAX
            && let Some(guard) = &mut self.guard
        {
            guard.end();
            self.release(passed);
        }
        Ok(())
    }

    /// Lets what waited for nothing any more pass.
    fn release(&mut self, passed: &mut Passed) {
        let Some(guard) = &self.guard else { return };
        while self.waiting.front().is_some_and(|(_, answer)| guard.is_settled(answer)) {
            let Some((event, answer)) = self.waiting.pop_front() else { return };
            self.held -= event.len();
            if let Some(data) = guard.write(&answer, event.data()) {
                passed.0.push(event.with(&data));
            }
        }
    }

    /// Sees to it that an event without an end is not held for ever.
    fn bound(&mut self, passed: &mut Passed) -> Result<(), Unsure> {
        if self.guard.is_some() {
            return if self.begun.len() > LONGEST_GUARDED { Err(Unsure::TooLong) } else { Ok(()) };
        }
        if self.begun.len() > LONGEST {
            self.open = true;
            passed.0.push(std::mem::take(&mut self.begun).freeze());
        }
        Ok(())
    }

    /// The place after the first empty line of what is held.
    fn event_end(&mut self, held: &[u8]) -> Option<usize> {
        while let Some(at) = memchr2(b'\r', b'\n', &held[self.line..]) {
            let at = self.line + at;
            let pair = held[at..].starts_with(b"\r\n");
            if held[at] == b'\r' && at + 1 == held.len() {
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

/// Bytes whose front can be taken off without a copy.
trait Front: AsRef<[u8]> {
    fn take(&mut self, length: usize) -> Bytes;
}

impl Front for Bytes {
    fn take(&mut self, length: usize) -> Bytes {
        self.split_to(length)
    }
}

impl Front for BytesMut {
    fn take(&mut self, length: usize) -> Bytes {
        self.split_to(length).freeze()
    }
}

/// Events that pass.
#[derive(Debug, Default)]
struct Passed(Vec<Bytes>);

impl Passed {
    /// All of them in one: a part of the piece that they stood in where they are one.
    fn joined(mut self, source: &Bytes) -> Bytes {
        if self.0.len() < 2 {
            return self.0.pop().unwrap_or_default();
        }
        let follow = |pair: &[Bytes]| pair[0].as_ptr_range().end == pair[1].as_ptr();
        let length = self.0.iter().map(Bytes::len).sum::<usize>();
        let start = (self.0[0].as_ptr() as usize).wrapping_sub(source.as_ptr() as usize);
        if start.checked_add(length).is_some_and(|end| end <= source.len()) && self.0.windows(2).all(follow) {
            return source.slice(start..start + length);
        }
        self.0.concat().into()
    }
}
