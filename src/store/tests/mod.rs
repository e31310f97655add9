//! One suite for both databases: on a SQLite file in a temporary folder always, on PostgreSQL, in a schema of its
//! own, when `ORQEN_TEST_POSTGRES_URL` says where one is.

use std::{panic::AssertUnwindSafe, path::PathBuf, sync::Arc};

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{
    clock::{Clock, ManualClock},
    config,
    domain::{
        audit::Actor,
        key::{AccountId, Generation, KeyId, Scopes, ToolMode},
        limits::OwnLimits,
        policy::{Account, PolicyValues},
        secret::SecretDigest,
        toollist::Toollist,
    },
    store::{KeyBySecret, NewKey, Store, StoreError},
};

mod accounts;
mod audit;
mod authentication;
mod changes;
mod concurrency;
mod keys;
mod opening;
mod rotation;
mod usage;

/// A fresh store, and all that is needed to open it again, as another process would.
struct World {
    store: Store,
    clock: Arc<ManualClock>,
    url: String,
}

/// Runs a test on every database that there is.
async fn on_every_store(test: impl AsyncFn(World)) {
    let folder = tempfile::tempdir().unwrap();
    test(World::at(format!("sqlite://{}", folder.path().join("orqen.db").display())).await).await;
    let Some(server) = postgres_url() else {
        println!("skipped on PostgreSQL: ORQEN_TEST_POSTGRES_URL is not set");
        return;
    };
    let schema = format!("orqen_{}", Uuid::now_v7().simple());
    let server_connection = sea_orm::Database::connect(&server).await.unwrap();
    server_connection.execute_unprepared(&format!("CREATE SCHEMA {schema}")).await.unwrap();
    let separator = if server.contains('?') { '&' } else { '?' };
    let url = format!("{server}{separator}options=-csearch_path%3D{schema}");
    let outcome = AssertUnwindSafe(async { test(World::at(url).await).await }).catch_unwind().await;
    server_connection.execute_unprepared(&format!("DROP SCHEMA {schema} CASCADE")).await.unwrap();
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

#[expect(clippy::disallowed_methods, reason = "says whether the suite runs on PostgreSQL too")]
fn postgres_url() -> Option<String> {
    std::env::var("ORQEN_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty())
}

fn configuration(url: &str) -> config::Store {
    toml::from_str(&format!(
        "url = {url:?}\nbootstrap = true\nstale_for = \"60s\"\npoll_every = \"250ms\"\nmax_connections = 4"
    ))
    .unwrap()
}

impl World {
    async fn at(url: String) -> Self {
        let clock = Arc::new(ManualClock::at(time("2026-01-31T23:59:59.123456Z")));
        let store = Store::connect(&configuration(&url), clock.clone()).await.unwrap();
        Self { store, clock, url }
    }

    /// The same store, opened as another process would.
    async fn open_again(&self) -> Store {
        Store::connect(&configuration(&self.url), self.clock.clone()).await.unwrap()
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    async fn account(&self, name: &str) -> Account {
        self.account_with(name, PolicyValues::default()).await
    }

    async fn account_with(&self, name: &str, policy: PolicyValues) -> Account {
        self.store.accounts().create(&Actor::cli(), AccountId(Uuid::now_v7()), name, policy).await.unwrap()
    }

    /// Runs a statement behind the store's back, and says how many rows it changed.
    async fn sql(&self, statement: &str) -> u64 {
        let transaction = self.store.0.database.begin().await.unwrap();
        let done = transaction.execute_unprepared(statement).await.unwrap();
        transaction.commit().await.unwrap();
        done.rows_affected()
    }
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn generation(key_id: KeyId, number: i32) -> Generation {
    Generation { key_id, number }
}

fn digest(number: u8) -> SecretDigest {
    SecretDigest([number; 32])
}

/// A key with little said about it. Its digest is new.
fn new_key(account: AccountId, name: &str) -> NewKey {
    let id = Uuid::now_v7();
    let mut digest = [0; 32];
    digest[..16].copy_from_slice(id.as_bytes());
    NewKey {
        id: KeyId(id),
        account_id: account,
        name: name.to_owned(),
        scopes: Scopes::all(),
        toollist: Toollist::unbound(),
        tool_mode: ToolMode::Filter,
        own_limits: OwnLimits::default(),
        by: Actor::cli(),
        expires_at: None,
        prefix: "sk-orq-01234567".to_owned(),
        digest: SecretDigest(digest),
        pepper_version: 1,
    }
}

fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}");
}

fn file_of(world: &World) -> Option<PathBuf> {
    world.store.sqlite_file().map(PathBuf::from)
}
