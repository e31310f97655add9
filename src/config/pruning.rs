//! `[pruning]`: whether and how tools are chosen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    config::{duration, inspect::Section, problem::Problems},
    domain::policy::PruneMode,
};

const MIB: usize = 1024 * 1024;

/// `[pruning]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pruning {
    /// Whether tools are pruned at all; `false` is the mode `off` for everybody.
    pub enabled: bool,
    /// How much is pruned where the account's policy does not say.
    pub mode: PruneMode,
    /// Fewer tools than this are not pruned.
    pub least_tools: usize,
    /// Nor are tools of fewer tokens than this.
    pub least_tokens: usize,
    /// How long choosing may take.
    #[serde(with = "duration")]
    pub scoring_budget: Duration,
    /// How long one request may read and index tools that were never seen.
    #[serde(with = "duration")]
    pub indexing_budget: Duration,
    /// The share of conversations that are left unpruned.
    pub learning_share: f64,
    /// The most bytes of indexed tools in memory.
    pub cache_bytes: usize,
    /// The most conversations whose tools are remembered.
    pub conversations: usize,
}

impl Section for Pruning {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        problems.within(&format!("{at}.least_tools"), self.least_tools, 1..=4096);
        problems.within(&format!("{at}.least_tokens"), self.least_tokens, 0..=1_000_000);
        problems.within(&format!("{at}.cache_bytes"), self.cache_bytes, MIB..=16 * 1024 * MIB);
        problems.within(&format!("{at}.conversations"), self.conversations, 1..=10_000_000);
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(1));
        problems.lasts(&format!("{at}.scoring_budget"), self.scoring_budget, least..=most);
        problems.lasts(&format!("{at}.indexing_budget"), self.indexing_budget, least..=most);
        if !(0.0..=1.0).contains(&self.learning_share) {
            problems.add(
                format!("{at}.learning_share"),
                format!("{} is out of bounds: give a share from 0 to 1, such as 0.02", self.learning_share),
            );
        }
    }
}
