//! The limits of a key as options, which `create` and `update` share. They are not held against the account's policy:
//! the tighter of the two holds, whichever was set last.

use clap::Args;

use crate::{
    cli::given::{Given, number, take},
    domain::limits::{LIMIT_MAX, OwnLimits, TOOLS_MAX},
};

/// How a limit is written that the key leaves to its account's policy.
const POLICY: &str = "policy";

#[derive(Debug, Args)]
pub(super) struct Limits {
    /// Requests a minute
    #[arg(long, value_name = "N|policy", value_parser = rate)]
    rate_limit_rpm: Option<Given<i64>>,
    /// Tokens that pruning may save in a UTC day; 0: nothing is pruned
    #[arg(long, value_name = "N|policy", value_parser = budget)]
    daily_token_budget: Option<Given<i64>>,
    /// Tokens that pruning may save in an ISO week (UTC)
    #[arg(long, value_name = "N|policy", value_parser = budget)]
    weekly_token_budget: Option<Given<i64>>,
    /// The least number of tools that pruning keeps
    #[arg(long, value_name = "N|policy", value_parser = tools)]
    k_target_override: Option<Given<i64>>,
}

fn rate(text: &str) -> Result<Given<i64>, String> {
    number(text, 1..=LIMIT_MAX, POLICY)
}

fn budget(text: &str) -> Result<Given<i64>, String> {
    number(text, 0..=LIMIT_MAX, POLICY)
}

fn tools(text: &str) -> Result<Given<i64>, String> {
    number(text, 1..=TOOLS_MAX, POLICY)
}

impl Limits {
    /// These limits, with those instead that were given.
    pub(super) fn of(&self, mut limits: OwnLimits) -> OwnLimits {
        take(self.rate_limit_rpm, &mut limits.rate_limit_rpm);
        take(self.daily_token_budget, &mut limits.daily_token_budget);
        take(self.weekly_token_budget, &mut limits.weekly_token_budget);
        take(self.k_target_override, &mut limits.k_target_override);
        limits
    }
}
