//! A key that has got a secret, for people; and a key as JSON, member for member as REST shows it, so that scripts need
//! not care which of the two they ask. Written here a second time, and not borrowed from the services: a command has no
//! descriptors at hand, and the members are few and fixed.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use super::{scope_words, tools};
use crate::domain::{
    generation::LivingSecret,
    key::{Key, KeyStatus, Scope},
    limits::Limit,
    policy::Account,
    secret::PlainSecret,
};

/// A key, with its secret only where it was just made.
#[derive(Serialize)]
pub(super) struct KeyView<'a> {
    id: String,
    name: &'a str,
    key_prefix: &'a str,
    status: &'static str,
    scopes: Vec<&'static str>,
    allowed_tools: Option<&'a [String]>,
    denied_tools: Option<&'a [String]>,
    tool_mode: &'static str,
    limits: LimitsView,
    created_at: String,
    created_by: &'a str,
    last_used_at: Option<String>,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    rotated_at: Option<String>,
    revision: i64,
    generations: Vec<GenerationView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
}

#[derive(Serialize)]
struct GenerationView<'a> {
    number: i32,
    key_prefix: &'a str,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
}

#[derive(Serialize)]
struct LimitsView {
    rate_limit_rpm: LimitView,
    concurrent_requests: LimitView,
    daily_token_budget: LimitView,
    weekly_token_budget: LimitView,
    k_target: LimitView,
}

#[derive(Serialize)]
struct LimitView {
    value: Option<i64>,
    source: &'static str,
}

impl<'a> KeyView<'a> {
    /// The key as it is at `now` under its account's policy.
    pub(super) fn new(key: &'a Key, account: &Account, now: DateTime<Utc>) -> Self {
        let limits = key.limits(&account.policy);
        Self {
            id: key.id.to_string(),
            name: &key.name,
            key_prefix: &key.prefix,
            status: status_word(key.status(now)),
            scopes: key.scopes.iter().map(Scope::as_str).collect(),
            allowed_tools: key.toollist.allowed(),
            denied_tools: key.toollist.denied(),
            tool_mode: key.tool_mode.as_str(),
            limits: LimitsView {
                rate_limit_rpm: limits.rate_limit_rpm.into(),
                concurrent_requests: limits.concurrent_requests.into(),
                daily_token_budget: limits.daily_token_budget.into(),
                weekly_token_budget: limits.weekly_token_budget.into(),
                k_target: limits.k_target.into(),
            },
            created_at: rfc3339(key.created_at),
            created_by: &key.created_by,
            last_used_at: key.last_used_at.map(rfc3339),
            expires_at: key.expires_at.map(rfc3339),
            revoked_at: key.revoked_at.map(rfc3339),
            rotated_at: key.rotated_at.map(rfc3339),
            revision: key.revision,
            generations: key.secrets.iter().filter(|secret| secret.lives(now)).map(Into::into).collect(),
            key: None,
        }
    }

    /// With the secret, for the one answer that has it.
    pub(super) fn with_secret(self, secret: &'a PlainSecret) -> Self {
        Self { key: Some(secret.expose()), ..self }
    }
}

impl<'a> From<&'a LivingSecret> for GenerationView<'a> {
    fn from(secret: &'a LivingSecret) -> Self {
        Self {
            number: secret.number,
            key_prefix: &secret.prefix,
            created_at: rfc3339(secret.created_at),
            expires_at: secret.expires_at.map(rfc3339),
            last_used_at: secret.last_used_at.map(rfc3339),
        }
    }
}

impl From<Limit> for LimitView {
    fn from(limit: Limit) -> Self {
        Self { value: limit.value, source: if limit.from_key { "key" } else { "policy" } }
    }
}

/// Shows a key with its secret, once.
pub(super) fn show(
    key: &Key,
    account: &Account,
    (secret, json): (&PlainSecret, bool),
    now: DateTime<Utc>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if json {
        let view = KeyView::new(key, account, now).with_secret(secret);
        writeln!(out, "{}", serde_json::to_string_pretty(&view)?)?;
    } else {
        describe(key, account, &mut io::stderr())?;
        writeln!(out, "{}", secret.expose())?;
    }
    Ok(())
}

/// What was made, for people; the secret is not among it.
fn describe(key: &Key, account: &Account, to: &mut dyn Write) -> io::Result<()> {
    let expires = key.expires_at.map_or_else(|| "never".to_owned(), rfc3339);
    writeln!(to, "key      {}", key.id)?;
    writeln!(to, "name     {}", key.name)?;
    writeln!(to, "account  {} ({})", account.name, account.id)?;
    writeln!(to, "scopes   {}", scope_words(key))?;
    writeln!(to, "tools    {}", tools(key))?;
    writeln!(to, "expires  {expires}")?;
    for before in key.secrets.iter().filter(|secret| secret.expires_at.is_some()) {
        let until = before.expires_at.map(rfc3339).unwrap_or_default();
        writeln!(to, "before   {}…, works until {until}", before.prefix)?;
    }
    writeln!(to, "The secret follows. It is shown this once and cannot be shown again.")
}

/// A time as REST writes it: RFC 3339 in UTC, with as many digits as it has.
pub(super) fn rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The word for where a key is in its life.
pub(super) fn status_word(status: KeyStatus) -> &'static str {
    match status {
        KeyStatus::Active => "active",
        KeyStatus::Disabled => "disabled",
        KeyStatus::Expired => "expired",
        KeyStatus::Revoked => "revoked",
    }
}
