//! What a client makes of an answer: the calls that it would carry out, and the words that it would show.
//!
//! Every member that is there twice counts twice, so that a client that takes the first and one that takes the last
//! are both in here.

use std::collections::BTreeMap;

use super::{given::Lists, json::Json};

/// The call that a part belongs to: the choice's number, and its own; the old `function_call` has none.
type Place = (u64, Option<u64>);

/// A client, and what it has heard so far.
#[derive(Debug, Default)]
pub(super) struct Client {
    /// Calls that a stream has brought, put together as the contract says: by number, names appended.
    parts: BTreeMap<Place, Vec<Call>>,
    /// Calls that a message has brought whole.
    whole: Vec<Call>,
    /// Every part of a name, for a client that takes one for the name.
    heard: Vec<String>,
    /// What each choice says in words.
    pub(super) words: BTreeMap<u64, String>,
}

/// The names of one call: by `function`, by `custom`, of the call itself, and its type.
#[derive(Debug, Default)]
struct Call {
    id: Option<String>,
    names: [String; 4],
}

impl Client {
    /// Hears a whole answer, or an event of a stream.
    pub(super) fn hear(&mut self, text: &[u8]) {
        let Some(answer) = Json::read(text) else { return };
        for (place, choice) in answer.all("choices").into_iter().flat_map(Json::elements).enumerate() {
            let number = choice.get("index").and_then(Json::count).unwrap_or(place as u64);
            for message in choice.all("message") {
                for call in calls_of(message) {
                    let call = self.heard_call(call, Call::default());
                    self.whole.push(call);
                }
                self.say(number, message);
            }
            for delta in choice.all("delta") {
                for list in delta.all("tool_calls") {
                    for (place, part) in list.elements().into_iter().enumerate() {
                        let own = part.get("index").and_then(Json::count);
                        self.part((number, Some(own.unwrap_or(place as u64))), part, own.is_some());
                    }
                }
                delta.all("function_call").into_iter().for_each(|part| self.part((number, None), part, true));
                self.say(number, delta);
            }
        }
    }

    /// No call is left that the lists forbid.
    pub(super) fn calls_nothing_forbidden(&self, lists: &Lists) {
        for call in self.parts.values().flatten().chain(&self.whole) {
            for name in call.names.iter().filter(|name| !name.is_empty()) {
                assert!(!lists.forbid(name), "a call to {name:?} passes");
            }
        }
        for name in &self.heard {
            assert!(!lists.deny(name), "{name:?} passes as a part of a name");
        }
    }

    /// A part of a call. One without a number that has another id begins another call, as no client could append it.
    fn part(&mut self, place: Place, part: Json<'_>, numbered: bool) {
        let mut calls = self.parts.remove(&place).unwrap_or_default();
        let id = part.get("id").and_then(Json::text).filter(|id| !id.is_empty());
        let other = calls.last().is_some_and(|call| id.is_some() && call.id.is_some() && call.id != id);
        let before = if numbered || !other { calls.pop().unwrap_or_default() } else { Call::default() };
        let call = self.heard_call(part, before);
        calls.push(call);
        self.parts.insert(place, calls);
    }

    fn heard_call(&mut self, part: Json<'_>, mut call: Call) -> Call {
        call.id = call.id.or_else(|| part.get("id").and_then(Json::text).filter(|id| !id.is_empty()));
        let inside =
            |member: &str| part.all(member).into_iter().flat_map(|object| object.all("name")).collect();
        let said: [Vec<Json<'_>>; 3] = [inside("function"), inside("custom"), part.all("name")];
        for (name, said) in call.names.iter_mut().zip(said) {
            for said in said.into_iter().filter_map(Json::text) {
                name.push_str(&said);
                self.heard.extend((!said.is_empty()).then_some(said));
            }
        }
        for kind in part.all("type").into_iter().filter_map(Json::text) {
            if kind != "function" && kind != "custom" {
                call.names[3] = kind;
            }
        }
        call
    }

    fn say(&mut self, number: u64, message: Json<'_>) {
        let said: String = message.all("content").into_iter().filter_map(Json::text).collect();
        if !said.is_empty() {
            self.words.entry(number).or_default().push_str(&said);
        }
    }
}

fn calls_of(message: Json<'_>) -> Vec<Json<'_>> {
    let many = message.all("tool_calls").into_iter().flat_map(Json::elements);
    many.chain(message.all("function_call")).collect()
}
