//! The connections: which database a URL means, how it is opened, how a write begins and how long all may take.
//!
//! Nothing here knows a table. SQLite gets one connection that writes and several that only read: writers of
//! this process queue in the pool, first come first served, instead of polling the file's lock, and readers
//! never wait for them (WAL). PostgreSQL gets one pool for both.

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, IsolationLevel,
    SqliteTransactionMode, SqlxPostgresConnector, SqlxSqliteConnector, TransactionOptions, TransactionTrait,
    sqlx::{
        self, ConnectOptions, Connection, Executor,
        postgres::{PgConnectOptions, PgPoolOptions},
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
    },
};

use tokio::time::timeout;

use crate::{clock::SharedClock, store::error::StoreError};

/// How long a call waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(5);
/// How long a connection that was idle may take to show that it lives, before another one is tried: a hundred times what
/// a healthy one takes, and little enough to go through a whole pool of dead ones within `ACQUIRE`.
const PING: Duration = Duration::from_millis(500);
/// How long a statement of PostgreSQL may run, its wait for locks included; SQLite's wait for the file's lock.
const STATEMENT: Duration = Duration::from_secs(5);
/// How long a call may take as a whole. The two bounds above end most; this one ends a call to a server that
/// does not answer at all, before the patience of those who wait for us does.
const CALL: Duration = Duration::from_secs(8);

/// Where a URL points. No `Debug`: that of the options writes the password.
enum Location {
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

/// The open connections.
#[derive(Debug, Clone)]
pub(super) struct Database {
    reads: DatabaseConnection,
    writes: DatabaseConnection,
    file: Option<PathBuf>,
    pub(super) clock: SharedClock,
}

impl Database {
    /// Opens what `url` points to, with at most `connections` at a time.
    pub(super) async fn open(url: &str, connections: u32, clock: SharedClock) -> Result<Self, StoreError> {
        let connections = connections.max(1);
        match Location::parse(url)? {
            Location::Sqlite(path) => Self::open_sqlite(path, connections, clock).await,
            Location::Postgres(options) => Self::open_postgres(*options, connections, clock).await,
        }
    }

    async fn open_sqlite(path: PathBuf, connections: u32, clock: SharedClock) -> Result<Self, StoreError> {
        create_privately(&path).await?;
        // FULL: a commit is on the disk before it is confirmed. NORMAL would survive a killed process as well,
        // but a power cut could take the last commits back, and a revoked key would live again. Management
        // writes are rare and usage is written in batches, so that the sync is paid a few times a second at most.
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .foreign_keys(true)
            .busy_timeout(STATEMENT)
            .synchronous(SqliteSynchronous::Full)
            .disable_statement_logging();
        // A batch of usage changes a thousand pages: with the default of 2 MB half of them would be written and read
        // again within the transaction.
        let writes = options.clone().journal_mode(SqliteJournalMode::Wal).pragma("cache_size", "-8000");
        let writes = open_writer(writes).await?;
        // `query_only` makes a write that was sent to the readers by mistake fail in the first test of it.
        let reads = SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(Self {
            reads: SqlxSqliteConnector::from_sqlx_sqlite_pool(reads),
            writes: SqlxSqliteConnector::from_sqlx_sqlite_pool(writes),
            file: Some(path),
            clock,
        })
    }

    async fn open_postgres(
        options: PgConnectOptions,
        connections: u32,
        clock: SharedClock,
    ) -> Result<Self, StoreError> {
        // Set by a statement, not as a start-up parameter: poolers between us and the server refuse those.
        let bounds = format!(
            "SET statement_timeout = {statement}; SET idle_in_transaction_session_timeout = {call}",
            statement = STATEMENT.as_millis(),
            call = CALL.as_millis()
        );
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE)
            // Instead of the driver's own test, which waits for as long as a connection is silent: those that a network
            // swallowed would each hold up a caller for its whole patience, one after the other.
            .test_before_acquire(false)
            .before_acquire(|connection, _| {
                Box::pin(async { Ok(matches!(timeout(PING, connection.ping()).await, Ok(Ok(())))) })
            })
            // A call that was given up leaves a connection with an answer to come. The driver waits for that without end,
            // and its place in the pool with it: a network that went silent for a moment would leave a pool without places.
            .after_release(|connection, _| {
                Box::pin(async {
                    let answered = timeout(STATEMENT, connection.ping()).await;
                    answered
                        .unwrap_or_else(|_| Err(sqlx::Error::Protocol("it is silent".into())))
                        .map(|()| true)
                })
            })
            .after_connect(move |connection, _| {
                let bounds = sea_orm::sqlx::AssertSqlSafe(bounds.clone());
                Box::pin(async move { connection.execute(bounds).await.map(drop) })
            })
            .connect_with(options.application_name("orqen").disable_statement_logging())
            .await?;
        let pool = SqlxPostgresConnector::from_sqlx_postgres_pool(pool);
        Ok(Self { reads: pool.clone(), writes: pool, file: None, clock })
    }

    /// The connections for single statements that only read.
    pub(super) fn reads(&self) -> &DatabaseConnection {
        &self.reads
    }

    /// Begins a transaction that will write; dropped without `commit`, it is rolled back.
    ///
    /// On SQLite it is an immediate one: a transaction that reads first and then wants to write fails with
    /// "database is locked" when another has written in between, whatever the time-out. On PostgreSQL it is READ
    /// COMMITTED even where the server defaults to more: rows are locked by name, and a statement after a lock
    /// must see what the previous holder wrote.
    pub(super) async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = match self.backend() {
            DbBackend::Sqlite => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            },
            _ => TransactionOptions {
                isolation_level: Some(IsolationLevel::ReadCommitted),
                ..TransactionOptions::default()
            },
        };
        Ok(self.writes.begin_with_options(options).await?)
    }

    pub(super) fn backend(&self) -> DbBackend {
        self.writes.get_database_backend()
    }

    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        // A statement and not the drivers' ping: SQLite's answers without a look at the file.
        self.reads.execute_unprepared("SELECT value FROM change_counter").await?;
        Ok(())
    }

    /// Closes the connections, the writer last: SQLite folds the WAL into the file when its last one goes.
    pub(super) async fn close(&self) {
        for connection in [&self.reads, &self.writes] {
            // Bounded: the driver waits for every connection, also for one that it is testing once more after
            // `after_release`, without a bound, when the network goes silent in that moment.
            match timeout(CALL, connection.close_by_ref()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "a connection of the store did not close cleanly"),
                Err(_) => tracing::warn!("connections of the store were left open: they are silent"),
            }
        }
    }
}

/// The file that `url` names; `None` for a server.
pub(super) fn file_of(url: &str) -> Result<Option<PathBuf>, StoreError> {
    Ok(match Location::parse(url)? {
        Location::Sqlite(path) => Some(path),
        Location::Postgres(_) => None,
    })
}

/// Ends `call` after `CALL` as unavailable. A write that is cut off is rolled back, unless the cut falls into its
/// commit: then it may have happened, as with every database that is asked over a wire.
pub(super) async fn bounded<T, E: From<StoreError>>(
    call: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match timeout(CALL, call).await {
        Ok(result) => result,
        Err(elapsed) => Err(StoreError::Unavailable { source: Box::new(elapsed) }.into()),
    }
}

impl Location {
    fn parse(url: &str) -> Result<Self, StoreError> {
        let unsupported = |reason: String| StoreError::UnsupportedUrl { reason };
        let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
        match scheme {
            "sqlite" => {
                let rest = rest.strip_prefix("//").unwrap_or(rest);
                let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
                if path.is_empty() || path == ":memory:" {
                    return Err(unsupported("names no file".into()));
                }
                // What other programs need to have the file made; here it is made anyway.
                if !matches!(query, "" | "mode=rwc") {
                    return Err(unsupported("has parameters, which a file takes none of".into()));
                }
                Ok(Self::Sqlite(path.into()))
            }
            "postgres" | "postgresql" => match url.parse() {
                Ok(options) => Ok(Self::Postgres(Box::new(options))),
                Err(error) => Err(unsupported(format!("cannot be read ({error})"))),
            },
            // A text without a scheme may be a password that went astray: only what looks like one is repeated.
            _ if scheme.len() <= 16 && !scheme.is_empty() && rest.starts_with("//") => {
                Err(unsupported(format!("names `{}`, which Orqen cannot store in", scheme.escape_debug())))
            }
            _ => Err(unsupported("names no database".into())),
        }
    }
}

/// Makes the file if it is missing, for its owner alone: it holds digests of keys. SQLite gives its companions
/// (`-wal`, `-shm`) the same mode.
async fn create_privately(path: &Path) -> Result<(), StoreError> {
    let mut options = tokio::fs::OpenOptions::new();
    options.read(true).write(true).create(true);
    #[cfg(unix)]
    options.mode(0o600);
    match options.open(path).await {
        Ok(_) => Ok(()),
        Err(source) => Err(StoreError::File { path: path.display().to_string(), source }),
    }
}

/// Opens the connection that writes. Turning a new file to WAL is the one step that SQLite refuses at once when
/// another process is at it, without the busy time-out: so it is tried again.
async fn open_writer(options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    let deadline = tokio::time::Instant::now() + ACQUIRE;
    loop {
        // Kept for the whole life of the process, so that the WAL is not folded and made anew again and again.
        let opened = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE)
            .connect_with(options.clone())
            .await;
        match opened.map_err(StoreError::from) {
            Err(StoreError::Unavailable { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        Location::parse(url).err().expect(url).to_string()
    }

    #[test]
    fn every_spelling_of_a_file_means_that_file() {
        for (url, path) in [
            ("sqlite://orqen.db", "orqen.db"),
            ("sqlite:orqen.db", "orqen.db"),
            ("sqlite:///var/lib/orqen.db", "/var/lib/orqen.db"),
            ("sqlite:/var/lib/orqen.db?mode=rwc", "/var/lib/orqen.db"),
            ("sqlite://orqen.db?mode=rwc", "orqen.db"),
        ] {
            let Location::Sqlite(found) = Location::parse(url).unwrap() else { panic!("{url}") };
            assert_eq!(found, Path::new(path), "{url}");
        }
    }

    #[test]
    fn an_unsupported_url_is_refused_with_what_is_supported() {
        assert_eq!(
            refusal("mysql://user:hunter2@host/db"),
            "`store.url` names `mysql`, which Orqen cannot store in; supported are `sqlite://FILE` and \
             `postgres://USER:PASSWORD@HOST:PORT/DATABASE`"
        );
        for url in [
            "",
            "orqen.db",
            "sqlite://",
            "sqlite::memory:",
            "sqlite://a.db?cache=shared",
            "user:hunter2@host",
        ] {
            let text = refusal(url);
            assert!(text.contains("supported are `sqlite://FILE`"), "{text}");
        }
    }

    #[test]
    fn a_refusal_never_repeats_a_password() {
        for url in
            ["mysql://user:hunter2@host/db", "hunter2", "hunter2:x", "postgres://u:hunter2@host:port/db"]
        {
            assert!(!refusal(url).contains("hunter2"), "{url}");
        }
    }
}
