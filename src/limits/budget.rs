//! What a subject saved in the current day and week. Counted once the tokens are known, read when a request is
//! admitted.
//!
//! A count only ever speaks of its own window: an amount of an earlier one is not added, and when the clock steps
//! back into an earlier one the store is asked, which has the sums by day.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::{sync::Mutex, time::Instant};

use super::{Budget, Period, Rules, Subject};

/// How far times may run behind the beginning of a window without counting as a clock that stepped back, in
/// microseconds: requests take their time before they take the lock, and arrive out of order.
const DISORDER: i64 = 5_000_000;

/// How long a sum that was sent to Redis may take to be there before it counts as lost.
const PLANTING: std::time::Duration = std::time::Duration::from_secs(5);

/// A subject's counts, and the turn to ask the store for them.
#[derive(Debug)]
pub(super) struct Budgets {
    counts: [Count; 2],
    pub(super) turn: Arc<Mutex<()>>,
}

/// Saved tokens of one window.
#[derive(Debug, Clone, Copy)]
struct Count {
    period: Period,
    window: i64,
    tokens: i64,
    /// Of them, those that Redis does not know yet.
    unsent: i64,
    /// Whether what the store held before is in `tokens`.
    known: bool,
    /// When the store may be asked again, once it could not say.
    ask_at: Option<Instant>,
    /// When the sum was sent to Redis.
    planted: Option<Instant>,
}

/// An amount of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Amount {
    pub(super) period: Period,
    pub(super) window: i64,
    pub(super) tokens: i64,
}

/// Which windows have a budget.
pub(super) fn wanted(rules: &Rules) -> [bool; 2] {
    [rules.daily_token_budget.is_some(), rules.weekly_token_budget.is_some()]
}

impl Budgets {
    pub(super) fn at(now: i64) -> Self {
        let count = |period: Period| Count {
            period,
            window: period.window(now),
            tokens: 0,
            unsent: 0,
            known: false,
            ask_at: None,
            planted: None,
        };
        Self { counts: Period::ALL.map(count), turn: Arc::default() }
    }

    /// Moves to the windows that hold `now`.
    pub(super) fn roll(&mut self, now: i64) {
        self.counts.iter_mut().for_each(|count| count.roll(now));
    }

    /// The state of the budgets that `rules` set.
    pub(super) fn judge(&self, rules: &Rules, subject: Subject) -> Budget {
        let limits = [rules.daily_token_budget, rules.weekly_token_budget];
        let spent = self.counts.iter().zip(limits).filter_map(|(count, limit)| {
            let limit = limit.filter(|limit| count.tokens >= *limit)?;
            let resets_at = count.period.resets_at(count.window);
            Some(Budget::Spent { period: count.period, subject, limit, resets_at })
        });
        spent.fold(Budget::Left, Budget::later)
    }

    /// Adds what a request of the time `at` saved. Returns whether there is now something that Redis does not know
    /// and that nobody was told of before.
    pub(super) fn add(&mut self, at: i64, tokens: i64, shared: bool) -> bool {
        let mut fresh = false;
        for count in &mut self.counts {
            let window = count.period.window(at);
            if window > count.window {
                count.begin(window);
            }
            if window == count.window {
                count.tokens = count.tokens.saturating_add(tokens);
                if shared {
                    fresh |= count.unsent == 0;
                    count.unsent = count.unsent.saturating_add(tokens);
                }
            }
        }
        fresh
    }

    /// What Redis does not know. It counts as sent; `put_back` what could not be.
    pub(super) fn take_unsent(&mut self) -> Vec<Amount> {
        let unsent = self.counts.iter_mut().filter(|count| count.unsent != 0);
        let taken = unsent.map(|count| {
            let tokens = std::mem::take(&mut count.unsent);
            count.amount(tokens)
        });
        taken.collect()
    }

    pub(super) fn put_back(&mut self, amount: Amount) {
        if let Some(count) = self.of(amount.period, amount.window) {
            count.unsent = count.unsent.saturating_add(amount.tokens);
        }
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.counts.iter().any(|count| count.unsent != 0)
    }

    /// Whether the store is to be asked for the sum of a period.
    pub(super) fn is_due(&self, period: Period) -> bool {
        self.counts.iter().any(|count| count.period == period && count.is_due())
    }

    /// The window to ask the store for, if its turn has come. At the first time others wait for the answer; when it
    /// is asked once more they go on, with what there is, until `again`.
    pub(super) fn begin_asking(&mut self, period: Period, again: Instant) -> Option<i64> {
        let count = self.counts.iter_mut().find(|count| count.period == period && count.is_due())?;
        if count.ask_at.is_some() {
            count.ask_at = Some(again);
        }
        Some(count.window)
    }

    /// What the store holds. What was counted here meanwhile may be in it or not: the greater of the two is wrong by
    /// no more than what was on its way to the store.
    pub(super) fn learnt(&mut self, period: Period, window: i64, sum: i64) {
        if let Some(count) = self.of(period, window) {
            count.tokens = count.tokens.max(sum);
            count.known = true;
            count.ask_at = None;
        }
    }

    pub(super) fn ask_again(&mut self, period: Period, window: i64, at: Instant) {
        if let Some(count) = self.of(period, window) {
            count.ask_at = Some(at);
        }
    }

    /// What Redis holds; `None` means it has no count of that window, and the store is to be asked, unless the sum
    /// is on its way there.
    pub(super) fn mirror(&mut self, period: Period, window: i64, tokens: Option<i64>) {
        let Some(count) = self.of(period, window) else { return };
        match tokens {
            Some(tokens) => {
                // Within a window a sum only grows. The greater, since what is on its way to Redis is in neither
                // `unsent` nor perhaps in what Redis said.
                count.tokens = count.tokens.max(tokens.saturating_add(count.unsent));
                count.known = true;
            }
            None if count.planted.is_some_and(|at| at.elapsed() < PLANTING) => {}
            None => count.known = false,
        }
    }

    /// The sums that Redis lacks and that are known here, marked as on their way.
    pub(super) fn plant(&mut self, periods: [bool; 2]) -> Vec<Amount> {
        let known = self.counts.iter_mut().zip(periods).filter(|(count, lacking)| *lacking && count.known);
        let planted = known.map(|(count, _)| {
            count.planted = Some(Instant::now());
            count.amount(count.tokens.saturating_sub(count.unsent))
        });
        planted.collect()
    }

    /// What was saved in each window, and when it ends, in the order of `Period::ALL`.
    pub(super) fn sums(&self) -> [(i64, DateTime<Utc>); 2] {
        self.counts.map(|count| (count.tokens, count.period.resets_at(count.window)))
    }

    /// The windows, in the order of `Period::ALL`.
    pub(super) fn windows(&self) -> [i64; 2] {
        self.counts.map(|count| count.window)
    }

    fn of(&mut self, period: Period, window: i64) -> Option<&mut Count> {
        self.counts.iter_mut().find(|count| count.period == period && count.window == window)
    }
}

impl Count {
    fn roll(&mut self, now: i64) {
        let window = self.period.window(now);
        if window > self.window {
            self.begin(window);
        } else if window < self.window && self.period.begins(self.window) - now > DISORDER {
            self.begin(window);
            self.known = false;
        }
    }

    /// Begins another window at nothing. The next one after a known one is known: whatever is saved in it passes here.
    fn begin(&mut self, window: i64) {
        *self = Self { window, tokens: 0, unsent: 0, ask_at: None, planted: None, ..*self };
    }

    fn is_due(&self) -> bool {
        !self.known && self.ask_at.is_none_or(|at| at <= Instant::now())
    }

    fn amount(&self, tokens: i64) -> Amount {
        Amount { period: self.period, window: self.window, tokens }
    }
}

impl Budget {
    /// Of two the one that holds longer.
    pub(super) fn later(self, other: Self) -> Self {
        match (self, other) {
            (Budget::Left, other) => other,
            (Budget::Spent { resets_at: ours, .. }, Budget::Spent { resets_at: theirs, .. })
                if theirs > ours =>
            {
                other
            }
            _ => self,
        }
    }
}
