//! `orqen key rotate KEY_ID`: a new secret for a key, whoever's it is.

use std::{io::Write, time::Duration};

use anyhow::Context;
use chrono::TimeDelta;
use clap::Args;

use super::{key_id_of, no_key, show};
use crate::{
    cli::Desk,
    config::duration,
    domain::{audit::Actor, generation::OVERLAP_MAX, key::Key, secret::PlainSecret},
    store::{NewSecret, RotateKeyError, Rotation},
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The key's id (not its secret), as `orqen key list` shows it
    key_id: String,
    /// For how long the secret before goes on working: 30s, 1h, at most 7d. Without it: not at all
    #[arg(long, value_name = "DURATION", value_parser = overlap, default_value = "0s", hide_default_value = true)]
    overlap: TimeDelta,
    /// Print the key object as JSON, the secret in it
    #[arg(long)]
    json: bool,
}

fn overlap(text: &str) -> Result<TimeDelta, String> {
    let given: Duration = duration::parse(text).map_err(|error| error.to_string())?;
    let overlap = TimeDelta::from_std(given).ok().filter(|overlap| *overlap <= OVERLAP_MAX);
    overlap
        .ok_or_else(|| format!("a secret outlives its rotation by {} days at most", OVERLAP_MAX.num_days()))
}

/// Rotates the key and shows its new secret.
pub(super) async fn run(wanted: Arguments, desk: &Desk, out: &mut dyn Write) -> anyhow::Result<()> {
    let keys = desk.store.keys();
    let id = key_id_of(&wanted.key_id)?;
    let owner = keys.find_any(id).await?.with_context(|| no_key(id))?.account_id;
    let account = desk.store.accounts().find(owner).await?;
    let account = account.with_context(|| format!("the account of the key {id} is gone"))?;
    let peppers = crate::app::open_peppers(&desk.config, &desk.store).await?;
    let secret = PlainSecret::generate(&mut rand::rng());
    let (pepper_version, digest) = peppers.digest(&secret);
    let rotation = Rotation {
        account_id: owner,
        id,
        by: Actor::cli(),
        secret: NewSecret { prefix: secret.shown_prefix().to_owned(), digest, pepper_version },
        overlap: wanted.overlap,
        once: None,
    };
    let rotated = keys.rotate(rotation, |key, _| not_revoked(key)).await;
    let key = match rotated {
        Ok(issued) => issued.key,
        Err(RotateKeyError::Refused(why)) => return Err(why),
        Err(RotateKeyError::Store(error)) => return Err(error.into()),
        Err(RotateKeyError::NotFound | RotateKeyError::Reused) => anyhow::bail!(no_key(id)),
    };
    show(&key, &account, (&secret, wanted.json), desk.clock.now(), out)
}

fn not_revoked(key: &Key) -> anyhow::Result<()> {
    anyhow::ensure!(key.revoked_at.is_none(), "the key {} is revoked, for good: create a new one", key.id);
    Ok(())
}
