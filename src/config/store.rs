//! `[store]` and `[redis]`: where state lives.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{SecretUrl, duration, inspect::Section, problem::Problems};

/// `[store]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// `sqlite://FILE` or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub url: SecretUrl,
    /// Whether an empty store gets the account `default` and a key, printed once.
    pub bootstrap: bool,
    /// How long cached keys are trusted while the store cannot be reached.
    #[serde(with = "duration")]
    pub stale_for: Duration,
    /// How often the change sequence is polled.
    #[serde(with = "duration")]
    pub poll_every: Duration,
    /// Connections in the pool.
    pub max_connections: u32,
}

impl Section for Store {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        if let Some(message) = unsupported(&self.url) {
            problems.add(format!("{at}.url"), message);
        }
        // A revocation by the command line has to hold within one second.
        let (least, most) = (Duration::from_millis(10), Duration::from_secs(1));
        problems.lasts(&format!("{at}.poll_every"), self.poll_every, least..=most);
        // A bound on how long a revoked key can go on while the store is away.
        let day = Duration::from_secs(24 * 60 * 60);
        problems.lasts(&format!("{at}.stale_for"), self.stale_for, Duration::ZERO..=day);
        problems.within(&format!("{at}.max_connections"), self.max_connections, 1..=1000);
    }
}

fn unsupported(url: &SecretUrl) -> Option<String> {
    const SUPPORTED: &str = "`sqlite://FILE` and `postgres://USER:PASSWORD@HOST/DATABASE` are supported";
    let address = url.expose().split_once("://").map_or("", |(_, address)| address);
    match url.scheme().as_str() {
        "sqlite" if address.contains(":memory:") => Some(format!(
            "{url} would lose every key at the stop, and each connection would see its own: name a file"
        )),
        "sqlite" | "postgres" | "postgresql"
            if address.split('?').next().is_some_and(|it| !it.is_empty()) =>
        {
            None
        }
        _ => Some(format!("{url} is no store that Orqen knows: {SUPPORTED}")),
    }
}

/// `[redis]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://HOST/DATABASE`.
    pub url: SecretUrl,
}

impl Section for Redis {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        let has_host = self.url.expose().split_once("://").is_some_and(|(_, address)| !address.is_empty());
        if !matches!(self.url.scheme().as_str(), "redis" | "rediss") || !has_host {
            problems.add(
                format!("{at}.url"),
                format!(
                    "{} is no address of a Redis: write `redis://HOST/0`, or `rediss://` for TLS",
                    self.url
                ),
            );
        }
    }
}
