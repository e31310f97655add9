//! Turns what was decided into cuts: the calls that go, with the member that held them where none is left; the numbers
//! of those that stay; and the reason of the end, where it was a call that is gone.

use std::collections::BTreeMap;

use super::{
    calls::{Calls, Fate},
    shape::{Answer, Call, Choice, Message},
};
use crate::domain::json::Edits;

/// What an answer that goes on begins its end with, where no call is left.
const STOP: &str = "stop";

/// The changes to one text.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) edits: Edits,
    /// Whether calls went and nothing else was said.
    pub(super) hollow: bool,
}

pub(super) fn written(answer: &Answer, choices: &BTreeMap<u64, Calls>) -> Written {
    let mut written = Written::default();
    let mut speaks = answer.speaks;
    for choice in &answer.choices {
        speaks |= choice.speaks || choice.finish.is_some();
        let Some(calls) = choices.get(&choice.index) else {
            speaks |= choice.messages.iter().any(|message| message.speaks);
            continue;
        };
        for message in &choice.messages {
            let went = without(message, calls, &mut written.edits);
            written.hollow |= went;
            speaks |= message.speaks || choice.calls().any(|call| calls.fate(call) != Fate::Goes);
        }
        finish(choice, calls, &mut written.edits);
    }
    written.hollow &= !speaks;
    written
}

/// Takes the calls of a message that go out of it; whether there were any.
fn without(message: &Message, calls: &Calls, edits: &mut Edits) -> bool {
    let mut gone_members = Vec::new();
    let mut went = false;
    if let Some((place, parts)) = &message.tool_calls {
        let goes = |call: &Call| calls.fate(call) == Fate::Goes;
        let some = parts.iter().any(goes);
        went |= some;
        if some && parts.iter().all(goes) {
            gone_members.push(*place);
        } else {
            if some {
                edits.take_out(parts.iter().map(|call| (call.span, goes(call))));
            }
            parts.iter().filter(|call| !goes(call)).for_each(|call| rename(call, calls, edits));
        }
    }
    if let Some((place, call)) = &message.function_call {
        if calls.fate(call) == Fate::Goes {
            went = true;
            gone_members.push(*place);
        } else {
            rename(call, calls, edits);
        }
    }
    if !gone_members.is_empty() {
        let members = message.members.iter().enumerate();
        edits.take_out(members.map(|(place, span)| (*span, gone_members.contains(&place))));
    }
    went
}

/// Gives a call that stays its number, and empties the names that it says again.
fn rename(call: &Call, calls: &Calls, edits: &mut Edits) {
    if let (Some((span, own)), Fate::Stays(Some(number))) = (call.index, calls.fate(call))
        && own != number
    {
        edits.replace(span, number.to_string());
    }
    call.repeats.iter().for_each(|span| edits.take(*span));
}

fn finish(choice: &Choice, calls: &Calls, edits: &mut Edits) {
    if let Some(finish) = &choice.finish
        && finish.by_call
        && calls.are_gone()
    {
        edits.replace(finish.span, STOP.to_owned());
    }
}
