//! What one pass over a JSON text of an answer has found: where calls are, and what they say.

use crate::domain::json::Span;

/// A JSON text of an answer, read.
#[derive(Debug, Default)]
pub struct Answer {
    pub(super) choices: Vec<Choice>,
    /// Whether it says more than its choices: usage, or an error.
    pub(super) speaks: bool,
}

/// One of its choices.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) index: u64,
    pub(super) finish: Option<Finish>,
    /// Its `delta` or `message`.
    pub(super) messages: Vec<Message>,
    /// Whether it says more than its messages.
    pub(super) speaks: bool,
}

/// A `finish_reason` that is given.
#[derive(Debug)]
pub(super) struct Finish {
    /// What stands between the quotes.
    pub(super) span: Span,
    /// Whether it is `tool_calls` or `function_call`.
    pub(super) by_call: bool,
}

/// A `delta` or `message`.
#[derive(Debug, Default)]
pub(super) struct Message {
    /// Whether it is a `message`, whose calls are whole; a delta has parts of them.
    pub(super) whole: bool,
    /// Every member, in order: neighbours are needed to take one out with its comma.
    pub(super) members: Vec<Span>,
    /// `tool_calls`: its place among the members, and what is in it.
    pub(super) tool_calls: Option<(usize, Vec<Call>)>,
    /// `function_call`, likewise.
    pub(super) function_call: Option<(usize, Call)>,
    /// Whether it says more than calls.
    pub(super) speaks: bool,
}

/// A call, or a part of one.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) span: Span,
    pub(super) index: Option<(Span, u64)>,
    pub(super) id: Option<Box<str>>,
    pub(super) said: Vec<Said>,
    /// Whether there are bytes of arguments in it.
    pub(super) argued: bool,
    /// Its place among the calls of the choice, once it is known whose part it is.
    pub(super) number: usize,
    /// The names in it that only repeat what was said before.
    pub(super) repeats: Vec<Span>,
}

/// A name that a call says, or a part of one; never empty.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) source: Source,
    /// `None` for one that no tool has: too long, or no text.
    pub(super) text: Option<Box<str>>,
    /// What stands between the quotes.
    pub(super) span: Span,
}

/// Which member says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// `function.name`
    Function,
    /// `custom.name`
    Custom,
    /// `name` of the call itself.
    Name,
    /// `type`, where it is no word for one of the others: a tool that the provider knows by itself.
    Type,
}

impl Choice {
    /// All calls in it.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.messages.iter().flat_map(|message| {
            let many = message.tool_calls.iter().flat_map(|(_, calls)| calls);
            many.chain(message.function_call.iter().map(|(_, call)| call))
        })
    }
}

impl Call {
    /// The names in it, without a type.
    pub(super) fn names(&self) -> impl Iterator<Item = &Said> {
        self.said.iter().filter(|said| said.source != Source::Type)
    }
}
