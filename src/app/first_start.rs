//! What a first start makes: the pepper and the signing key beside a SQLite file, the account `default`, and one key.

use std::path::Path;

use anyhow::{Context, bail};
use uuid::Uuid;

use crate::{
    app::kept::{Given, Kind},
    auth::DelegatedTokens,
    clock::SharedClock,
    config::Config,
    domain::{
        audit::Actor,
        key::{AccountId, KeyId, Scopes, ToolMode},
        limits::OwnLimits,
        secret::{Peppers, PlainSecret},
        signing::SigningKeys,
        toollist::Toollist,
    },
    store::{NewKey, Store},
};

/// The account and the key that a first start makes.
const FIRST: &str = "default";

/// The key that a first start made.
#[derive(Debug)]
pub struct FirstKey {
    /// Its secret, to be printed once.
    pub secret: PlainSecret,
}

/// Opens the store of the configuration, created and migrated where it is new.
pub async fn open_store(config: &Config, clock: SharedClock) -> anyhow::Result<Store> {
    Store::connect(&config.store, clock).await.context("cannot open the store (store.url)")
}

const PEPPERS: Kind<Peppers> = Kind {
    name: "pepper",
    suffix: "pepper",
    setting: "auth.peppers",
    missing: "on PostgreSQL the pepper must be given, the same to every replica: make one with \
              `echo \"1:$(openssl rand -hex 32)\"` and set auth.pepper_file to a file that holds it, or \
              ORQEN_AUTH__PEPPERS to '[\"1:…\"]'",
    parse: |lines| Ok(Peppers::parse(lines)?),
};

const SIGNING_KEYS: Kind<SigningKeys> = Kind {
    name: "signing key",
    suffix: "signing-key",
    setting: "auth.signing_keys",
    missing: "on PostgreSQL the key that tokens are signed with must be given, the same to every replica: make one with \
              `echo \"1:$(openssl rand -hex 32)\"`, not the pepper, and set auth.signing_key_file to a file that holds \
              it, or ORQEN_AUTH__SIGNING_KEYS to '[\"1:…\"]'",
    parse: |lines| Ok(SigningKeys::parse(lines)?),
};

/// The peppers: from the configuration, or beside the SQLite file, where the first start makes one.
pub async fn open_peppers(config: &Config, store: &Store) -> anyhow::Result<Peppers> {
    let path = match given_peppers(config, store.sqlite_file())? {
        Given::Here(peppers) => return Ok(peppers),
        Given::Beside(path) => path,
    };
    if store.keys().any().await? {
        bail!(
            "the store has keys, but the pepper that their digests were made with is missing: put {} back, or set \
             auth.pepper_file",
            path.display()
        );
    }
    PEPPERS.make(&path, &Peppers::generate(&mut rand::rng()))
}

/// Who signs tokens: by the keys of the configuration, or by those beside the SQLite file, where a start makes one. A
/// lost one is not missed as a pepper is: the tokens that it signed end an hour before their time.
pub fn open_tokens(config: &Config, store: &Store) -> anyhow::Result<DelegatedTokens> {
    let keys = match given_signing_keys(config, store.sqlite_file())? {
        Given::Here(keys) => keys,
        Given::Beside(path) => SIGNING_KEYS.make(&path, &SigningKeys::generate(&mut rand::rng()))?,
    };
    Ok(DelegatedTokens::new(&keys))
}

/// The peppers that are given, or are beside the store in `database`; PostgreSQL is in no file.
pub(super) fn given_peppers(config: &Config, database: Option<&Path>) -> anyhow::Result<Given<Peppers>> {
    PEPPERS.given(&config.auth.peppers, config.auth.pepper_file.as_deref(), database)
}

/// The signing keys that are given, or are beside the store in `database`.
pub(super) fn given_signing_keys(
    config: &Config,
    database: Option<&Path>,
) -> anyhow::Result<Given<SigningKeys>> {
    SIGNING_KEYS.given(&config.auth.signing_keys, config.auth.signing_key_file.as_deref(), database)
}

/// Makes the account `default` and a key on an empty store, unless that is switched off.
pub(super) async fn first_key(
    config: &Config,
    store: &Store,
    peppers: &Peppers,
) -> anyhow::Result<Option<FirstKey>> {
    if !config.store.bootstrap || store.accounts().any().await? {
        return Ok(None);
    }
    let secret = PlainSecret::generate(&mut rand::rng());
    let (pepper_version, digest) = peppers.digest(&secret);
    let account_id = AccountId(Uuid::now_v7());
    let key = NewKey {
        id: KeyId(Uuid::now_v7()),
        account_id,
        name: FIRST.into(),
        scopes: Scopes::all(),
        toollist: Toollist::unbound(),
        tool_mode: ToolMode::default(),
        own_limits: OwnLimits::default(),
        by: Actor::bootstrap(),
        expires_at: None,
        prefix: secret.shown_prefix().to_owned(),
        digest,
        pepper_version,
    };
    let made = store.bootstrap((account_id, FIRST, config.policy.values()), key).await?;
    Ok(made.map(|_| FirstKey { secret }))
}
