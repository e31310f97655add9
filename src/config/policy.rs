//! `[policy]`: what a new account starts with.

use serde::{Deserialize, Serialize};

use crate::{
    config::{amount, inspect::Section, problem::Problems},
    domain::{
        limits::{LIMIT_MAX, TOOLS_MAX},
        policy::PolicyValues,
    },
};

/// `[policy]`: what a new account starts with. `None` means unlimited, and is written `"unlimited"`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Requests a minute of one key.
    #[serde(default, with = "amount")]
    pub requests_per_minute: Option<i64>,
    /// Requests of one key at the same time.
    #[serde(default, with = "amount")]
    pub concurrent_requests: Option<i64>,
    /// Saved tokens of one key in a UTC day.
    #[serde(default, with = "amount")]
    pub daily_token_budget: Option<i64>,
    /// Saved tokens of one key in an ISO week.
    #[serde(default, with = "amount")]
    pub weekly_token_budget: Option<i64>,
    /// The least number of tools that pruning keeps; `None` leaves it to pruning.
    #[serde(default)]
    pub tool_window: Option<i64>,
    /// How many keys an account may have.
    #[serde(default, with = "amount")]
    pub max_keys: Option<i64>,
    /// Requests a minute of the account as a whole.
    #[serde(default, with = "amount")]
    pub account_requests_per_minute: Option<i64>,
    /// Requests of the account as a whole at the same time.
    #[serde(default, with = "amount")]
    pub account_concurrent_requests: Option<i64>,
    /// Saved tokens of the account as a whole in a UTC day.
    #[serde(default, with = "amount")]
    pub account_daily_token_budget: Option<i64>,
    /// Saved tokens of the account as a whole in an ISO week.
    #[serde(default, with = "amount")]
    pub account_weekly_token_budget: Option<i64>,
}

impl Policy {
    /// As the store takes it.
    pub fn values(&self) -> PolicyValues {
        PolicyValues {
            requests_per_minute: self.requests_per_minute,
            concurrent_requests: self.concurrent_requests,
            daily_token_budget: self.daily_token_budget,
            weekly_token_budget: self.weekly_token_budget,
            tool_window: self.tool_window,
            max_keys: self.max_keys,
            prune_mode: None,
            account_requests_per_minute: self.account_requests_per_minute,
            account_concurrent_requests: self.account_concurrent_requests,
            account_daily_token_budget: self.account_daily_token_budget,
            account_weekly_token_budget: self.account_weekly_token_budget,
        }
    }
}

impl Section for Policy {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        // A budget of 0 has a meaning, no pruning at all; a rate of 0 would be an account that cannot be used.
        for (name, amount, bounds) in [
            ("requests_per_minute", self.requests_per_minute, 1..=LIMIT_MAX),
            ("concurrent_requests", self.concurrent_requests, 1..=LIMIT_MAX),
            ("daily_token_budget", self.daily_token_budget, 0..=LIMIT_MAX),
            ("weekly_token_budget", self.weekly_token_budget, 0..=LIMIT_MAX),
            ("tool_window", self.tool_window, 1..=TOOLS_MAX),
            ("max_keys", self.max_keys, 1..=LIMIT_MAX),
            ("account_requests_per_minute", self.account_requests_per_minute, 1..=LIMIT_MAX),
            ("account_concurrent_requests", self.account_concurrent_requests, 1..=LIMIT_MAX),
            ("account_daily_token_budget", self.account_daily_token_budget, 0..=LIMIT_MAX),
            ("account_weekly_token_budget", self.account_weekly_token_budget, 0..=LIMIT_MAX),
        ] {
            if let Some(amount) = amount.filter(|amount| !bounds.contains(amount)) {
                let or = if name == "tool_window" { "leave it out" } else { "write \"unlimited\"" };
                let (least, most) = (bounds.start(), bounds.end());
                problems.add(
                    format!("{at}.{name}"),
                    format!("{amount} is out of bounds: give {least} to {most}, or {or}"),
                );
            }
        }
    }
}
