//! `[log]`: what is logged, and how it looks.

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::{
    config::{inspect::Section, problem::Problems},
    domain::violation::shown,
};

/// `[log]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// A filter: `info`, `debug`, `info,orqen=trace`.
    pub level: String,
    /// `auto` (human on a terminal, JSON otherwise), `human` or `json`.
    pub format: LogFormat,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// A line for people.
    Human,
    /// A JSON object a line.
    Json,
}

impl Section for Log {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        if !is_filter(&self.level) {
            problems.add(
                format!("{at}.level"),
                format!(
                    "{} is no log filter: write error, warn, info, debug, trace or off, or pairs such as \
                     `info,orqen=debug`",
                    shown(&self.level)
                ),
            );
        }
    }
}

/// Whether `text` is a filter. The filter's own parser takes any lone word for a target, so that `inof` would
/// mean "nothing but the target inof": here a lone word has to be a level.
fn is_filter(text: &str) -> bool {
    let is_level = |word: &str| {
        ["error", "warn", "info", "debug", "trace", "off"]
            .iter()
            .any(|level| level.eq_ignore_ascii_case(word))
    };
    let mut parts = text.split(',').map(str::trim);
    parts.all(|part| part.contains(['=', '[']) || is_level(part)) && EnvFilter::try_new(text).is_ok()
}
