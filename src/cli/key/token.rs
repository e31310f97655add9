//! `orqen key token KEY_ID`: a token of a key for a sub-agent, as `DelegateKey` makes it.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::Context;
use chrono::TimeDelta;
use clap::Args;
use secrecy::ExposeSecret;
use serde_json::json;
use uuid::Uuid;

use super::{ScopeName, key_id_of, no_key, rfc3339, status_word, tools};
use crate::{
    cli::Desk,
    config::duration,
    domain::{
        audit::{Actor, Deed},
        delegation::{LIFETIME_MAX, Parent, WantedToken},
        key::{KeyStatus, Scope},
        toollist::Toollist,
    },
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The key's id (not its secret), as `orqen key list` shows it
    key_id: String,
    /// A tool that the token may be used with, within the key's own; may be repeated. Without one: the key's
    #[arg(long, value_name = "TOOL")]
    allow: Vec<String>,
    /// A tool that it may not be used with; may be repeated, and then the key's own must be among them
    #[arg(long, value_name = "TOOL")]
    deny: Vec<String>,
    /// What it may be used for; may be repeated. Without one: chat
    #[arg(long, value_enum, value_name = "SCOPE")]
    scope: Vec<ScopeName>,
    /// How long it works: 30s, 10m, at most 1h, and no longer than the key
    #[arg(long, value_name = "DURATION", value_parser = lifetime, default_value = "10m")]
    expires_in: TimeDelta,
    /// Print what it holds as JSON, the token in it
    #[arg(long)]
    json: bool,
}

fn lifetime(text: &str) -> Result<TimeDelta, String> {
    let given: Duration = duration::parse(text).map_err(|error| error.to_string())?;
    let fits = TimeDelta::from_std(given).ok().filter(|given| {
        // Tokens have whole seconds: one of less would be born dead.
        *given <= LIFETIME_MAX && *given >= TimeDelta::seconds(1)
    });
    fits.ok_or_else(|| "a token works for 1s to 1h".to_owned())
}

/// Makes the token and shows it.
pub(super) async fn run(wanted: Arguments, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let id = key_id_of(&wanted.key_id)?;
    let key = desk.store.keys().find_any(id).await?.with_context(|| no_key(id))?;
    let now = desk.clock.now();
    let status = key.status(now);
    if status != KeyStatus::Active {
        anyhow::bail!("the key {id} is {}: no token of it would work", status_word(status));
    }
    let given = |list: Vec<String>| (!list.is_empty()).then_some(list);
    let asked = WantedToken {
        id: Uuid::now_v7(),
        scopes: (!wanted.scope.is_empty()).then(|| super::scopes(&wanted.scope)),
        toollist: Toollist::new(given(wanted.allow), given(wanted.deny))?,
        tool_mode: None,
        lifetime: wanted.expires_in,
    };
    let parent = Parent { key: &key, generation: key.newest(), token: None };
    let delegation = parent.delegate(None, &asked, now)?;
    let token = crate::app::open_tokens(&desk.config, &desk.store)?.mint(&delegation)?;
    desk.store.audit().add(&Actor::cli(), Deed::delegated(&key, &delegation)).await?;
    let held = delegation.narrowed(&key);
    let scopes: Vec<_> = held.scopes.iter().map(Scope::as_str).collect();
    if wanted.json {
        let view = json!({
            "token": token.expose_secret(),
            "expires_at": rfc3339(delegation.expires_at),
            "key_id": id.to_string(),
            "scopes": scopes,
            "allowed_tools": held.toollist.allowed(),
            "denied_tools": held.toollist.denied(),
            "tool_mode": held.tool_mode.as_str(),
        });
        return Ok(writeln!(out, "{view:#}")?);
    }
    let mut people = io::stderr();
    writeln!(people, "key      {id}")?;
    writeln!(people, "scopes   {}", scopes.join(","))?;
    writeln!(people, "tools    {}", tools(&held))?;
    writeln!(people, "expires  {}", rfc3339(delegation.expires_at))?;
    Ok(writeln!(out, "{}", token.expose_secret())?)
}
