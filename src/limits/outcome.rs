//! What the limiter answers: the figures of the tightest request limit, the state of the budgets, or a refusal that
//! says whose limit it was and when to come back.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Period, Subject, gcra::MINUTE};

/// Where a request limit stands, this request counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Requests {
    /// Requests a minute.
    pub limit: i64,
    /// How many more may come at once.
    pub remaining: i64,
    /// How long until all of `limit` may come at once again.
    pub reset: Duration,
}

impl Requests {
    /// How many of them were taken and have not come back. No bucket holds more than one request a microsecond.
    pub fn used(&self) -> i64 {
        self.limit.min(MINUTE).saturating_sub(self.remaining).max(0)
    }
}

/// The state of the budgets when the request was admitted. A spent one refuses nothing by itself: whether to prune no
/// more or to refuse is the caller's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Something is left of each.
    Left,
    /// One is spent; of several, the one that is full again last.
    Spent {
        /// The day's or the week's.
        period: Period,
        /// Whose it is.
        subject: Subject,
        /// The budget, in tokens.
        limit: i64,
        /// When it begins anew.
        resets_at: DateTime<Utc>,
    },
}

/// Which limit refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// Requests a minute.
    Requests,
    /// Requests at the same time.
    Concurrent,
}

/// A request that may not go on. Nothing was taken from any limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("over the limit of {limit} requests {} of {}", exceeded.words(), subject.words())]
pub struct Refusal {
    /// Which limit.
    pub exceeded: Exceeded,
    /// Whose.
    pub subject: Subject,
    /// The limit itself.
    pub limit: i64,
    /// When another attempt can succeed; for `Concurrent` a guess, since nobody knows when a request ends.
    pub retry_after: Duration,
    /// The figures of the request limit: the one that refused, else the tightest; `None` where there is none.
    pub requests: Option<Requests>,
}

impl Exceeded {
    fn words(self) -> &'static str {
        match self {
            Exceeded::Requests => "a minute",
            Exceeded::Concurrent => "at the same time",
        }
    }
}

impl Subject {
    fn words(self) -> &'static str {
        match self {
            Subject::Key(_) => "the key",
            Subject::NoKey => "the callers without a key",
            Subject::Account => "the account",
        }
    }
}
