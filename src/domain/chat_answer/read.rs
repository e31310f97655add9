//! One pass over a JSON text of an answer: what decides about calls is there once, under its own name, and of the
//! kind that it always has. All of the text is valid JSON, also where nothing is looked for.
//!
//! Only members that decide are held to that, unlike in a request: providers are not ours to teach, and a repeated
//! `system_fingerprint` hides no call.

use super::{
    Unreadable,
    shape::{Answer, Call, Choice, Finish, Message, Said, Source},
};
use crate::domain::{
    json::{Invalid, Kind, Scanner, Span},
    toollist::fold,
};

/// How deep an answer may nest: as deep as a request may by default.
const DEPTH: usize = 128;
/// The longest name of a tool, in bytes, as in requests: sixteen times what providers take. A longer one is no
/// tool's, and folding it would cost more than it is worth.
const NAME_MAX: usize = 1024;
/// How many bytes of members' names that are not ASCII are folded. Real answers have none.
const FOLDING_MAX: usize = 1 << 16;
/// The greatest number of a call or choice. Only so that numbers can be counted on from it.
const INDEX_MAX: u64 = u32::MAX as u64;

const ROOT: &[&str] = &["choices"];
const CHOICE: &[&str] = &["index", "message", "delta", "finish_reason"];
const MESSAGE: &[&str] = &["tool_calls", "function_call"];
const CALL: &[&str] = &["index", "id", "type", "function", "custom", "name", "arguments", "input"];
const CALLED: &[&str] = &["name", "arguments", "input"];

/// Makes sure that it is JSON, whatever it says.
pub(super) fn valid(json: &[u8]) -> Result<(), Invalid> {
    let mut scan = match Scanner::new(json, DEPTH) {
        Err(Invalid::Empty) => return Ok(()),
        scan => scan?,
    };
    scan.skip()?;
    scan.end()
}

pub(super) fn answer(json: &[u8]) -> Result<Answer, Unreadable> {
    let mut answer = Answer::default();
    let mut scan = match Scanner::new(json, DEPTH) {
        Err(Invalid::Empty) => return Ok(answer),
        scan => scan?,
    };
    match scan.kind()? {
        Kind::Object => root(&mut scan, &mut answer)?,
        Kind::Array => return Err(Unreadable::Odd("JSON is an array and no object")),
        _ => {
            scan.skip()?;
        }
    }
    scan.end()?;
    Ok(answer)
}

fn root(scan: &mut Scanner<'_>, answer: &mut Answer) -> Result<(), Unreadable> {
    object(scan, ROOT, |scan, name, _| match name {
        "choices" if holds(scan, Kind::Array, "`choices` are no array")? => scan
            .array(|scan, place| {
                answer.choices.push(choice(scan, place as u64)?);
                Ok::<_, Unreadable>(())
            })
            .map(drop),
        "usage" | "error" => passed(scan, &mut answer.speaks),
        _ => skipped(scan),
    })
    .map(drop)
}

fn choice(scan: &mut Scanner<'_>, place: u64) -> Result<Choice, Unreadable> {
    let mut choice = Choice { index: place, ..Choice::default() };
    if !holds(scan, Kind::Object, "`choices` hold what is no object")? {
        skipped(scan)?;
        return Ok(choice);
    }
    object(scan, CHOICE, |scan, name, _| match name {
        "index" => {
            choice.index = index(scan)?.map_or(place, |(_, index)| index);
            Ok(())
        }
        "message" | "delta" if holds(scan, Kind::Object, "message is no object")? => {
            choice.messages.push(message(scan, name == "message")?);
            Ok(())
        }
        "finish_reason" if scan.kind()? == Kind::Text => {
            let text = scan.text()?;
            let word = text.decode(scan.source()).unwrap_or_default();
            let by_call = matches!(&*word, "tool_calls" | "function_call");
            choice.finish = Some(Finish { span: text.span, by_call });
            Ok(())
        }
        "finish_reason" => skipped(scan),
        _ => passed(scan, &mut choice.speaks),
    })?;
    Ok(choice)
}

fn message(scan: &mut Scanner<'_>, whole: bool) -> Result<Message, Unreadable> {
    let mut message = Message { whole, ..Message::default() };
    object(scan, MESSAGE, |scan, name, start| {
        let place = message.members.len();
        match name {
            "tool_calls" if holds(scan, Kind::Array, "`tool_calls` are no array")? => {
                message.tool_calls = Some((place, calls(scan)?));
            }
            "function_call" if holds(scan, Kind::Object, "`function_call` is no object")? => {
                message.function_call = Some((place, call(scan)?));
            }
            "tool_calls" | "function_call" => skipped(scan)?,
            _ => passed(scan, &mut message.speaks)?,
        }
        message.members.push(Span { start, end: scan.position() });
        Ok(())
    })?;
    Ok(message)
}

fn calls(scan: &mut Scanner<'_>) -> Result<Vec<Call>, Unreadable> {
    let mut calls = Vec::new();
    scan.array(|scan, _| {
        if scan.kind()? != Kind::Object {
            return Err(Unreadable::Odd("`tool_calls` hold what is no object"));
        }
        calls.push(call(scan)?);
        Ok(())
    })?;
    Ok(calls)
}

fn call(scan: &mut Scanner<'_>) -> Result<Call, Unreadable> {
    let mut call = Call::default();
    let span = object(scan, CALL, |scan, name, _| match name {
        "index" => {
            call.index = index(scan)?;
            Ok(())
        }
        "id" if scan.kind()? == Kind::Text => {
            let text = scan.text()?;
            let id = text.decode(scan.source()).ok().filter(|id| (1..=NAME_MAX).contains(&id.len()));
            call.id = id.map(Box::from);
            Ok(())
        }
        "id" => skipped(scan),
        "function" => called(scan, Source::Function, &mut call),
        "custom" => called(scan, Source::Custom, &mut call),
        "name" => said(scan, Source::Name, &mut call),
        "type" => said(scan, Source::Type, &mut call),
        "arguments" | "input" => arguments(scan, &mut call),
        _ => skipped(scan),
    })?;
    Ok(Call { span, ..call })
}

/// The object of a call that names the tool.
fn called(scan: &mut Scanner<'_>, source: Source, call: &mut Call) -> Result<(), Unreadable> {
    if !holds(scan, Kind::Object, "called function is no object")? {
        return skipped(scan);
    }
    object(scan, CALLED, |scan, name, _| match name {
        "name" => said(scan, source, call),
        "arguments" | "input" => arguments(scan, call),
        _ => skipped(scan),
    })
    .map(drop)
}

fn said(scan: &mut Scanner<'_>, source: Source, call: &mut Call) -> Result<(), Unreadable> {
    if scan.kind()? == Kind::Null {
        return skipped(scan);
    }
    if scan.kind()? != Kind::Text {
        return Err(Unreadable::Odd("called tool has a name that is no text"));
    }
    let text = scan.text()?;
    let long = text.span.end - text.span.start > 6 * NAME_MAX;
    let name = text.decode(scan.source()).ok().filter(|name| !long && name.len() <= NAME_MAX);
    let word = name.as_deref();
    // These types say what kind of thing is named. What is empty says nothing.
    let silent = word == Some("") || (source == Source::Type && matches!(word, Some("function" | "custom")));
    if !silent {
        call.said.push(Said { source, text: name.map(Box::from), span: text.span });
    }
    Ok(())
}

/// Arguments of any kind, but for null and an empty text, are their first bytes.
fn arguments(scan: &mut Scanner<'_>, call: &mut Call) -> Result<(), Unreadable> {
    let kind = scan.kind()?;
    let span = scan.skip()?;
    call.argued |= match kind {
        Kind::Null => false,
        Kind::Text => span.end - span.start > 2,
        _ => true,
    };
    Ok(())
}

fn index(scan: &mut Scanner<'_>) -> Result<Option<(Span, u64)>, Unreadable> {
    let kind = scan.kind()?;
    let span = scan.skip()?;
    if kind == Kind::Null {
        return Ok(None);
    }
    let number = scan.source()[span.start..span.end].parse().ok().filter(|index| *index <= INDEX_MAX);
    number.map(|index| Some((span, index))).ok_or(Unreadable::Odd("`index` is no small whole number"))
}

/// Whether what is looked for stands here. What says nothing may stand here too; something else that could hold a
/// call may not.
fn holds(scan: &Scanner<'_>, kind: Kind, otherwise: &'static str) -> Result<bool, Unreadable> {
    match scan.kind()? {
        found if found == kind => Ok(true),
        Kind::Object | Kind::Array => Err(Unreadable::Odd(otherwise)),
        Kind::Text if !scan.source()[scan.position()..].starts_with("\"\"") => {
            Err(Unreadable::Odd(otherwise))
        }
        _ => Ok(false),
    }
}

fn skipped(scan: &mut Scanner<'_>) -> Result<(), Unreadable> {
    scan.skip()?;
    Ok(())
}

/// Passes a value, and notes whether it is one.
fn passed(scan: &mut Scanner<'_>, speaks: &mut bool) -> Result<(), Unreadable> {
    *speaks |= scan.kind()? != Kind::Null;
    skipped(scan)
}

/// Walks an object in which the members `governed` decide. `each` gets every member's name and where its quote
/// stands, and must pass its value.
fn object(
    scan: &mut Scanner<'_>,
    governed: &'static [&'static str],
    mut each: impl FnMut(&mut Scanner<'_>, &str, usize) -> Result<(), Unreadable>,
) -> Result<Span, Unreadable> {
    let mut seen = 0_u32;
    scan.object(|scan, text| {
        let source = scan.source();
        let name =
            text.decode(source).map_err(|_| Unreadable::Odd("JSON has a member whose name is no text"))?;
        if !name.is_ascii() && !scan.spend(name.len(), FOLDING_MAX) {
            return Err(Unreadable::Odd("JSON has too many members whose names are not ASCII"));
        }
        if let Some(place) = governed.iter().position(|known| *known == name) {
            if seen & (1 << place) != 0 {
                return Err(Unreadable::Repeated(governed[place]));
            }
            seen |= 1 << place;
        } else if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
            // Else it folds to itself.
            let folded = fold(&name);
            if let Some(known) = governed.iter().find(|known| **known == folded) {
                return Err(Unreadable::LookAlike(known));
            }
        }
        each(scan, &name, text.span.start - 1)
    })
}
