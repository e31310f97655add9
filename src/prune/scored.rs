//! The tools of a request as one turn sees them, and the conversation's set after it.
//!
//! Some are kept whatever they score; the others compete for the turn's window. What a turn chooses only matters where
//! the conversation's set must grow: `pins` says why.

use std::sync::Arc;

use super::{
    Ask, Likeness,
    conversation::Conversation,
    index::Index,
    learned::Lift,
    pins::{Pin, Tier, settle},
    score::{Feature, Row, Usage, features, score},
    window::Windows,
};
use crate::domain::usage::Routing;

/// How much better than the best tool of a conversation's set another must be for the set to grow.
const HYSTERESIS: f32 = 0.25;

/// The scored tools of a request.
pub(super) struct Scored {
    pub(super) scores: Vec<f32>,
    /// By place, why the tool is kept whatever it scores, if it is.
    pub(super) always: Vec<Option<Always>>,
    /// The places of the others, the best first.
    pub(super) ranked: Vec<usize>,
    /// The places of those that are nearest in meaning, which are kept as well; none where words alone decide.
    pub(super) nearest: Vec<usize>,
    /// Whether enough calls of these tools were seen for smaller windows.
    warm: bool,
}

/// Why a tool is kept whatever it scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Always {
    /// It is useful whatever is asked.
    Core,
    /// The conversation has called it.
    Called,
    /// The user wrote its name.
    Named,
}

/// A conversation's set after a turn.
pub(super) struct Renewed {
    pub(super) pin: Arc<Pin>,
    /// How many of the ranked tools this turn chose, by its window and with those that the policy asks for beyond it;
    /// `None` where the set stays as it was.
    pub(super) sizes: Option<(usize, usize)>,
}

impl Scored {
    /// Of a conversation, and what was learnt of the tools.
    pub(super) fn new(index: &Index, conversation: &Conversation, lift: &Lift) -> Self {
        let rows = features(index, conversation, Usage { often: &lift.often, next: &lift.next });
        let scores: Vec<f32> = rows.iter().map(score).collect();
        let core = |row: &Row| (row[Feature::Core as usize] > 0.0).then_some(Always::Core);
        let mut always: Vec<Option<Always>> = rows.iter().map(core).collect();
        let called = conversation.called.iter().filter_map(|name| index.named(name));
        let called = called.map(|place| (place, Always::Called));
        let named = named_verbatim(index, conversation).map(|place| (place, Always::Named));
        for (place, why) in called.chain(named) {
            always[place].get_or_insert(why);
        }
        let mut ranked: Vec<usize> = (0..scores.len()).filter(|place| always[*place].is_none()).collect();
        ranked.sort_by(|one, other| scores[*other].total_cmp(&scores[*one]).then(one.cmp(other)));
        Self { scores, always, ranked, nearest: Vec::new(), warm: lift.warm }
    }

    /// Takes what a comparison by meaning says, if there is one of these tools; how the tools are compared then.
    pub(super) fn compare(&mut self, likeness: Option<&Likeness>) -> Routing {
        let kept = || self.always.iter().map(Option::is_some).collect::<Vec<_>>();
        match likeness.and_then(|likeness| likeness.nearest(&kept())) {
            Some(nearest) => {
                self.nearest = nearest;
                Routing::Semantic
            }
            None => Routing::Keyword,
        }
    }
}

/// The place of the latest call's tool when pruning had removed it and the answer's side has not taken note: it would
/// be in the set.
pub(super) fn missed(index: &Index, conversation: &Conversation, pin: &Pin) -> Option<usize> {
    let last = conversation.called.last().filter(|_| conversation.after_tool)?;
    index.named(last).filter(|place| !pin.contains_key(&index.ids[*place]))
}

/// The conversation's set after this turn.
pub(super) fn renewed(index: &Index, scored: &Scored, ask: &Ask<'_>, known: Option<&Arc<Pin>>) -> Renewed {
    let mut windows = Windows::of(ask.mode, scored.warm);
    if known.is_some() {
        // Only looked at when the set must grow.
        let grown = windows.slim.as_mut().unwrap_or(&mut windows.whole);
        *grown = windows.growth;
    }
    let descending: Vec<f32> = scored.ranked.iter().map(|place| scored.scores[*place]).collect();
    let whole = windows.whole.size(&descending);
    let window = windows.slim.map_or(whole, |slim| slim.size(&descending).max(whole));
    let kept: Vec<usize> = (0..index.ids.len()).filter(|place| scored.always[*place].is_some()).collect();
    let least = ask.least.saturating_sub(kept.len()).min(scored.ranked.len());
    let (whole, any) = (if windows.slim.is_none() { whole.max(least) } else { whole }, window.max(least));
    let mut wide: Pin = Pin::default();
    for (rank, place) in scored.ranked.iter().take(any).enumerate() {
        wide.insert(index.ids[*place], if rank < whole { Tier::Whole } else { Tier::Slim });
    }
    wide.extend(scored.nearest.iter().map(|place| (index.ids[*place], Tier::Whole)));
    // Those that are always kept join the set too: they must not drop out when the reason has passed.
    wide.extend(kept.iter().map(|place| (index.ids[*place], Tier::Whole)));
    let tight = windows.tight.size(&descending).max(least.min(1));
    // One that is hardly better than the best of the set is no reason to leave it.
    let held = known.and_then(|pin| scored.ranked.iter().find(|place| pin.contains_key(&index.ids[**place])));
    let enough = held.map_or(f32::NEG_INFINITY, |place| scored.scores[*place] + HYSTERESIS);
    let better = scored.ranked.iter().take(tight).filter(|place| scored.scores[**place] > enough);
    let tight = better.chain(scored.nearest.first()).map(|place| index.ids[*place]);
    let tight = tight.chain(kept.iter().map(|place| index.ids[*place]));
    let (pin, changed) = settle(known, wide, tight);
    Renewed { pin, sizes: changed.then_some((window, any)) }
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
