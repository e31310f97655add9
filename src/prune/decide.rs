//! One decision, from the request to the selection.

use std::{sync::Arc, time::Instant};

use super::{
    Ask, Choice, Chosen, Likeness, Pruner, Question, Skipped, Ticket,
    caches::{Hashes, TOOLS_MAX},
    conversation::Conversation,
    health::Offer,
    identity,
    index::Index,
    learned::Lift,
    pins::{Pin, Tier, settle},
    score::{Feature, Usage, features, score},
    window::Windows,
};
use crate::domain::{
    chat_request::{Freedom, OfferedTool, PermittedRequest, Selection},
    policy::PruneMode,
    usage::Routing,
};

/// How much better than the best tool of a conversation's set another must be for the set to grow.
const HYSTERESIS: f32 = 0.25;

/// The scored tools of a request.
struct Scored {
    scores: Vec<f32>,
    /// By place, whether the tool is kept whatever it scores.
    always: Vec<bool>,
    /// The places of the others, the best first.
    ranked: Vec<usize>,
    /// The places of those that are nearest in meaning, which are kept as well; none where words alone decide.
    nearest: Vec<usize>,
    /// Whether enough calls of these tools were seen for smaller windows.
    warm: bool,
}

impl Pruner {
    pub(super) fn decide(
        &self,
        request: &PermittedRequest,
        ask: &Ask<'_>,
        likeness: Option<&Likeness>,
    ) -> Choice {
        let tools = request.tools();
        if tools.is_empty() {
            return Choice::without_tools();
        }
        let hashes = self.caches.hashes(&tools);
        let offer = self.offer(ask, &tools, &hashes);
        let index = match self.indexed(request, ask, (&tools, &hashes), offer.as_deref()) {
            Ok(index) => index,
            Err(skipped) => return Choice::unpruned_of(skipped, offer.as_ref(), None, ask.now),
        };
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
        let everything = || -> Arc<[bool]> { vec![true; index.tools.len()].into() };
        let unpruned =
            |skipped| Choice::unpruned_of(skipped, offer.as_ref(), Some(chosen(everything())), ask.now);
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
        let missed = match (&known, &offer) {
            (Some(pin), Some(offer)) => {
                self.count_missed(&index, &conversation, pin, |place| offer.missed(place, ask.now))
            }
            _ => false,
        };
        let (pin, changed) = renewed(&index, &scored, ask, known.as_ref());
        if self.settings.pins && changed {
            self.pins.keep(conversation_id, Arc::clone(&pin));
        }
        let tier = |place: usize| {
            if scored.always[place] { Some(Tier::Whole) } else { pin.get(&index.ids[place]).copied() }
        };
        let selection = selection(tools.len(), tier);
        if selection == Selection::All {
            return Choice { changed, missed, routing: Some(routing), ..unpruned(Skipped::NoEvidence) };
        }
        let kept: Arc<[bool]> = (0..tools.len()).map(|place| tier(place).is_some()).collect();
        let ticket = offer.map(|offer| {
            offer.went(&kept);
            Ticket { at: ask.now, offer, chosen: Some(chosen(kept)) }
        });
        Choice { selection, routing: Some(routing), skipped: None, ticket, changed, missed }
    }

    /// The set that these tools are to the account; `None` when reading those that are new takes too long.
    fn offer(&self, ask: &Ask<'_>, tools: &[OfferedTool<'_>], hashes: &Hashes) -> Option<Arc<Offer>> {
        self.health.find(ask.account, hashes.set).or_else(|| {
            let budget = self.settings.indexing_budget;
            let read = self.caches.read(tools, hashes, budget, self.settings.depth)?;
            Some(self.health.open(ask.account, hashes.set, tools, &read))
        })
    }

    /// The index of the tools, or why they are not pruned.
    fn indexed(
        &self,
        request: &PermittedRequest,
        ask: &Ask<'_>,
        (tools, hashes): (&[OfferedTool<'_>], &Hashes),
        offer: Option<&Offer>,
    ) -> Result<Arc<Index>, Skipped> {
        if let Some(skipped) = self.exempt(request, ask, tools) {
            return Err(skipped);
        }
        let offer = offer.ok_or(Skipped::Budget)?;
        Ok(self.caches.index(tools, hashes, || offer.read()))
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

    /// Counts the latest call, and says so, when it was to a tool that pruning had removed, of which the answer's side
    /// has not taken note: it would be in the set.
    fn count_missed(
        &self,
        index: &Index,
        conversation: &Conversation,
        pin: &Pin,
        note: impl FnOnce(usize),
    ) -> bool {
        if !conversation.after_tool {
            return false;
        }
        let missed = conversation.called.last().and_then(|name| index.named(name));
        let missed = missed.filter(|place| !pin.contains_key(&index.ids[*place]));
        if let Some(place) = missed {
            self.misses.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            note(place);
        }
        missed.is_some()
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

impl Scored {
    fn new(index: &Index, conversation: &Conversation, lift: &Lift) -> Self {
        let rows = features(index, conversation, Usage { often: &lift.often, next: &lift.next });
        let scores: Vec<f32> = rows.iter().map(score).collect();
        let mut always: Vec<bool> = rows.iter().map(|row| row[Feature::Core as usize] > 0.0).collect();
        let called = conversation.called.iter().filter_map(|name| index.named(name));
        for place in called.chain(named_verbatim(index, conversation)) {
            always[place] = true;
        }
        let mut ranked: Vec<usize> = (0..scores.len()).filter(|place| !always[*place]).collect();
        ranked.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]).then(one.cmp(other)));
        Self { scores, always, ranked, nearest: Vec::new(), warm: lift.warm }
    }

    /// Takes what a comparison by meaning says, if there is one of these tools; how the tools are compared then.
    fn compare(&mut self, likeness: Option<&Likeness>) -> Routing {
        match likeness.and_then(|likeness| likeness.nearest(&self.always)) {
            Some(nearest) => {
                self.nearest = nearest;
                Routing::Semantic
            }
            None => Routing::Keyword,
        }
    }
}

/// The conversation's set after this turn, and whether it changed.
fn renewed(index: &Index, scored: &Scored, ask: &Ask<'_>, known: Option<&Arc<Pin>>) -> (Arc<Pin>, bool) {
    let mut windows = Windows::of(ask.mode, scored.warm);
    if known.is_some() {
        // Only looked at when the set must grow.
        let grown = windows.slim.as_mut().unwrap_or(&mut windows.whole);
        *grown = windows.growth;
    }
    let descending: Vec<f32> = scored.ranked.iter().map(|place| scored.scores[*place]).collect();
    let whole = windows.whole.size(&descending);
    let any = windows.slim.map_or(whole, |slim| slim.size(&descending).max(whole));
    let always = scored.always.iter().filter(|always| **always).count();
    let least = ask.least.saturating_sub(always).min(scored.ranked.len());
    let (whole, any) = (if windows.slim.is_none() { whole.max(least) } else { whole }, any.max(least));
    let mut wide: Pin = Pin::default();
    for (rank, place) in scored.ranked.iter().take(any).enumerate() {
        wide.insert(index.ids[*place], if rank < whole { Tier::Whole } else { Tier::Slim });
    }
    wide.extend(scored.nearest.iter().map(|place| (index.ids[*place], Tier::Whole)));
    // Those that are always kept join the set too: they must not drop out when the reason has passed.
    wide.extend(
        (0..index.ids.len())
            .filter(|place| scored.always[*place])
            .map(|place| (index.ids[place], Tier::Whole)),
    );
    let tight = windows.tight.size(&descending).max(least.min(1));
    // One that is hardly better than the best of the set is no reason to leave it.
    let held = known.and_then(|pin| scored.ranked.iter().find(|place| pin.contains_key(&index.ids[**place])));
    let enough = held.map_or(f32::NEG_INFINITY, |place| scored.scores[*place] + HYSTERESIS);
    let better = scored.ranked.iter().take(tight).filter(|place| scored.scores[**place] > enough);
    let tight = better.chain(scored.nearest.first()).map(|place| index.ids[*place]);
    let tight =
        tight.chain((0..index.ids.len()).filter(|place| scored.always[*place]).map(|place| index.ids[place]));
    settle(known, wide, tight)
}

/// The tools whose names the user wrote, as names are written.
fn named_verbatim<'a>(index: &'a Index, conversation: &'a Conversation) -> impl Iterator<Item = usize> + 'a {
    let texts = std::iter::once(&conversation.last).chain(&conversation.earlier);
    let words = texts.flat_map(|text| {
        text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.' | ':' | '/'))
    });
    words.filter_map(|word| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '_');
        if word.is_empty() { None } else { index.named(word) }
    })
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
