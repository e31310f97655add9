//! What a key's agents were seen to call, for each set of tools that they offer.
//!
//! A tool that is called again and again, or always after another one, is needed although nobody speaks of it: the
//! brake pedal before the engine. Counts come from the answers, fade as new ones come, are bounded in number, and may
//! only ever add to a tool's score. Behind one small lock for each key and set; nothing is shared by all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use moka::sync::Cache;

use super::words::PassThrough;

/// How many keys' sets of tools are remembered.
const SETS: u64 = 10_000;
/// The most pairs of calls of one set; beyond it the rarest half is forgotten.
const PAIRS: usize = 4096;
/// What a call weighs once a thousand others came after it: e to the power of -2.
const FADING: f32 = 1.002;
/// The weight at which all are brought back to small numbers.
const LARGE: f32 = 1e6;
/// Calls from which on a set is known well enough for smaller windows.
const WARM: f32 = 20.0;
/// Calls that a tool never called is taken to have had, all tools together.
const PRIOR: f32 = 5.0;
/// How much the tools' own rate tells where a pair was seen seldom.
const PAIR_PRIOR: f32 = 1.0;
/// What comes before the first call of a conversation.
const START: u64 = 0;
/// The most that being called can say: four e-foldings above the others.
const CLIP: f32 = 4.0;

/// What was learnt, by key and tool set.
#[derive(Debug)]
pub(super) struct Learned(Cache<u64, Arc<Mutex<Calls>>>);

/// The calls of one set, by the hash of the tool's name.
#[derive(Debug, Default)]
struct Calls {
    counts: HashMap<u64, f32, PassThrough>,
    /// By the two hashes, mixed.
    pairs: HashMap<u64, f32, PassThrough>,
    /// How often each was followed by any.
    followed: HashMap<u64, f32, PassThrough>,
    all: f32,
    /// What the next call weighs: growing it lets all others fade without a walk over them.
    weight: f32,
}

/// What was learnt about the tools of a request, in their order.
#[derive(Debug, Default)]
pub(super) struct Lift {
    pub(super) often: Vec<f32>,
    pub(super) next: Vec<f32>,
    pub(super) warm: bool,
}

impl Learned {
    pub(super) fn new() -> Self {
        Self(Cache::new(SETS))
    }

    /// What is known of `tools` (hashes of names), the latest call being `previous`; `None` before the first one.
    pub(super) fn lift(&self, set: u64, tools: &[u64], previous: Option<u64>) -> Lift {
        let Some(calls) = self.0.get(&set) else { return Lift::default() };
        let calls = locked(&calls);
        if calls.all <= 0.0 {
            return Lift::default();
        }
        let number = tools.len() as f32;
        let all = calls.all / calls.weight;
        let rate = |tool: &u64| {
            let count = calls.counts.get(tool).copied().unwrap_or_default() / calls.weight;
            (count + PRIOR / number) / (all + PRIOR)
        };
        let often = tools.iter().map(|tool| (rate(tool) * number).ln().clamp(0.0, CLIP)).collect();
        let previous = previous.unwrap_or(START);
        let followed = calls.followed.get(&previous).copied().unwrap_or_default() / calls.weight;
        let after = |tool: &u64| {
            let pair = calls.pairs.get(&mixed(previous, *tool)).copied().unwrap_or_default() / calls.weight;
            if pair <= 0.0 {
                return 0.0;
            }
            let share = (pair + PAIR_PRIOR * rate(tool)) / (followed + PAIR_PRIOR);
            (share * number).ln().clamp(0.0, CLIP)
        };
        let next = tools.iter().map(after).collect();
        Lift { often, next, warm: all >= WARM }
    }

    /// Notes calls in the order they were made; `previous` is the one before them.
    pub(super) fn note(&self, set: u64, mut previous: Option<u64>, called: &[u64]) {
        let calls = self.0.get_with(set, Arc::default);
        let mut calls = locked(&calls);
        for tool in called {
            calls.note(previous, *tool);
            previous = Some(*tool);
        }
    }
}

impl Calls {
    fn note(&mut self, previous: Option<u64>, tool: u64) {
        self.weight = if self.weight > 0.0 { self.weight * FADING } else { 1.0 };
        let weight = self.weight;
        self.all += weight;
        *self.counts.entry(tool).or_default() += weight;
        let previous = previous.unwrap_or(START);
        *self.followed.entry(previous).or_default() += weight;
        *self.pairs.entry(mixed(previous, tool)).or_default() += weight;
        if self.pairs.len() > PAIRS {
            self.forget();
        }
        if weight > LARGE {
            self.rescale();
        }
    }

    fn forget(&mut self) {
        let mut weights: Vec<f32> = self.pairs.values().copied().collect();
        let middle = weights.len() / 2;
        let (_, median, _) = weights.select_nth_unstable_by(middle, f32::total_cmp);
        let median = *median;
        let mut kept = 0;
        self.pairs.retain(|_, weight| {
            let keep = *weight > median && kept < PAIRS / 2;
            kept += usize::from(keep);
            keep
        });
        if self.counts.len() > PAIRS {
            self.counts.clear();
            self.followed.clear();
            self.all = 0.0;
        }
    }

    fn rescale(&mut self) {
        let by = self.weight;
        for map in [&mut self.counts, &mut self.pairs, &mut self.followed] {
            map.values_mut().for_each(|weight| *weight /= by);
            map.retain(|_, weight| *weight > 1e-4);
        }
        self.all /= by;
        self.weight = 1.0;
    }
}

/// One hash of two that knows their order.
fn mixed(previous: u64, tool: u64) -> u64 {
    previous.rotate_left(23).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ tool
}

fn locked(calls: &Mutex<Calls>) -> MutexGuard<'_, Calls> {
    // Counts that a panic left half-noted are still counts.
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_often_and_what_is_called_next_is_lifted_and_nothing_is_pushed() {
        let learned = Learned::new();
        let tools: Vec<u64> = (1..=50).collect();
        assert!(learned.lift(7, &tools, None).often.is_empty());
        for _ in 0..30 {
            learned.note(7, None, &[1, 2]);
        }
        let lift = learned.lift(7, &tools, Some(1));
        assert!(lift.warm && lift.often[0] > 2.0 && lift.next[1] > 2.0 && lift.next[0].abs() < f32::EPSILON);
        assert!(learned.lift(7, &tools, None).next[0] > 2.0, "it is what comes first");
        assert!(lift.often.iter().chain(&lift.next).all(|value| *value >= 0.0));
        assert!(learned.lift(8, &tools, Some(1)).often.is_empty(), "another key knows nothing of it");
    }

    #[test]
    fn what_was_long_ago_fades_and_memory_is_bounded() {
        let mut calls = Calls::default();
        for tool in 0..20_000 {
            calls.note(Some(tool), tool + 1);
        }
        assert!(calls.pairs.len() <= PAIRS && calls.counts.len() <= PAIRS + 1);
        let mut calls = Calls::default();
        calls.note(None, 1);
        (0..5_000).for_each(|_| calls.note(None, 2));
        assert!(calls.counts.get(&1).copied().unwrap_or_default() < calls.counts[&2] / 1000.0);
        assert!(calls.weight.is_finite() && calls.all.is_finite());
    }
}
