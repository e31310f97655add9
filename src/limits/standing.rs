//! Where limits stand, for those who want to know before they ask: nothing is taken, and nobody is refused.
//!
//! With Redis the figures are those of all replicas together: whoever sees half of what is used would be refused long
//! before the limit that they were shown. While it is away they are what this process counts by.

use chrono::{DateTime, Utc};

use super::{
    Ask, Budget, RateLimiter, Requests, Rules, budget::Budgets, ledger::State, limiter::Claim, verdict::Seen,
};

/// Where the limits of a subject stand; `None` where it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Requests a minute.
    pub requests: Option<Requests>,
    /// Requests at the same time.
    pub concurrent: Option<Concurrency>,
    /// Saved tokens of this UTC day.
    pub day: Option<Spending>,
    /// Saved tokens of this ISO week.
    pub week: Option<Spending>,
}

/// Where a limit of requests at the same time stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// How many there may be.
    pub limit: i64,
    /// How many there are.
    pub running: i64,
}

/// Where a budget stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    /// The budget, in tokens.
    pub limit: i64,
    /// What was saved of it; may be more, by what was in flight when it was spent.
    pub spent: i64,
    /// When it begins anew.
    pub resets_at: DateTime<Utc>,
}

impl RateLimiter {
    /// Where the limits of a request's key and account stand, the key's first. Takes nothing.
    ///
    /// Waits for Redis, where there is one, for `Timing::answer` at most, and at the first sight of a subject with a
    /// budget for the store, 250 ms at most.
    pub async fn peek(&self, ask: &Ask) -> [Standing; 2] {
        let now = ask.now.timestamp_micros();
        let claims = self.claims(ask, now);
        let seen = self.seen_elsewhere(&claims, now).await;
        let mut standings = [Standing::default(); 2];
        for ((standing, claim), seen) in standings.iter_mut().zip(claims).zip(seen) {
            let Some(claim) = claim else { continue };
            self.budget(&claim, now).await;
            *standing = claim.standing(&mut claim.ledger.lock(), seen, now);
        }
        standings
    }
}

impl RateLimiter {
    /// The budgets of a request's key and account, as `admit` would see them. Takes nothing; waits like `peek`.
    pub async fn budget_of(&self, ask: &Ask) -> Budget {
        let now = ask.now.timestamp_micros();
        let mut budget = Budget::Left;
        for claim in self.claims(ask, now).iter().flatten() {
            budget = budget.later(self.budget(claim, now).await);
        }
        budget
    }
}

impl Claim {
    /// From what all replicas see of the subject, or else this one.
    fn standing(&self, state: &mut State, seen: Option<Seen>, now: i64) -> Standing {
        let seen = seen.unwrap_or_else(|| self.see(state, now));
        let slots = |limit| Concurrency { limit, running: seen.running };
        // A subject without a budget is not given the counts of one.
        let [day, week] = state.budgets().map(|budgets| budgets.spending(&self.rules)).unwrap_or_default();
        Standing {
            requests: seen.requests(0),
            concurrent: self.rules.concurrent_requests.map(slots),
            day,
            week,
        }
    }
}

impl Budgets {
    /// What was spent of each budget that `rules` set, in the order of the periods.
    fn spending(&self, rules: &Rules) -> [Option<Spending>; 2] {
        let [day, week] = self.sums();
        let of =
            |limit: Option<i64>, (spent, resets_at)| limit.map(|limit| Spending { limit, spent, resets_at });
        [of(rules.daily_token_budget, day), of(rules.weekly_token_budget, week)]
    }
}
