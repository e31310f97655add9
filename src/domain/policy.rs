//! What an account grants to each of its keys.

use chrono::{DateTime, Utc};

use crate::domain::key::AccountId;

/// The values of a policy; `None` means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyValues {
    /// Requests a minute of one key.
    pub requests_per_minute: Option<i64>,
    /// Requests of one key at the same time.
    pub concurrent_requests: Option<i64>,
    /// Saved tokens of one key in a UTC day.
    pub daily_token_budget: Option<i64>,
    /// Saved tokens of one key in an ISO week.
    pub weekly_token_budget: Option<i64>,
    /// The least number of tools that pruning keeps.
    pub tool_window: Option<i64>,
    /// How many keys that are not revoked the account may have.
    pub max_keys: Option<i64>,
}

/// A policy as the store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Its values.
    pub values: PolicyValues,
    /// Grows by one with every change.
    pub revision: i64,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
}

impl std::ops::Deref for Policy {
    type Target = PolicyValues;

    fn deref(&self) -> &PolicyValues {
        &self.values
    }
}

/// The owner of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// A name that no other account has.
    pub name: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// What it grants to each of its keys.
    pub policy: Policy,
}
