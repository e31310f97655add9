//! `orqen key revoke`: one key by its id, or all of an account that some conditions mean.

use std::io::Write;

use anyhow::Context;
use chrono::{DateTime, Utc};
use clap::{ArgGroup, Args};

use super::{key_id_of, no_key, time};
use crate::{
    cli::{Desk, account},
    domain::{audit::Actor, violation::shown},
    store::KeysMeant,
};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").args(["key_id", "created_by", "created_before", "all"])
    .required(true).multiple(true))]
pub(in crate::cli) struct Arguments {
    /// The key's id (not its secret), as `orqen key list` shows it
    #[arg(conflicts_with_all = ["created_by", "created_before", "all", "account"])]
    key_id: Option<String>,
    /// The account whose keys are meant, by name or id
    #[arg(long, value_name = "NAME_OR_ID", default_value = "default")]
    account: String,
    /// Every key that this created, as `orqen key list --json` shows it: key:ID, jwt:SUBJECT, cli
    #[arg(long, value_name = "CREATOR")]
    created_by: Option<String>,
    /// Every key that was created before this time, such as 2030-01-31T00:00:00Z
    #[arg(long, value_name = "RFC3339", value_parser = time)]
    created_before: Option<DateTime<Utc>>,
    /// Every key of the account
    #[arg(long, conflicts_with_all = ["created_by", "created_before"])]
    all: bool,
}

/// Does what the command says.
pub(super) async fn run(wanted: Arguments, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    match &wanted.key_id {
        Some(key_id) => one(key_id, desk, out).await,
        None => many(wanted, desk, out).await,
    }
}

async fn one(key_id: &str, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let id = key_id_of(key_id)?;
    let revoked = desk.store.keys().revoke_any(&Actor::cli(), id).await?.with_context(|| no_key(id))?;
    let when = if revoked.earlier { "was revoked before" } else { "is revoked" };
    writeln!(out, "{id} {name} {when}", name = shown(&revoked.key.name))?;
    Ok(())
}

/// The ids of those that it ended, a line each, then how many they are. Each step is final, so that what was done
/// before a failure is done, and the command can be repeated.
async fn many(wanted: Arguments, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let account = account::named(&wanted.account, desk).await?;
    let meant = KeysMeant { created_by: wanted.created_by, created_before: wanted.created_before };
    let (mut revoked, mut from) = (0, None);
    loop {
        let swept = desk.store.keys().sweep(&Actor::cli(), account.id, &meant, from).await?;
        for id in &swept.revoked {
            writeln!(out, "{id}")?;
        }
        revoked += swept.revoked.len();
        from = swept.next;
        if from.is_none() {
            break;
        }
    }
    let keys = if revoked == 1 { "key is" } else { "keys are" };
    writeln!(out, "{revoked} {keys} revoked")?;
    Ok(())
}
