//! Everything that is kept: accounts, keys, what was changed when, and usage by request and by day.
//!
//! All SQL of the product is in this folder, and no name of sea-orm leaves it: the layers above hand in and get
//! back types of `domain`. One SQLite file is the default, PostgreSQL is reached by URL, and the same tests run
//! on both. Every write that touches a key or a policy is recorded in the change log in the same transaction, so
//! that the caches of all processes learn of it. Every call has a bounded wait: what takes longer is
//! `StoreError::Unavailable`, which the layers above answer with 503 and never with 401.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, PaginatorTrait, SqlErr};

use crate::{
    clock::SharedClock,
    config,
    domain::{
        key::{AccountId, Key},
        policy::{Account, PolicyValues},
    },
    store::database::{Database, bounded},
};

mod accounts;
mod audit;
mod bulk;
mod changes;
mod database;
mod entity;
mod error;
mod keys;
mod listener;
mod migration;
mod rows;
mod usage;

pub use accounts::{AccountStore, CreateAccountError, UpdateAccountError};
pub use audit::{AuditPage, AuditStore};
pub use changes::{Change, ChangeLog, Changes, Entity};
pub use error::{Source, StoreError};
pub use keys::{
    CreateKeyError, Issued, KeyBySecret, KeyPage, KeyStore, KeysMeant, NewKey, NewSecret, Once, REMEMBERED,
    Revocation, RevokeKeyError, RotateKeyError, Rotation, Swept, UpdateKeyError,
};
pub use listener::ChangeListener;
pub use usage::{Found, KeyTotals, Of, RecordFilter, RecordPage, UsageStore};

/// Held by the one process that looks whether there is an account yet.
const BOOTSTRAP_LOCK: i64 = migration::MIGRATION_LOCK + 1;

/// The store. Cheap to clone: all clones share its connections.
#[derive(Debug, Clone)]
pub struct Store(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    database: Database,
    keys: KeyStore,
    accounts: AccountStore,
    usage: UsageStore,
    audit: AuditStore,
    changes: ChangeLog,
}

impl Store {
    /// Opens the store that `config` names, makes it if it is a file that is missing, and brings its tables to
    /// this version's form.
    pub async fn connect(config: &config::Store, clock: SharedClock) -> Result<Self, StoreError> {
        let database = Database::open(config.url.expose(), config.max_connections, clock).await?;
        migration::run(&database).await?;
        Ok(Self(Arc::new(Parts {
            keys: KeyStore::new(database.clone()),
            accounts: AccountStore::new(database.clone()),
            usage: UsageStore::new(database.clone()),
            audit: AuditStore::new(database.clone()),
            changes: ChangeLog::new(database.clone()),
            database,
        })))
    }

    /// The SQLite file that `config` names; `None` for a server. Fails where `connect` would for the URL alone.
    pub fn file(config: &config::Store) -> Result<Option<PathBuf>, StoreError> {
        database::file_of(config.url.expose())
    }

    /// The keys.
    pub fn keys(&self) -> &KeyStore {
        &self.0.keys
    }

    /// The accounts and their policies.
    pub fn accounts(&self) -> &AccountStore {
        &self.0.accounts
    }

    /// The records of requests, and their sums.
    pub fn usage(&self) -> &UsageStore {
        &self.0.usage
    }

    /// Who changed what.
    pub fn audit(&self) -> &AuditStore {
        &self.0.audit
    }

    /// What was changed, in order.
    pub fn changes(&self) -> &ChangeLog {
        &self.0.changes
    }

    /// Whether the store is a file of this machine, that replicas cannot share.
    pub fn is_embedded(&self) -> bool {
        self.sqlite_file().is_some()
    }

    /// The file, when the store is one.
    pub fn sqlite_file(&self) -> Option<&Path> {
        self.0.database.file()
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        bounded(self.0.database.ping()).await
    }

    /// Closes the connections, after the calls that hold one. Calls that come later are `Unavailable`.
    pub async fn close(&self) {
        self.0.database.close().await;
    }

    /// Makes the first account and its first key, if there is no account at all; `None` if there is one. Of
    /// processes that start together exactly one makes them: the look and the writes are one transaction, which
    /// PostgreSQL's replicas queue for.
    pub async fn bootstrap(
        &self,
        account: (AccountId, &str, PolicyValues),
        key: NewKey,
    ) -> Result<Option<(Account, Key)>, StoreError> {
        let (id, name, policy) = account;
        let database = &self.0.database;
        bounded(async {
            let transaction = database.begin().await?;
            if database.backend() == DbBackend::Postgres {
                transaction
                    .execute_unprepared(&format!("SELECT pg_advisory_xact_lock({BOOTSTRAP_LOCK})"))
                    .await?;
            }
            if entity::account::Entity::find().count(&transaction).await? > 0 {
                return Ok(None);
            }
            let now = database.clock.now();
            let account = match accounts::insert(&transaction, now, &key.by, (id, name, policy)).await {
                Ok(account) => account,
                // An operator, who takes no lock, made an account of this name a moment ago.
                Err(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))) => {
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            };
            // A moment later, so that the trail has the two in this order.
            let now = database.clock.now();
            let key = keys::insert(&transaction, now, NewKey { account_id: id, ..key }).await?;
            transaction.commit().await?;
            Ok(Some((account, key)))
        })
        .await
    }
}

#[cfg(test)]
mod tests;
