//! Which tools a conversation has, so that it keeps them.
//!
//! Tools come first in what a provider caches: a set that changes on every turn costs more than it saves. So a
//! conversation keeps its set while the tools that this turn most likely needs are in it; when they are not, the set
//! grows by the new choice and never shrinks. Kept by key and opening messages (or session id), bounded, forgotten an
//! hour after the last turn; a process that has forgotten chooses anew and loses nothing but a cached prefix.

use std::{collections::HashMap, sync::Arc, time::Duration};

use moka::sync::Cache;

use super::words::PassThrough;

/// How long a conversation is remembered after its last turn: longer than providers keep a prefix.
const REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// How much of a tool goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tier {
    Slim,
    Whole,
}

/// The tools of a conversation, by the hash of their definitions.
pub(super) type Pin = HashMap<u64, Tier, PassThrough>;

/// The pins of all conversations.
#[derive(Debug)]
pub(super) struct Pins(Cache<u64, Arc<Pin>>);

impl Pins {
    pub(super) fn new(conversations: u64) -> Self {
        Self(Cache::builder().max_capacity(conversations).time_to_idle(REMEMBERED).build())
    }

    pub(super) fn find(&self, conversation: u64) -> Option<Arc<Pin>> {
        self.0.get(&conversation)
    }

    /// Makes `pin` the conversation's. Of two turns at once the last one holds: each forwards a set of its own
    /// choosing, so that nothing depends on which.
    pub(super) fn keep(&self, conversation: u64, pin: Arc<Pin>) {
        self.0.insert(conversation, pin);
    }

    /// Adds tools that were called without being in the set.
    pub(super) fn widen(&self, conversation: u64, tools: impl Iterator<Item = u64>) {
        let Some(pin) = self.find(conversation) else { return };
        let mut wider = Pin::clone(&pin);
        wider.extend(tools.map(|tool| (tool, Tier::Whole)));
        self.keep(conversation, Arc::new(wider));
    }
}

/// What a conversation that has `pin` goes on with, when this turn would choose `wide` and must have `tight`: the
/// set, and whether it changed.
pub(super) fn settle(
    pin: Option<&Arc<Pin>>,
    wide: Pin,
    tight: impl Iterator<Item = u64>,
) -> (Arc<Pin>, bool) {
    let Some(pin) = pin else { return (Arc::new(wide), true) };
    let mut tight = tight;
    if tight.all(|tool| pin.contains_key(&tool)) {
        return (Arc::clone(pin), false);
    }
    let mut grown = wide;
    for (tool, tier) in pin.iter() {
        let here = grown.entry(*tool).or_insert(*tier);
        *here = (*here).max(*tier);
    }
    (Arc::new(grown), true)
}
