//! `[usage]`: what is kept of requests.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{duration, inspect::Section, problem::Problems};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `[usage]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Whether there is a record of each request; without it only the sums by day are kept.
    pub records: bool,
    /// How long the record of a request is kept; the sums by day stay.
    #[serde(with = "duration")]
    pub retention: Duration,
}

impl Section for Usage {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        problems.lasts(&format!("{at}.retention"), self.retention, DAY..=365 * DAY);
    }
}
