//! `[pruning]`: whether and how tools are chosen.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    config::{duration, inspect::Section, problem::Problems},
    domain::{policy::PruneMode, violation::shown},
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
    /// Comparing by meaning as well as by words; absent: by words alone.
    #[serde(default)]
    pub embeddings: Option<Embeddings>,
}

/// `[pruning.embeddings]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Embeddings {
    /// The name of the upstream that serves them.
    pub upstream: String,
    /// The model, as that upstream knows it.
    pub model: String,
    /// How many numbers a vector is asked to have; absent: as many as the model gives.
    #[serde(default)]
    pub dimensions: Option<usize>,
    /// How long a chat request waits for vectors before it goes on without.
    #[serde(default = "milliseconds::<150>", with = "duration")]
    pub timeout: Duration,
    /// The most bytes of vectors in memory.
    #[serde(default = "mebibytes::<64>")]
    pub cache_bytes: usize,
}

const fn milliseconds<const N: u64>() -> Duration {
    Duration::from_millis(N)
}

const fn mebibytes<const N: usize>() -> usize {
    N * MIB
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
        if let Some(embeddings) = &self.embeddings {
            embeddings.check(&format!("{at}.embeddings"), problems);
        }
    }
}

impl Embeddings {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        if self.model.trim().is_empty() {
            problems.add(format!("{at}.model"), "is empty: write the name of an embedding model");
        }
        if let Some(dimensions) = self.dimensions {
            problems.within(&format!("{at}.dimensions"), dimensions, 1..=8192);
        }
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(5));
        problems.lasts(&format!("{at}.timeout"), self.timeout, least..=most);
        problems.within(&format!("{at}.cache_bytes"), self.cache_bytes, MIB..=16 * 1024 * MIB);
    }

    /// Adds a problem unless `upstreams`, the names there are, have the one that is to serve them.
    pub(super) fn check_upstream(&self, upstreams: &[&str], problems: &mut Problems<'_>) {
        if upstreams.contains(&self.upstream.as_str()) {
            return;
        }
        let known: Vec<_> = upstreams.iter().map(|name| format!("`{name}`")).collect();
        let way_out = match known.is_empty() {
            true => "add one to `[[upstreams]]`".to_owned(),
            false => format!("there are {}", known.join(", ")),
        };
        let message = format!("{} is no upstream: {way_out}", shown(&self.upstream));
        problems.add("pruning.embeddings.upstream", message);
    }
}
