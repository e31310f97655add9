//! Chooses, of the tools that the lists let through, those that this turn needs.
//!
//! It does no I/O and cannot widen anything: it sees only a `PermittedRequest`, and the `Selection` it gives can only
//! remove. Whatever goes wrong in here, what goes on is what the lists let through, never what the client sent. The
//! way of a decision is `decide`: what is never pruned, the index of the tools, the conversation, the scores, the
//! window, the conversation's own set. The same state and request give the same decision.

mod advice;
mod caches;
mod conversation;
mod decide;
mod explain;
mod health;
mod identity;
mod index;
mod learned;
mod pins;
mod score;
mod scored;
mod semantic;
mod synonyms;
#[cfg(test)]
mod tests;
mod tool;
mod window;
mod words;

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};

use crate::{
    config,
    domain::{
        chat_request::{PermittedRequest, Selection},
        key::{AccountId, KeyId},
        policy::PruneMode,
        tool_health::ToolHealth,
        usage::Routing,
    },
};

use self::{
    caches::Caches,
    health::{Health, Offer},
    index::Index,
    learned::Learned,
    pins::Pins,
};
pub use self::{
    explain::{Explained, Reading, Reason},
    semantic::{Likeness, Question},
};

/// What is asked of the pruner beside the request.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The account that asks.
    pub account: AccountId,
    /// The key that asks; `None` for a JWT.
    pub key: Option<KeyId>,
    /// How much may be pruned.
    pub mode: PruneMode,
    /// The least number of tools to keep; 0 leaves it to the pruner.
    pub least: usize,
    /// The client's name for the conversation, if it gave one.
    pub session: Option<&'a str>,
    /// When it asks.
    pub now: DateTime<Utc>,
}

/// Why nothing was pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// There are too few tools for pruning to be worth its risk.
    SmallToolset,
    /// The request says what must, or that nothing may, be called.
    Forced,
    /// The tools are new and too many to be indexed at once; the next request goes on with it.
    Budget,
    /// Choosing took too long.
    Timeout,
    /// The conversation is one of those that are left alone, so that pruning does not only confirm itself.
    Learning,
    /// Nothing says which tools are needed.
    NoEvidence,
    /// Pruning is switched off.
    Off,
    /// Choosing failed; the log says how.
    Error,
}

impl Skipped {
    /// All reasons, each at the place of its number.
    pub const ALL: [Self; 8] = [
        Self::SmallToolset,
        Self::Forced,
        Self::Budget,
        Self::Timeout,
        Self::Learning,
        Self::NoEvidence,
        Self::Off,
        Self::Error,
    ];

    /// The word in `x-orqen-prune-skipped`.
    pub fn as_str(self) -> &'static str {
        match self {
            Skipped::SmallToolset => "small_toolset",
            Skipped::Forced => "forced",
            Skipped::Budget => "budget",
            Skipped::Timeout => "timeout",
            Skipped::Learning => "learning",
            Skipped::NoEvidence => "no_evidence",
            Skipped::Off => "off",
            Skipped::Error => "error",
        }
    }
}

/// What was decided about a request's tools.
#[derive(Debug)]
pub struct Choice {
    /// Which of the permitted tools go on.
    pub selection: Selection,
    /// How they were compared; `None` where there are none.
    pub routing: Option<Routing>,
    /// Why all of them go on, where they do.
    pub skipped: Option<Skipped>,
    /// What the answer is held against; to be given to `Pruner::learn` with what was called.
    pub ticket: Option<Ticket>,
    /// How the conversation's set stands to the one before: it changed, or there was none.
    pub changed: bool,
    /// Whether the call that the conversation came back from was a recall miss that its answer did not show.
    pub missed: bool,
}

/// What was offered and what went on, until it is known what was called.
#[derive(Debug, Clone)]
pub struct Ticket {
    at: DateTime<Utc>,
    offer: Arc<Offer>,
    /// `None` where the tools were not compared.
    chosen: Option<Chosen>,
}

/// What the pruner compared, and what it kept.
#[derive(Debug, Clone)]
struct Chosen {
    index: Arc<Index>,
    /// By place, whether the tool went on.
    kept: Arc<[bool]>,
    conversation: u64,
    set: u64,
    previous: Option<u64>,
}

/// The bounds of pruning.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Fewer tools than this are not pruned.
    pub least_tools: usize,
    /// Nor are tools of fewer tokens than this, a token being four bytes.
    pub least_tokens: usize,
    /// How long choosing may take; `None` for as long as it takes.
    pub scoring_budget: Option<Duration>,
    /// How long tools that were never seen may be read and indexed by one request.
    pub indexing_budget: Option<Duration>,
    /// The share of conversations that are left unpruned, from 0 to 1.
    pub learning_share: f64,
    /// Whether conversations keep their set.
    pub pins: bool,
    /// The most bytes of indexes.
    pub cache_bytes: u64,
    /// The most conversations that are remembered.
    pub conversations: u64,
    /// How deep JSON may nest: what the request itself was read with.
    pub depth: usize,
}

impl Settings {
    /// As configured.
    pub fn new(config: &config::Pruning, depth: usize) -> Self {
        Self {
            least_tools: config.least_tools,
            least_tokens: config.least_tokens,
            scoring_budget: Some(config.scoring_budget),
            indexing_budget: Some(config.indexing_budget),
            learning_share: config.learning_share,
            pins: true,
            cache_bytes: config.cache_bytes as u64,
            conversations: config.conversations as u64,
            depth,
        }
    }
}

/// Chooses tools. Shared by all requests; no lock of it is.
#[derive(Debug)]
pub struct Pruner {
    settings: Settings,
    caches: Caches,
    pins: Pins,
    learned: Learned,
    health: Health,
    misses: AtomicU64,
    skips: [AtomicU64; Skipped::ALL.len()],
    #[cfg(test)]
    fault: std::sync::Mutex<Option<fn()>>,
}

impl Pruner {
    /// A pruner that has seen nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self {
            caches: Caches::new(settings.cache_bytes, settings.depth),
            pins: Pins::new(settings.conversations),
            learned: Learned::new(),
            health: Health::new(),
            misses: AtomicU64::new(0),
            skips: Default::default(),
            settings,
            #[cfg(test)]
            fault: std::sync::Mutex::default(),
        }
    }

    /// Which of the permitted tools go on. Never fails: where choosing does, all of them go on.
    pub fn choose(&self, request: &PermittedRequest, ask: &Ask<'_>) -> Choice {
        self.choose_by(request, ask, None)
    }

    /// As `choose`, with what came of the request's `question`. Without it, or where it is of other tools, words decide.
    pub fn choose_by(
        &self,
        request: &PermittedRequest,
        ask: &Ask<'_>,
        likeness: Option<&Likeness>,
    ) -> Choice {
        // A panic in here would be a fault of ours, and no reason to fail a request that needs no pruning at all.
        let decided = std::panic::catch_unwind(AssertUnwindSafe(|| self.decide(request, ask, likeness)));
        let choice = decided.unwrap_or_else(|_| {
            tracing::error!("choosing tools panicked; the message and place stand above");
            Choice::unpruned(Skipped::Error)
        });
        if let Some(count) = choice.skipped.and_then(|skipped| self.skips.get(skipped as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        choice
    }

    /// What would have to be compared by meaning to choose from the permitted tools; `None` where nothing will be chosen.
    pub fn question<'r>(&self, request: &'r PermittedRequest, ask: &Ask<'_>) -> Option<Question<'r>> {
        std::panic::catch_unwind(AssertUnwindSafe(|| self.ponder(request, ask))).unwrap_or_default()
    }

    /// Takes note of what was called with the tools of `ticket`. Gives how many of the calls were recall misses: calls
    /// to tools that the client had offered and pruning had removed. Their tools join the conversation's set at once.
    pub fn learn<S: AsRef<str>>(&self, ticket: &Ticket, called: &[S]) -> usize {
        let places: Vec<usize> =
            called.iter().filter_map(|name| ticket.offer.called(name.as_ref())).collect();
        let Some(chosen) = &ticket.chosen else { return 0 };
        let names: Vec<u64> =
            places.iter().filter_map(|place| chosen.index.name_hashes.get(*place).copied()).collect();
        self.learned.note(chosen.set, chosen.previous, &names);
        let mut missed: Vec<usize> =
            places.into_iter().filter(|place| chosen.kept.get(*place) == Some(&false)).collect();
        missed.sort_unstable();
        missed.dedup();
        if !missed.is_empty() {
            self.misses.fetch_add(missed.len() as u64, Ordering::Relaxed);
            missed.iter().for_each(|place| ticket.offer.missed(*place, ticket.at));
            self.pins.widen(chosen.conversation, missed.iter().map(|place| chosen.index.ids[*place]));
        }
        missed.len()
    }

    /// How the tools that an account offers have fared since the start, by name; of the least used, as far as memory
    /// went.
    pub fn tool_health(&self, account: AccountId) -> Vec<ToolHealth> {
        advice::health(self.health.sums(account))
    }

    /// How many requests went on unpruned since the start, by reason.
    pub fn skips(&self) -> impl Iterator<Item = (Skipped, u64)> {
        Skipped::ALL.into_iter().zip(self.skips.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// How many recall misses there were since the start.
    pub fn recall_misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }
}

impl Choice {
    /// All tools go on, for this reason.
    fn unpruned(skipped: Skipped) -> Self {
        Self {
            selection: Selection::All,
            routing: Some(Routing::Keyword),
            skipped: Some(skipped),
            ticket: None,
            changed: false,
            missed: false,
        }
    }

    /// The same, to be held against what is called.
    fn unpruned_of(
        skipped: Skipped,
        offer: Option<&Arc<Offer>>,
        chosen: Option<Chosen>,
        at: DateTime<Utc>,
    ) -> Self {
        let ticket = offer.map(|offer| {
            offer.went_whole();
            Ticket { at, offer: Arc::clone(offer), chosen }
        });
        Self { ticket, ..Self::unpruned(skipped) }
    }

    /// There are no tools.
    fn without_tools() -> Self {
        Self { routing: None, skipped: None, ..Self::unpruned(Skipped::SmallToolset) }
    }
}
