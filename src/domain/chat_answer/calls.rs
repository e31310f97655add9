//! The calls of one choice, put together from their parts as a client would, and decided as soon as they can be.
//!
//! A call is decided by its whole name, which may come in pieces: once its arguments begin, once another call's do
//! (the contract says the next index; a provider that interleaves the pieces of two names is read right so too), and
//! at the end. Of pieces the whole must pass, and no piece may be denied by itself: some clients take the first or
//! the last for the name. A name that is only said again is emptied where it goes on, for whoever appends it.

use std::collections::HashMap;

use super::{
    Unreadable,
    shape::{Call, Choice, Source},
};
use crate::domain::toollist::Toollist;

/// The longest name that pieces make, in bytes; a longer one is no tool's.
const NAME_MAX: usize = 1024;

/// The calls of one choice so far.
#[derive(Debug, Default)]
pub(super) struct Calls {
    known: Vec<Known>,
    /// The call that a part at this place goes on with.
    current: HashMap<Slot, usize>,
    /// Whether numbers are given out anew, since one has been left out or comes twice.
    renumbers: bool,
    /// The number after the greatest that was given out.
    next: u64,
    /// What was taken out and has not been told.
    removed: Vec<String>,
}

/// Where the parts of one call come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Slot {
    Index(u64),
    Function,
}

#[derive(Debug)]
struct Known {
    /// The provider's number; the old `function_call` has none.
    own: Option<u64>,
    id: Option<Box<str>>,
    /// The names so far: by `function`, by `custom`, and of the call itself.
    names: [String; 3],
    kind: Option<Box<str>>,
    /// It has a name that passes no list.
    tainted: bool,
    /// Its arguments have begun.
    begun: bool,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Open,
    /// It stays, under this number where it has one.
    Stays(Option<u64>),
    Goes,
}

impl Calls {
    /// Takes note of the calls in a text; how many of them are new.
    pub(super) fn take(&mut self, choice: &mut Choice, toollist: &Toollist) -> Result<usize, Unreadable> {
        let before = self.known.len();
        for message in &mut choice.messages {
            if let Some((_, calls)) = &mut message.tool_calls {
                for (place, call) in calls.iter_mut().enumerate() {
                    let own = call.index.map_or(place as u64, |(_, index)| index);
                    self.part(call, (Slot::Index(own), Some(own)), message.whole, toollist)?;
                }
            }
            if let Some((_, call)) = &mut message.function_call {
                self.part(call, (Slot::Function, None), message.whole, toollist)?;
            }
        }
        Ok(self.known.len() - before)
    }

    /// Decides about what is open.
    pub(super) fn end(&mut self, toollist: &Toollist) {
        (0..self.known.len()).for_each(|number| self.decide(number, toollist));
    }

    pub(super) fn is_decided(&self, call: &Call) -> bool {
        self.known[call.number].fate != Fate::Open
    }

    pub(super) fn fate(&self, call: &Call) -> Fate {
        self.known[call.number].fate
    }

    /// Whether there were calls and none is left.
    pub(super) fn are_gone(&self) -> bool {
        !self.known.is_empty() && self.known.iter().all(|known| known.fate == Fate::Goes)
    }

    pub(super) fn removed(&mut self) -> Vec<String> {
        std::mem::take(&mut self.removed)
    }

    /// A call, or a part of one. In a message every call is whole and another one.
    fn part(
        &mut self,
        call: &mut Call,
        (slot, own): (Slot, Option<u64>),
        whole: bool,
        toollist: &Toollist,
    ) -> Result<(), Unreadable> {
        let before = self.current.get(&slot).copied();
        let same = before.filter(|&number| !whole && !self.known[number].is_followed_by(call));
        let number = same.unwrap_or(self.known.len());
        if same.is_none() {
            if let Some(before) = before {
                self.decide(before, toollist);
            }
            self.known.push(Known::new(own));
            self.current.insert(slot, number);
        }
        call.number = number;
        self.known[number].hear(call, toollist);
        let known = &self.known[number];
        if matches!(known.fate, Fate::Stays(_)) && !call.said.is_empty() && !known.passes(toollist) {
            return Err(Unreadable::Late);
        }
        if whole {
            self.decide(number, toollist);
        } else if call.argued {
            self.end(toollist);
        }
        Ok(())
    }

    fn decide(&mut self, number: usize, toollist: &Toollist) {
        let known = &self.known[number];
        if known.fate != Fate::Open {
            return;
        }
        let fate = if known.passes(toollist) {
            Fate::Stays(known.own.map(|own| self.numbered(own)))
        } else {
            self.renumbers = true;
            self.removed.push(known.shown());
            Fate::Goes
        };
        self.known[number].fate = fate;
    }

    /// The number that a call goes on with: its own, as long as that is free and nothing before it was left out.
    fn numbered(&mut self, own: u64) -> u64 {
        let taken = || self.known.iter().any(|known| known.fate == Fate::Stays(Some(own)));
        self.renumbers = self.renumbers || taken();
        let number = if self.renumbers { self.next } else { own };
        self.next = self.next.max(number + 1);
        number
    }
}

impl Known {
    fn new(own: Option<u64>) -> Self {
        let (id, names, kind) = (None, Default::default(), None);
        Self { own, id, names, kind, tainted: false, begun: false, fate: Fate::Open }
    }

    /// Whether this part is no part of this call but the beginning of another one at its place, as of providers that
    /// number all calls alike: it has another id, and some have a new id in every part, so that it must name a tool
    /// as well; or it names another tool once the arguments have begun.
    fn is_followed_by(&self, call: &Call) -> bool {
        let other_id = matches!((&self.id, &call.id), (Some(known), Some(id)) if known != id);
        let mut names = call.names();
        if other_id {
            return names.next().is_some();
        }
        self.begun && names.any(|said| said.text.as_deref() != Some(self.name(said.source)))
    }

    /// Takes note of what a part says.
    fn hear(&mut self, call: &mut Call, toollist: &Toollist) {
        if self.id.is_none() {
            self.id = call.id.take();
        }
        self.begun |= call.argued;
        for said in &call.said {
            let Some(text) = &said.text else {
                self.tainted = true;
                continue;
            };
            let Some(name) = self.names.get_mut(said.source as usize) else {
                self.tainted |= self.kind.as_ref().is_some_and(|kind| kind != text);
                self.kind.get_or_insert_with(|| text.clone());
                continue;
            };
            if name.is_empty() {
                name.push_str(text);
            } else if **name == **text {
                call.repeats.push(said.span);
            } else {
                self.tainted |= toollist.denies(name) || toollist.denies(text);
                self.tainted |= name.len() + text.len() > NAME_MAX;
                if !self.tainted {
                    name.push_str(text);
                }
            }
        }
    }

    /// Whether the key may make this call, as far as it is known. All that it is called counts, as in a request; a
    /// call of nothing passes where everything does that is not denied.
    fn passes(&self, toollist: &Toollist) -> bool {
        let mut called = self.called().peekable();
        let nothing = called.peek().is_none() && !toollist.permits("");
        !self.tainted && !nothing && called.all(|name| toollist.permits(name))
    }

    fn called(&self) -> impl Iterator<Item = &str> {
        let names = self.names.iter().map(String::as_str).filter(|name| !name.is_empty());
        names.chain(self.kind.as_deref())
    }

    fn name(&self, source: Source) -> &str {
        self.names.get(source as usize).map_or("", String::as_str)
    }

    /// One of its names, for people.
    fn shown(&self) -> String {
        self.called().next().unwrap_or_default().to_owned()
    }
}
