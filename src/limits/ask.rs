//! What the limiter is asked: who wants to go on, and by which rules.

use chrono::{DateTime, Utc};

use crate::domain::{
    key::{AccountId, KeyId},
    limits::Limits,
    policy::PolicyValues,
};

/// The limits of a subject; `None` means unlimited. They are handed in with every request, so that a change of policy
/// holds at once: what was used so far stays counted and is held against the new limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// Requests a minute, which may also come all at once.
    pub requests_per_minute: Option<i64>,
    /// Requests at the same time.
    pub concurrent_requests: Option<i64>,
    /// Saved tokens a UTC day.
    pub daily_token_budget: Option<i64>,
    /// Saved tokens an ISO week.
    pub weekly_token_budget: Option<i64>,
}

impl Rules {
    /// No limit at all.
    pub const UNLIMITED: Self = Self {
        requests_per_minute: None,
        concurrent_requests: None,
        daily_token_budget: None,
        weekly_token_budget: None,
    };

    /// Those of an account as a whole.
    pub fn of_account(policy: &PolicyValues) -> Self {
        Self {
            requests_per_minute: policy.account_requests_per_minute,
            concurrent_requests: policy.account_concurrent_requests,
            daily_token_budget: policy.account_daily_token_budget,
            weekly_token_budget: policy.account_weekly_token_budget,
        }
    }

    /// Whether there is nothing to count.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::UNLIMITED
    }
}

impl From<&Limits> for Rules {
    fn from(limits: &Limits) -> Self {
        Self {
            requests_per_minute: limits.rate_limit_rpm.value,
            concurrent_requests: limits.concurrent_requests.value,
            daily_token_budget: limits.daily_token_budget.value,
            weekly_token_budget: limits.weekly_token_budget.value,
        }
    }
}

/// A request that wants to be admitted.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    /// Whose it is.
    pub account: AccountId,
    /// The key it came with; `None` for a JWT. All requests of an account without a key count as one key's.
    pub key: Option<KeyId>,
    /// The limits of the key.
    pub key_rules: Rules,
    /// The limits of the account as a whole.
    pub account_rules: Rules,
    /// When it came.
    pub now: DateTime<Utc>,
}

/// Whose limit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A key.
    Key(KeyId),
    /// All callers of an account that come without a key.
    NoKey,
    /// An account as a whole.
    Account,
}

/// A subject and the account it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubjectId {
    /// The account.
    pub account: AccountId,
    /// Which of its subjects.
    pub subject: Subject,
}

impl SubjectId {
    /// What a request with `key`, or without one, counts against beside its account.
    pub(super) fn caller(account: AccountId, key: Option<KeyId>) -> Self {
        Self { account, subject: key.map_or(Subject::NoKey, Subject::Key) }
    }

    /// The account as a whole.
    pub(super) fn whole(account: AccountId) -> Self {
        Self { account, subject: Subject::Account }
    }
}

impl Ask {
    /// The subjects with their rules, the key first: locks are taken in this order. One without limits is left out,
    /// and costs no look-up.
    pub(super) fn subjects(&self) -> [Option<(SubjectId, Rules)>; 2] {
        let limited = |id, rules: Rules| (!rules.is_unlimited()).then_some((id, rules));
        [
            limited(SubjectId::caller(self.account, self.key), self.key_rules),
            limited(SubjectId::whole(self.account), self.account_rules),
        ]
    }
}
