//! What an account grants: to each of its keys, and to all of them together.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::key::AccountId;

/// How much of a request's tools may be left out. Ordered: the greater leaves out more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PruneMode {
    /// Nothing.
    Off,
    /// Tools that are most likely not needed. All needed ones stay in 99 of 100 requests and more.
    #[default]
    Safe,
    /// Of those that stay, the less likely ones are cut down to what a call needs.
    Balanced,
    /// All but the likeliest ones are.
    Aggressive,
}

impl PruneMode {
    /// Every mode, the least first.
    pub const ALL: [PruneMode; 4] =
        [PruneMode::Off, PruneMode::Safe, PruneMode::Balanced, PruneMode::Aggressive];

    /// The word for it, as it is written in JSON, headers, the configuration and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            PruneMode::Off => "off",
            PruneMode::Safe => "safe",
            PruneMode::Balanced => "balanced",
            PruneMode::Aggressive => "aggressive",
        }
    }

    /// The mode that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == word)
    }
}

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
    /// How much of a request's tools may be left out; `None` leaves it to the configuration.
    pub prune_mode: Option<PruneMode>,
    /// Requests a minute of the account as a whole.
    pub account_requests_per_minute: Option<i64>,
    /// Requests of the account as a whole at the same time.
    pub account_concurrent_requests: Option<i64>,
    /// Saved tokens of the account as a whole in a UTC day.
    pub account_daily_token_budget: Option<i64>,
    /// Saved tokens of the account as a whole in an ISO week.
    pub account_weekly_token_budget: Option<i64>,
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
    /// What it grants.
    pub policy: Policy,
}
