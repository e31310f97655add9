//! `[otel]`: where spans of chat requests are sent.

use std::time::Duration;

use http::Uri;
use serde::{Deserialize, Serialize};

use crate::{
    config::{duration, inspect::Section, problem::Problems},
    domain::violation::shown,
};

/// `[otel]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Otel {
    /// The address of a collector that takes OTLP over HTTP; `/v1/traces` is added.
    pub endpoint: String,
    /// The `service.name` that spans say.
    #[serde(default = "orqen")]
    pub service_name: String,
    /// How long the collector may take to answer.
    #[serde(default = "ten_seconds", with = "duration")]
    pub timeout: Duration,
}

fn orqen() -> String {
    "orqen".to_owned()
}

const fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

impl Otel {
    /// Where spans are posted; `None` if `endpoint` is no address.
    pub fn traces(&self) -> Option<Uri> {
        let uri: Uri = format!("{}/v1/traces", self.endpoint.trim_end_matches('/')).parse().ok()?;
        let plain = !self.endpoint.contains(['?', '#', '@']);
        (plain && matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()).then_some(uri)
    }
}

impl Section for Otel {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        if self.traces().is_none() {
            // What stands before an `@` may be a password.
            let given = if self.endpoint.contains('@') {
                "an address with an `@`".into()
            } else {
                shown(self.endpoint.split('?').next().unwrap_or_default())
            };
            problems.add(
                format!("{at}.endpoint"),
                format!("{given} is no address of a collector: write it like `http://127.0.0.1:4318`"),
            );
        }
        if self.service_name.trim().is_empty() {
            problems.add(format!("{at}.service_name"), "is empty: write a name, or leave it out");
        }
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(60));
        problems.lasts(&format!("{at}.timeout"), self.timeout, least..=most);
    }
}
