//! `[limits]`: the bounds of every input, on REST and gRPC alike.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    config::{amount, duration, inspect::Section, problem::Problems},
    domain::limits::LIMIT_MAX,
};

const KIB: usize = 1024;
const GIB: usize = 1024 * 1024 * KIB;

/// `[limits]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// The largest chat request, in bytes.
    pub chat_body: usize,
    /// The largest request of the account routes, in bytes.
    pub account_body: usize,
    /// Requests under way at once in this process, of everybody together.
    pub concurrent_requests: usize,
    /// Bytes of bodies that are read or wait to be sent on at once, of everybody together.
    pub body_memory: usize,
    /// How deep JSON arrays and objects may lie in each other.
    pub json_depth: usize,
    /// What comes of requests once a budget of saved tokens is spent.
    pub saved_tokens_exceeded: SavedTokensExceeded,
    /// Requests a minute of one key to the account routes; `None` means unlimited.
    #[serde(default, with = "amount")]
    pub account_requests_per_minute: Option<i64>,
    /// Credentials a minute that are looked up in vain for one address; `None` means unlimited.
    #[serde(default, with = "amount")]
    pub failed_auth_per_minute: Option<i64>,
    /// How long a request's body may take to arrive.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
}

/// What comes of requests once a budget of saved tokens is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SavedTokensExceeded {
    /// They go on with every tool that the lists let through.
    StopPruning,
    /// They are refused.
    Reject,
}

impl Section for Limits {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        problems.within(&format!("{at}.chat_body"), self.chat_body, KIB..=GIB);
        problems.within(&format!("{at}.account_body"), self.account_body, KIB..=GIB);
        problems.within(&format!("{at}.concurrent_requests"), self.concurrent_requests, 1..=1_000_000);
        problems.within(&format!("{at}.body_memory"), self.body_memory, self.chat_body.max(KIB)..=1024 * GIB);
        // Readers that recurse are safe to some thousand levels on a worker's stack; 512 leaves a wide margin.
        problems.within(&format!("{at}.json_depth"), self.json_depth, 1..=512);
        for (name, amount) in [
            ("account_requests_per_minute", self.account_requests_per_minute),
            ("failed_auth_per_minute", self.failed_auth_per_minute),
        ] {
            if let Some(amount) = amount.filter(|amount| !(1..=LIMIT_MAX).contains(amount)) {
                problems.add(
                    format!("{at}.{name}"),
                    format!("{amount} is out of bounds: give 1 to {LIMIT_MAX}, or write \"unlimited\""),
                );
            }
        }
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(60 * 60));
        problems.lasts(&format!("{at}.body_timeout"), self.body_timeout, least..=most);
    }
}
