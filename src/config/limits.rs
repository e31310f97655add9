//! `[limits]`: the bounds of every input, on REST and gRPC alike.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{duration, inspect::Section, problem::Problems};

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
    /// How deep JSON arrays and objects may lie in each other.
    pub json_depth: usize,
    /// How long a request's body may take to arrive.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
}

impl Section for Limits {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        problems.within(&format!("{at}.chat_body"), self.chat_body, KIB..=GIB);
        problems.within(&format!("{at}.account_body"), self.account_body, KIB..=GIB);
        // Readers that recurse are safe to some thousand levels on a worker's stack; 512 leaves a wide margin.
        problems.within(&format!("{at}.json_depth"), self.json_depth, 1..=512);
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(60 * 60));
        problems.lasts(&format!("{at}.body_timeout"), self.body_timeout, least..=most);
    }
}
