//! One decision, from the request to the selection.
//!
//! In two halves: `weigh` finds what is to become of the tools and `noted` takes note of it, so that whoever only wants
//! to know (`explain`) hears what a turn would hear and leaves no trace.

use std::{sync::Arc, time::Instant};

use super::{
    Ask, Choice, Chosen, Likeness, Pruner, Question, Skipped, Ticket,
    caches::{Hashes, Keep, TOOLS_MAX},
    conversation::Conversation,
    health::Offer,
    identity,
    index::Index,
    pins::Tier,
    scored::{Renewed, Scored, missed, renewed},
};
use crate::domain::{
    chat_request::{Freedom, OfferedTool, PermittedRequest, Selection},
    policy::PruneMode,
    usage::Routing,
};

/// What was found of a request's tools, before anything of it is remembered.
pub(super) struct Weighed {
    offer: Option<Arc<Offer>>,
    pub(super) outcome: Outcome,
}

/// Whether the tools were compared.
pub(super) enum Outcome {
    /// They were not, or in vain: all of them go on.
    Unpruned(Skipped, Option<Chosen>),
    /// They were.
    Compared(Box<Compared>),
}

/// What came of comparing the tools.
pub(super) struct Compared {
    pub(super) scored: Scored,
    pub(super) routing: Routing,
    pub(super) renewed: Renewed,
    pub(super) selection: Selection,
    pub(super) chosen: Chosen,
    /// The place of the tool whose call was a recall miss that its answer did not show.
    missed: Option<usize>,
}

impl Pruner {
    pub(super) fn decide(
        &self,
        request: &PermittedRequest,
        ask: &Ask<'_>,
        likeness: Option<&Likeness>,
    ) -> Choice {
        match self.weigh(request, ask, likeness, Keep::Yes) {
            Some(weighed) => self.noted(weighed, ask),
            None => Choice::without_tools(),
        }
    }

    /// The decision, of which nothing is remembered yet but, with `Keep::Yes`, what was read of the tools; `None`
    /// where there are no tools.
    pub(super) fn weigh(
        &self,
        request: &PermittedRequest,
        ask: &Ask<'_>,
        likeness: Option<&Likeness>,
        keep: Keep,
    ) -> Option<Weighed> {
        let tools = request.tools();
        if tools.is_empty() {
            return None;
        }
        let hashes = self.caches.hashes(&tools);
        let offer = self.offer(ask, &tools, &hashes, keep);
        let outcome = match self.exempt(request, ask, &tools) {
            Some(skipped) => Outcome::Unpruned(skipped, None),
            None => match &offer {
                Some(offer) => {
                    let index = self.caches.index(&tools, &hashes, keep, || offer.read());
                    self.compare(request, ask, likeness, index)
                }
                None => Outcome::Unpruned(Skipped::Budget, None),
            },
        };
        Some(Weighed { offer, outcome })
    }

    fn compare(
        &self,
        request: &PermittedRequest,
        ask: &Ask<'_>,
        likeness: Option<&Likeness>,
        index: Arc<Index>,
    ) -> Outcome {
        let began = Instant::now();
        #[cfg(test)]
        self.provoke();
        let messages = request.messages();
        let conversation_id = identity::conversation(ask, &messages, self.settings.depth);
        let set = identity::set(ask, &index.name_hashes);
        let conversation = Conversation::read(&messages, self.settings.depth);
        let called = conversation.called.last().map(|name| identity::name_hash(name));
        let chosen = |kept: Arc<[bool]>| Chosen {
            index: Arc::clone(&index),
            kept,
            conversation: conversation_id,
            set,
            previous: called,
        };
        let number = index.tools.len();
        let unpruned = |skipped| Outcome::Unpruned(skipped, Some(chosen(vec![true; number].into())));
        if self.is_sample(conversation_id) {
            return unpruned(Skipped::Learning);
        }
        if self.is_late(began) {
            return unpruned(Skipped::Timeout);
        }
        let lift = self.learned.lift(set, &index.name_hashes, called);
        let mut scored = Scored::new(&index, &conversation, &lift);
        let routing = scored.compare(likeness);
        if self.is_late(began) {
            return unpruned(Skipped::Timeout);
        }
        let known = self.settings.pins.then(|| self.pins.find(conversation_id)).flatten();
        let missed = known.as_ref().and_then(|pin| missed(&index, &conversation, pin));
        let renewed = renewed(&index, &scored, ask, known.as_ref());
        let tier = |place: usize| match scored.always[place] {
            Some(_) => Some(Tier::Whole),
            None => renewed.pin.get(&index.ids[place]).copied(),
        };
        let selection = selection(number, tier);
        let chosen = chosen((0..number).map(|place| tier(place).is_some()).collect());
        Outcome::Compared(Box::new(Compared { scored, routing, renewed, selection, chosen, missed }))
    }

    /// Takes note of a decision.
    fn noted(&self, weighed: Weighed, ask: &Ask<'_>) -> Choice {
        let Weighed { offer, outcome } = weighed;
        let Compared { routing, renewed, selection, chosen, missed, .. } = match outcome {
            Outcome::Unpruned(skipped, chosen) => {
                return Choice::unpruned_of(skipped, offer.as_ref(), chosen, ask.now);
            }
            Outcome::Compared(compared) => *compared,
        };
        if let Some(place) = missed {
            self.misses.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            offer.iter().for_each(|offer| offer.missed(place, ask.now));
        }
        let (changed, missed) = (renewed.sizes.is_some(), missed.is_some());
        if self.settings.pins && changed {
            self.pins.keep(chosen.conversation, renewed.pin);
        }
        if selection == Selection::All {
            let unpruned = Choice::unpruned_of(Skipped::NoEvidence, offer.as_ref(), Some(chosen), ask.now);
            return Choice { changed, missed, routing: Some(routing), ..unpruned };
        }
        let ticket = offer.map(|offer| {
            offer.went(&chosen.kept);
            Ticket { at: ask.now, offer, chosen: Some(chosen) }
        });
        Choice { selection, routing: Some(routing), skipped: None, ticket, changed, missed }
    }

    /// The set that these tools are to the account; `None` when reading those that are new takes too long.
    fn offer(
        &self,
        ask: &Ask<'_>,
        tools: &[OfferedTool<'_>],
        hashes: &Hashes,
        keep: Keep,
    ) -> Option<Arc<Offer>> {
        self.health.find(ask.account, hashes.set).or_else(|| {
            let read = self.caches.read(tools, hashes, self.settings.indexing_budget, keep)?;
            Some(match keep {
                Keep::Yes => self.health.open(ask.account, hashes.set, tools, &read),
                Keep::No => self.health.look(ask.account, tools, &read),
            })
        })
    }

    /// Why these tools are not pruned, whatever was said.
    fn exempt(
        &self,
        request: &PermittedRequest,
        ask: &Ask<'_>,
        tools: &[OfferedTool<'_>],
    ) -> Option<Skipped> {
        if ask.mode == PruneMode::Off {
            return Some(Skipped::Off);
        }
        if request.freedom() != Freedom::Free {
            return Some(Skipped::Forced);
        }
        let tokens: usize = tools.iter().map(|tool| tool.json.len()).sum::<usize>() / 4;
        let small = tools.len() < self.settings.least_tools || tokens < self.settings.least_tokens;
        small.then_some(Skipped::SmallToolset)
    }

    /// What would be compared by meaning; `None` where nothing will be chosen, so that nothing need be asked for.
    pub(super) fn ponder<'r>(&self, request: &'r PermittedRequest, ask: &Ask<'_>) -> Option<Question<'r>> {
        let tools = request.tools();
        if tools.len() > TOOLS_MAX || self.exempt(request, ask, &tools).is_some() {
            return None;
        }
        let messages = request.messages();
        if self.is_sample(identity::conversation(ask, &messages, self.settings.depth)) {
            return None;
        }
        let conversation = Conversation::read(&messages, self.settings.depth);
        Question::new(&conversation, tools, self.settings.depth)
    }

    /// Whether a conversation is one of those that are not pruned. By its hash, so that all of its turns are or are
    /// not, and every replica says the same.
    fn is_sample(&self, conversation: u64) -> bool {
        let place = (conversation >> 11) as f64 / (1_u64 << 53) as f64;
        place < self.settings.learning_share
    }

    fn is_late(&self, began: Instant) -> bool {
        self.settings.scoring_budget.is_some_and(|budget| began.elapsed() > budget)
    }

    #[cfg(test)]
    fn provoke(&self) {
        let fault = *self.fault.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(fault) = fault {
            fault();
        }
    }
}

/// The selection in which each tool has this tier, `None` being gone.
fn selection(tools: usize, tier: impl Fn(usize) -> Option<Tier>) -> Selection {
    let (mut whole, mut slim) = (Vec::new(), Vec::new());
    for place in 0..tools {
        match tier(place) {
            Some(Tier::Whole) => whole.push(place),
            Some(Tier::Slim) => slim.push(place),
            None => {}
        }
    }
    match (whole.len() == tools, slim.is_empty()) {
        (true, _) => Selection::All,
        (false, true) => Selection::Only(whole),
        (false, false) => Selection::Slimmed { whole, slim },
    }
}
