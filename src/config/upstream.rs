//! `[[upstreams]]` and `[demo]`: the providers. Their credentials are named here, never held.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::{HeaderName, Uri};
use serde::{Deserialize, Serialize};

use crate::{
    config::{duration, inspect::Section, problem::Problems},
    domain::violation::shown,
};

/// One of `[[upstreams]]`: an OpenAI-compatible provider.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Its name, the prefix of `name/model`.
    pub name: String,
    /// Its address, up to and with `/v1`.
    pub base_url: String,
    /// The environment variable with its credential.
    #[serde(default)]
    pub api_key_env: Option<String>,
    /// The file with its credential.
    #[serde(default)]
    pub api_key_file: Option<PathBuf>,
    /// The models it serves: literal names, or patterns with `*`.
    #[serde(default)]
    pub models: Vec<String>,
    /// Top-level request members that are tools, with the name each counts as, beside `web_search_options`.
    #[serde(default)]
    pub tool_members: BTreeMap<String, String>,
    /// Request headers of the client that are passed on; by default `openai-beta`,
    /// `traceparent` and `tracestate`.
    #[serde(default)]
    pub forward_headers: Option<Vec<String>>,
    /// Whether streams are asked for their usage, by `stream_options.include_usage`; `false` for a provider that does
    /// not know it.
    #[serde(default = "yes")]
    pub stream_usage: bool,
    /// How long connecting may take; default 5 s.
    #[serde(default = "seconds::<5>", with = "duration")]
    pub connect_timeout: Duration,
    /// How long the answer's first byte may take; default 300 s.
    #[serde(default = "seconds::<300>", with = "duration")]
    pub first_byte_timeout: Duration,
    /// How long the provider may be silent within an answer; default 120 s.
    #[serde(default = "seconds::<120>", with = "duration")]
    pub idle_timeout: Duration,
}

const fn yes() -> bool {
    true
}

const fn seconds<const N: u64>() -> Duration {
    Duration::from_secs(N)
}

/// `[demo]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Demo {
    /// Whether `orqen/demo` is in the catalog.
    pub enabled: bool,
}

impl Section for Demo {
    fn check(&self, _: &str, _: &mut Problems<'_>) {}
}

/// Headers that never go to a provider: the agent's own credential and cookies, and those of one connection.
const NEVER_FORWARDED: [&str; 18] = [
    "authorization",
    "proxy-authorization",
    "proxy-authenticate",
    "proxy-connection",
    "x-api-key",
    "api-key",
    "cookie",
    "host",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "content-length",
    "content-encoding",
    "accept-encoding",
];

/// Members that have a meaning of their own and can be no tool.
const GOVERNED_MEMBERS: [&str; 9] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
];

impl Section for Upstream {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        self.check_name(at, problems);
        self.check_address(at, problems);
        self.check_credential(at, problems);
        self.check_lists(at, problems);
        let (least, most) = (Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));
        for (name, timeout) in [
            ("connect_timeout", self.connect_timeout),
            ("first_byte_timeout", self.first_byte_timeout),
            ("idle_timeout", self.idle_timeout),
        ] {
            problems.lasts(&format!("{at}.{name}"), timeout, least..=most);
        }
    }
}

impl Upstream {
    fn check_name(&self, at: &str, problems: &mut Problems<'_>) {
        let name = &self.name;
        let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if name == "orqen" {
            problems.add(format!("{at}.name"), "\"orqen\" is the name of our own models: choose another");
        } else if !(1..=32).contains(&name.len()) || !name.bytes().all(fits) {
            problems.add(
                format!("{at}.name"),
                format!("{} is no upstream name: use 1 to 32 of a-z, 0-9, `-` and `_`", shown(name)),
            );
        }
    }

    fn check_address(&self, at: &str, problems: &mut Problems<'_>) {
        let field = format!("{at}.base_url");
        // Neither is the value shown then: it holds a credential.
        if self.base_url.contains('@') {
            problems.add(field, "holds a credential: take it out and name `api_key_env` or `api_key_file`");
            return;
        }
        let uri = self.base_url.parse::<Uri>().ok();
        let fits = uri.is_some_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
                && uri.query().is_none()
        });
        if !fits || self.base_url.contains('#') {
            problems.add(
                field,
                format!(
                    "{} is no address of an API: write `https://HOST/v1`, without a query",
                    shown(self.base_url.split('?').next().unwrap_or_default())
                ),
            );
        }
    }

    fn check_credential(&self, at: &str, problems: &mut Problems<'_>) {
        if self.api_key_env.is_some() && self.api_key_file.is_some() {
            problems.add(format!("{at}.api_key_file"), "is given beside `api_key_env`: keep one of the two");
        }
        let is_variable = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            name.chars().all(fits) && name.starts_with(|c: char| !c.is_ascii_digit())
        };
        // The value is not shown: who errs here has most likely pasted the credential itself.
        if self.api_key_env.as_deref().is_some_and(|name| !is_variable(name)) {
            problems.add(
                format!("{at}.api_key_env"),
                "is no name of an environment variable: put the credential in one, and its name here",
            );
        }
    }

    fn check_lists(&self, at: &str, problems: &mut Problems<'_>) {
        for (i, model) in self.models.iter().enumerate() {
            if model.trim().is_empty() || model.trim() != model {
                problems.add(
                    format!("{at}.models[{i}]"),
                    format!("{} is no model: write a name, or a pattern such as `gpt-*`", shown(model)),
                );
            }
        }
        for (member, tool) in &self.tool_members {
            let field = format!("{at}.tool_members.{member}");
            if member.is_empty() || tool.is_empty() {
                problems.add(field, "pairs a member with the tool it counts as: neither may be empty");
            } else if GOVERNED_MEMBERS.contains(&member.as_str()) {
                problems.add(field, "has a meaning of its own and can be no tool: take it out");
            }
        }
        for (i, header) in self.forward_headers.iter().flatten().enumerate() {
            let field = format!("{at}.forward_headers[{i}]");
            if NEVER_FORWARDED.iter().any(|name| name.eq_ignore_ascii_case(header)) {
                problems.add(field, format!("{} never goes to a provider: take it out", shown(header)));
            } else if header.parse::<HeaderName>().is_err() {
                problems.add(field, format!("{} is no name of a header", shown(header)));
            }
        }
    }
}

/// Adds each name that two upstreams share.
pub(super) fn check_unique(names: &[(String, String)], problems: &mut Problems<'_>) {
    for (i, (field, name)) in names.iter().enumerate() {
        if let Some((first, _)) = names[..i].iter().find(|(_, earlier)| earlier == name) {
            problems
                .add(field.clone(), format!("{} is the name in {first} too: choose another", shown(name)));
        }
    }
}
