//! Where a test's server keeps its data: a SQLite file in a temporary folder, or a PostgreSQL database of its own.
//!
//! `on_every_store` runs a test on both. The database is dropped when the test is over, also when it failed.

use std::{
    panic::{AssertUnwindSafe, resume_unwind},
    path::Path,
    sync::Arc,
};

use futures_util::FutureExt;
use sea_orm::{ConnectionTrait, Database};
use tempfile::TempDir;
use uuid::Uuid;

/// A pepper for stores that need one given.
const PEPPER: &str = "1:a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90";

/// The same for the key that tokens are signed with.
const SIGNING_KEY: &str = "1:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";

/// A place for the data of a server, that outlives the server.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    url: String,
    folder: Arc<TempDir>,
}

impl Place {
    /// A SQLite file that is not there yet.
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("orqen.db").display());
        Self { url, folder: Arc::new(folder) }
    }

    /// The value of `store.url`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The host and port of the server.
    pub(crate) fn host(&self) -> String {
        let (_, rest) = self.url.split_once("://").unwrap();
        let authority = rest.split(['/', '?']).next().unwrap();
        let host = authority.rsplit('@').next().unwrap();
        if host.contains(':') { host.to_owned() } else { format!("{host}:5432") }
    }

    /// The same database by another way, in clear text.
    pub(crate) fn at_host(&self, host: &str) -> Self {
        let (scheme, rest) = self.url.split_once("://").unwrap();
        let (authority, database) = rest.split_once('/').unwrap();
        let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
        let and = if database.contains('?') { '&' } else { '?' };
        let url = format!("{scheme}://{user}{host}/{database}{and}sslmode=disable");
        Self { url, folder: Arc::clone(&self.folder) }
    }

    /// An empty schema of the same database.
    pub(crate) async fn sibling(&self) -> Self {
        let name = format!("s{}", Uuid::now_v7().simple());
        let database = Database::connect(&self.url).await.unwrap();
        database.execute_unprepared(&format!("CREATE SCHEMA {name}")).await.unwrap();
        database.close().await.unwrap();
        let and = if self.url.contains('?') { '&' } else { '?' };
        let url = format!("{}{and}options=-csearch_path%3D{name}", self.url);
        Self { url, folder: Arc::clone(&self.folder) }
    }

    /// A folder for files of the test; removed with the last copy of this.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Whether the data are in a SQLite file.
    pub(crate) fn is_sqlite(&self) -> bool {
        self.url.starts_with("sqlite:")
    }

    /// The key for tokens that has to be configured here.
    pub(crate) fn signing_key(&self) -> Option<&'static str> {
        (!self.is_sqlite()).then_some(SIGNING_KEY)
    }

    /// The pepper that has to be configured here.
    pub(crate) fn pepper(&self) -> Option<&'static str> {
        (!self.is_sqlite()).then_some(PEPPER)
    }
}

/// Runs a test on every database that there is.
pub(crate) async fn on_every_store(test: impl AsyncFn(Place)) {
    // Boxed: a whole test is a large future.
    Box::pin(test(Place::sqlite())).await;
    Box::pin(on_postgres(test)).await;
}

/// Runs a test on PostgreSQL, where there is one.
pub(crate) async fn on_postgres(test: impl AsyncFn(Place)) {
    let Some(server) = postgres_url() else {
        println!("skipped on PostgreSQL: ORQEN_TEST_POSTGRES_URL is not set");
        return;
    };
    let name = format!("orqen_it_{}", Uuid::now_v7().simple());
    let admin = Database::connect(&server).await.unwrap();
    admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
    let place = Place { url: with_database(&server, &name), folder: Arc::new(tempfile::tempdir().unwrap()) };
    let outcome = AssertUnwindSafe(Box::pin(test(place))).catch_unwind().await;
    // By force: a server that a failed test left running still holds connections.
    admin.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.unwrap();
    admin.close().await.unwrap();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// `url` with another database: what stands between the host and the query.
fn with_database(url: &str, name: &str) -> String {
    let (rest, query) = url.split_once('?').map_or((url, None), |(rest, query)| (rest, Some(query)));
    let host = rest.find("://").map_or(0, |at| at + 3);
    let end = rest[host..].find('/').map_or(rest.len(), |at| host + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{name}{query}", &rest[..end])
}

#[expect(clippy::disallowed_methods, reason = "says whether the suite runs on PostgreSQL too")]
fn postgres_url() -> Option<String> {
    std::env::var("ORQEN_TEST_POSTGRES_URL").ok().filter(|url| !url.is_empty())
}
