//! `orqen key update KEY_ID`: changes what its options name, whoever's key it is. The change goes through the store
//! like any other, so that running servers hold to it within a second and the revision grows.

use std::{io::Write, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::Args;

use super::{COLUMNS, KeyView, Limits, Mode, ScopeName, expiry, key_id_of, no_key, row, scopes, time};
use crate::{
    cli::{Desk, table::Table},
    config::duration,
    domain::{
        audit::Actor,
        key::{Key, valid_name},
    },
    store::UpdateKeyError,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The key's id (not its secret), as `orqen key list` shows it
    key_id: String,
    /// A new name for people, 1 to 128 characters
    #[arg(long)]
    name: Option<String>,
    /// Switch the key off
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Switch the key on again
    #[arg(long)]
    enable: bool,
    /// When the key stops working, such as 2030-01-31T00:00:00Z
    #[arg(long, value_name = "RFC3339", value_parser = time, conflicts_with_all = ["expires_in", "never_expires"])]
    expires_at: Option<DateTime<Utc>>,
    /// How long the key works from now on: 12h, 30d, at most 365d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "never_expires")]
    expires_in: Option<Duration>,
    /// Let the key work until it is revoked
    #[arg(long)]
    never_expires: bool,
    /// What the key may be used for; may be repeated
    #[arg(long, value_enum, value_name = "SCOPE")]
    scope: Vec<ScopeName>,
    /// What happens to a request with a tool that is not allowed
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// A tool that the key may use, instead of its allowlist; may be repeated
    #[arg(long, value_name = "TOOL", conflicts_with = "allow_any")]
    allow: Vec<String>,
    /// Let no tool pass: an allowlist without an entry
    #[arg(long, conflicts_with_all = ["allow", "allow_any"])]
    allow_none: bool,
    /// Take the allowlist away: every tool that is not denied passes
    #[arg(long)]
    allow_any: bool,
    /// A tool that the key may not use, instead of its denylist; may be repeated
    #[arg(long, value_name = "TOOL", conflicts_with = "deny_none")]
    deny: Vec<String>,
    /// Take the denylist away
    #[arg(long)]
    deny_none: bool,
    #[command(flatten)]
    limits: Limits,
    /// Print the key object as JSON, as REST answers it
    #[arg(long)]
    json: bool,
}

/// Changes the key and shows it as it is then.
pub(super) async fn run(wanted: Arguments, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let keys = desk.store.keys();
    let (id, now) = (key_id_of(&wanted.key_id)?, desk.clock.now());
    let owner = keys.find_any(id).await?.with_context(|| no_key(id))?.account_id;
    let key = match keys.update(&Actor::cli(), owner, id, |key| wanted.apply(key, now)).await {
        Ok(key) => key,
        Err(UpdateKeyError::NotFound) => anyhow::bail!(no_key(id)),
        Err(UpdateKeyError::Refused(why)) => return Err(why),
        Err(UpdateKeyError::Store(error)) => return Err(error.into()),
    };
    if wanted.json {
        let account = desk.store.accounts().find(owner).await?;
        let account = account.with_context(|| format!("the account of the key {id} is gone"))?;
        writeln!(out, "{}", serde_json::to_string_pretty(&KeyView::new(&key, &account, now))?)?;
        return Ok(());
    }
    let mut table = Table::new(COLUMNS);
    table.line(row(&key, now));
    Ok(table.write(out)?)
}

impl Arguments {
    fn apply(&self, key: &mut Key, now: DateTime<Utc>) -> anyhow::Result<()> {
        anyhow::ensure!(
            key.revoked_at.is_none(),
            "the key {} is revoked, for good: create a new one",
            key.id
        );
        if let Some(name) = &self.name {
            key.name = valid_name("--name", name)?;
        }
        if self.never_expires {
            key.expires_at = None;
        }
        key.expires_at = expiry(self.expires_at, self.expires_in, now)?.or(key.expires_at);
        key.disabled = self.disable || (key.disabled && !self.enable);
        if !self.scope.is_empty() {
            key.scopes = scopes(&self.scope);
        }
        key.tool_mode = self.mode.map_or(key.tool_mode, Into::into);
        key.own_limits = self.limits.of(key.own_limits);
        let allowed = replacement(&self.allow, self.allow_none, self.allow_any);
        let denied = replacement(&self.deny, false, self.deny_none);
        key.toollist = key.toollist.replaced(allowed, denied)?;
        Ok(())
    }
}

/// What a list becomes: empty, no list at all, or what was given.
fn replacement(given: &[String], empty: bool, none: bool) -> Option<Option<Vec<String>>> {
    match given {
        _ if none => Some(None),
        [] if !empty => None,
        given => Some(Some(given.to_vec())),
    }
}
