//! What a first start makes: the pepper beside a SQLite file, the account `default`, and one key.
//!
//! On PostgreSQL nothing secret is made on a replica's disk: the pepper must come from the configuration, or every
//! replica would have its own and none would know the others' keys.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::{
    clock::SharedClock,
    config::Config,
    domain::{
        key::{AccountId, KeyId, Scopes, ToolMode},
        limits::OwnLimits,
        secret::{Peppers, PlainSecret},
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

/// The peppers: from the configuration, or beside the SQLite file, where the first start makes one.
pub async fn open_peppers(config: &Config, store: &Store) -> anyhow::Result<Peppers> {
    let path = match given_peppers(config, store.sqlite_file())? {
        Given::Peppers(peppers) => return Ok(peppers),
        Given::Beside(path) => path,
    };
    if store.keys().any().await? {
        bail!(
            "the store has keys, but the pepper that their digests were made with is missing: put {} back, or set \
             auth.pepper_file",
            path.display()
        );
    }
    make(&path)?;
    // Read back: of two processes that start together, one file wins for both.
    read(&path)
}

/// Whether the peppers that are there can be read, of a store in `database`; PostgreSQL is in no file.
pub(super) fn check_peppers(config: &Config, database: Option<&Path>) -> anyhow::Result<()> {
    given_peppers(config, database).map(drop)
}

/// What a start finds.
enum Given {
    Peppers(Peppers),
    /// None yet: this file is to be made.
    Beside(PathBuf),
}

fn given_peppers(config: &Config, database: Option<&Path>) -> anyhow::Result<Given> {
    if !config.auth.peppers.is_empty() {
        return Peppers::parse(config.auth.peppers.iter().map(|pepper| pepper.expose_secret()))
            .map(Given::Peppers)
            .context("auth.peppers");
    }
    if let Some(path) = &config.auth.pepper_file {
        return read(path).map(Given::Peppers);
    }
    let Some(database) = database else {
        bail!(
            "on PostgreSQL the pepper must be given, the same to every replica: make one with \
             `echo \"1:$(openssl rand -hex 32)\"` and set auth.pepper_file to a file that holds it, or \
             ORQEN_AUTH__PEPPERS to '[\"1:…\"]'"
        );
    };
    let path = beside(database);
    if path.exists() { read(&path).map(Given::Peppers) } else { Ok(Given::Beside(path)) }
}

/// `orqen.db.pepper` for `orqen.db`.
fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".pepper");
    name.into()
}

fn read(path: &Path) -> anyhow::Result<Peppers> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the pepper file {}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Peppers::parse(lines).with_context(|| format!("the pepper file {} cannot be used", path.display()))
}

/// Writes a new pepper, for the owner's eyes only. Whole or not at all: written aside and linked into place.
fn make(path: &Path) -> anyhow::Result<()> {
    let pepper = Peppers::generate(&mut rand::rng());
    let aside = path.with_extension(format!("pepper.{}", Uuid::now_v7().simple()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| {
            writeln!(file, "{}", pepper.expose_secret())?;
            file.sync_all()
        })
        .and_then(|()| match fs::hard_link(&aside, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
    let _ = fs::remove_file(&aside);
    written.with_context(|| format!("cannot write the pepper file {}", path.display()))
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
        created_by: "bootstrap".into(),
        expires_at: None,
        prefix: secret.shown_prefix().to_owned(),
        digest,
        pepper_version,
    };
    let made = store.bootstrap((account_id, FIRST, config.policy.values()), key).await?;
    Ok(made.map(|_| FirstKey { secret }))
}
