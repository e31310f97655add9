//! What is counted of the cases of one source.

use std::{collections::HashSet, time::Duration};

/// What became of one case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    /// Whether every needed tool went on, whole or slim.
    pub(super) kept: bool,
    /// Tokens of the definitions, and how many of them were saved.
    pub(super) tokens: usize,
    pub(super) saved: usize,
    /// Tools that went on.
    pub(super) tools: usize,
    /// The time of choosing with a warm index, and of the first sight of the tools.
    pub(super) choosing: Duration,
    pub(super) first: Duration,
    /// Whether the conversation's set changed.
    pub(super) changed: bool,
    /// Whether any tool went on slim.
    pub(super) slim: bool,
}

/// The sums over cases.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Those of the cases that are not plans, and those of plans.
    pub(super) ordinary: Sums,
    pub(super) plans: Sums,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Sums {
    pub(super) cases: usize,
    kept: usize,
    tokens: usize,
    saved: usize,
    tools: usize,
    choosing: Vec<Duration>,
    first: Vec<Duration>,
    pub(super) slim: bool,
    changes: usize,
    /// Turns after the first of their conversation.
    turns: usize,
    conversations: HashSet<String>,
}

impl Figures {
    pub(super) fn add(&mut self, outcome: &Outcome, plan: bool, conversation: Option<&str>) {
        let sums = if plan { &mut self.plans } else { &mut self.ordinary };
        sums.add(outcome, conversation);
    }
}

impl Sums {
    fn add(&mut self, outcome: &Outcome, conversation: Option<&str>) {
        self.cases += 1;
        self.kept += usize::from(outcome.kept);
        self.tokens += outcome.tokens;
        self.saved += outcome.saved;
        self.tools += outcome.tools;
        self.choosing.push(outcome.choosing);
        self.first.push(outcome.first);
        self.slim |= outcome.slim;
        if let Some(conversation) = conversation
            && !self.conversations.insert(conversation.to_owned())
        {
            self.turns += 1;
            self.changes += usize::from(outcome.changed);
        }
    }

    /// Adds the sums of others.
    pub(super) fn merge(&mut self, other: &Sums) {
        self.cases += other.cases;
        self.kept += other.kept;
        self.tokens += other.tokens;
        self.saved += other.saved;
        self.tools += other.tools;
        self.choosing.extend(&other.choosing);
        self.first.extend(&other.first);
        self.slim |= other.slim;
        self.changes += other.changes;
        self.turns += other.turns;
    }

    /// The share of cases that kept every needed tool.
    pub(super) fn kept(&self) -> f64 {
        share(self.kept, self.cases)
    }

    /// The share of the definitions' tokens that was saved.
    pub(super) fn saved(&self) -> f64 {
        share(self.saved, self.tokens)
    }

    pub(super) fn mean_tools(&self) -> f64 {
        share(self.tools, self.cases)
    }

    /// How often a conversation's set changed from one turn to the next; `None` without a second turn, or where
    /// conversations are not kept.
    pub(super) fn changes_per_turn(&self) -> Option<f64> {
        (self.turns > 0).then(|| share(self.changes, self.turns))
    }

    /// A percentile of choosing, in microseconds.
    pub(super) fn choosing_us(&self, percentile: f64) -> f64 {
        percentile_of(&self.choosing, percentile)
    }

    /// The median of reading a request whose tools are new, indexing and choosing, in microseconds.
    pub(super) fn first_us(&self) -> f64 {
        percentile_of(&self.first, 0.5)
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn percentile_of(times: &[Duration], percentile: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    let place = (last as f64 * percentile).round() as usize;
    times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}
