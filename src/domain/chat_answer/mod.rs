//! The other side of the tool lists: calls in an answer to tools that the key may not use are taken out of it.
//!
//! A model can call what it was never offered: it invents a name, or a document that it read tells it one. What a
//! key may not offer it may not be told to call either, by the same lists and the same matching; a tool that pruning
//! left out is allowed, and a call to it passes. `AnswerGuard` sees every JSON text of an answer, the whole one or
//! the events of a stream, says when all is known about the calls in it, and cuts out those that go. The bytes of
//! what stays are the provider's. How texts are cut out of a wire, and how long they are held, is `chat`'s business.
//!
//! As with requests, a text that two parsers could read differently is no text to pass on: it is `Unreadable`.
//! Tools that the provider ran itself are told of in members of their own (`executed_tools`, `annotations`): they are
//! done, nobody is asked to run them, and they pass.

mod calls;
mod read;
mod shape;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;

use bytes::Bytes;

use self::calls::Calls;
pub use self::shape::Answer;
use crate::domain::{json::Invalid, key::ToolMode, toollist::Toollist};

/// The most calls of one answer. Real ones have a handful, and each is remembered and compared with every pattern.
const CALLS_MAX: usize = 1024;

/// Why the calls in an answer cannot be told for certain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no JSON.
    #[error(transparent)]
    Json(#[from] Invalid),
    /// A member that decides is there twice: parsers differ in which they take.
    #[error("it has the member `{0}` more than once in one object")]
    Repeated(&'static str),
    /// A member that only passes for one that decides (`Tool_Calls`): some parsers take it for that one.
    #[error("it has a member that differs from `{0}` only in case, form or invisible characters")]
    LookAlike(&'static str),
    /// Something that decides is not what it is everywhere else.
    #[error("its {0}")]
    Odd(&'static str),
    /// More calls than are followed.
    #[error("it calls more than {CALLS_MAX} tools")]
    TooMany,
    /// A call that has passed gets a name that may not.
    #[error("it goes on with the name of a tool after the call has begun")]
    Late,
}

/// Takes calls that the key may not make out of one answer.
#[derive(Debug)]
pub struct AnswerGuard {
    toollist: Toollist,
    /// By the number of the choice.
    choices: BTreeMap<u64, Calls>,
    calls: usize,
}

impl AnswerGuard {
    /// What guards the answers to a key with these lists, or `None` where nothing would be taken out: without lists,
    /// and in `observe`. `block` takes out as `filter` does: the answer is paid for, and refusing all of it for a
    /// call that the agent did not ask for would only lose the rest.
    pub fn new(toollist: &Toollist, mode: ToolMode) -> Option<Self> {
        let idle = toollist.permits_all() || mode == ToolMode::Observe;
        (!idle).then(|| Self { toollist: toollist.clone(), choices: BTreeMap::new(), calls: 0 })
    }

    /// Reads the next JSON text of the answer. Nothing, or white space, is one without calls.
    pub fn read(&mut self, json: &[u8]) -> Result<Answer, Unreadable> {
        let mut answer = read::answer(json)?;
        for choice in &mut answer.choices {
            let parts = choice.calls().count();
            // Before the first of them is compared with anything.
            if parts > CALLS_MAX || self.calls > CALLS_MAX {
                return Err(Unreadable::TooMany);
            }
            if parts > 0 {
                let calls = self.choices.entry(choice.index).or_default();
                self.calls += calls.take(choice, &self.toollist)?;
            }
            if let (Some(_), Some(calls)) = (&choice.finish, self.choices.get_mut(&choice.index)) {
                calls.end(&self.toollist);
            }
        }
        Ok(answer)
    }

    /// Decides about all that is still open, by what is known: no more will come, or none is waited for.
    pub fn end(&mut self) {
        self.choices.values_mut().for_each(|calls| calls.end(&self.toollist));
    }

    /// Whether it is decided what becomes of every call in a text that was read.
    pub fn is_settled(&self, answer: &Answer) -> bool {
        answer.choices.iter().all(|choice| {
            let calls = self.choices.get(&choice.index);
            choice.calls().all(|call| calls.is_some_and(|calls| calls.is_decided(call)))
        })
    }

    /// A text of a stream that was read and is settled, less the calls that go: the very same bytes where none does,
    /// and `None` where nothing else was said.
    pub fn write(&self, answer: &Answer, json: Bytes) -> Option<Bytes> {
        let written = write::written(answer, &self.choices);
        (!written.hollow).then(|| written.edits.apply(json))
    }

    /// The same for an answer in one piece.
    pub fn whole(&mut self, json: Bytes) -> Result<Bytes, Unreadable> {
        if calls_nothing(&json) {
            read::valid(&json)?;
            return Ok(json);
        }
        self.whole_of_calls(json)
    }

    /// The same for one that was read before and is JSON, for whatever else it was read.
    pub fn whole_valid(&mut self, json: Bytes) -> Result<Bytes, Unreadable> {
        if calls_nothing(&json) { Ok(json) } else { self.whole_of_calls(json) }
    }

    fn whole_of_calls(&mut self, json: Bytes) -> Result<Bytes, Unreadable> {
        let answer = self.read(&json)?;
        self.end();
        Ok(write::written(&answer, &self.choices).edits.apply(json))
    }

    /// What the calls were for that were taken out since this was last asked: a name each.
    pub fn removed(&mut self) -> Vec<String> {
        self.choices.values_mut().flat_map(Calls::removed).collect()
    }
}

/// Whether no reader, however it reads, can find a call in these bytes: all of them are printable ASCII or white space, none
/// is written as an escape, and the letters of `call`, in whatever case, are nowhere in a row. Most answers, and most
/// pieces of streams, are texts that say so within a look at their bytes.
pub fn calls_nothing(json: &[u8]) -> bool {
    let plain = json.iter().fold(true, |plain, byte| {
        plain & (matches!(byte, b' '..=b'~') | matches!(byte, b'\n' | b'\r' | b'\t'))
    });
    plain && !spells(json)
}

/// Whether `call` or the begin of an escape, `\u`, stands somewhere. Without an early exit and with every byte beside its next
/// three, which is done with vectors: answers have many a `c`, and a search that stops at each takes three times as long.
fn spells(json: &[u8]) -> bool {
    let letter = |byte: &u8, letter: u8| byte | 0x20 == letter;
    let escape = |first: &u8, second: &u8| (*first == b'\\') & (*second == b'u');
    let Some(from) = json.len().checked_sub(3) else {
        return json.windows(2).any(|two| escape(&two[0], &two[1]));
    };
    let rows = json[..from].iter().zip(&json[1..]).zip(json[2..].iter().zip(&json[3..]));
    let found = rows.fold(false, |found, ((first, second), (third, fourth))| {
        let call = letter(first, b'c') & letter(second, b'a') & letter(third, b'l') & letter(fourth, b'l');
        found | call | escape(first, second)
    });
    found || json[from..].windows(2).any(|two| escape(&two[0], &two[1]))
}
