//! PostgreSQL's `LISTEN`: one connection of its own on which the store says that something changed.
//!
//! What is told is only the number of the change; what changed is read from the log, as a poll would, so that a
//! notification that is lost, late or repeated costs nothing but time. Behind a pooler that hands a connection to another
//! client after each transaction nothing is ever heard: so a listener first tells itself something, by another connection,
//! and is of no use until it hears that.

use std::time::Duration;

use sea_orm::{
    ConnectionTrait, DbBackend,
    sqlx::{
        self,
        postgres::{PgListener, PgPoolOptions},
    },
};
use uuid::Uuid;

use crate::store::{database::Database, error::StoreError};

/// What a change adds to the values that it returns: it notifies whoever listens to this store. Channels are the
/// database's, and stores may share one in different schemas; the table's number tells them apart.
pub(super) const NOTIFY: &str =
    r#", pg_notify('orqen_changes_' || 'change_counter'::regclass::oid, "value"::text)"#;
/// The same name, asked for.
const CHANNEL: &str = "SELECT 'orqen_changes_' || 'change_counter'::regclass::oid";

/// How long opening may take, and the first word to itself. A notification takes a millisecond.
const OPENING: Duration = Duration::from_secs(2);

/// Hears of changes. Dropped, it stops listening.
pub struct ChangeListener {
    listener: PgListener,
    channel: String,
}

impl ChangeListener {
    pub(super) async fn open(database: &Database) -> Result<Self, StoreError> {
        if database.backend() != DbBackend::Postgres {
            return Err(unheard("a file tells of nothing"));
        }
        match tokio::time::timeout(OPENING, Self::connect(database)).await {
            Ok(opened) => opened,
            Err(_) => Err(unheard("notifications do not arrive; is there a pooler in between?")),
        }
    }

    async fn connect(database: &Database) -> Result<Self, StoreError> {
        let options = database.reads().get_postgres_connection_pool().connect_options();
        // Not a connection of the pool: it would be one less for as long as the process runs.
        let own = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with((*options).clone().application_name("orqen listener"))
            .await?;
        let mut listener = PgListener::connect_with(&own).await?;
        listener.eager_reconnect(false);
        let channel: String = sqlx::query_scalar(CHANNEL).fetch_one(&mut listener).await?;
        let probe = format!("orqen_probe_{}", Uuid::new_v4().simple());
        listener.listen_all([channel.as_str(), probe.as_str()]).await?;
        database.reads().execute_unprepared(&format!("NOTIFY {probe}")).await?;
        let mut this = Self { listener, channel };
        while this.next().await? != probe {}
        this.listener.unlisten(&probe).await?;
        Ok(this)
    }

    /// Waits for changes and says the number of the latest: of several that came at once only that. Fails when the
    /// connection is lost; then this listener is of no further use.
    pub async fn heard(&mut self) -> Result<i64, StoreError> {
        loop {
            let Some(notification) = self.listener.try_recv().await? else { return Err(lost()) };
            let mut latest = None;
            let mut next = Some(notification);
            while let Some(one) = next {
                if one.channel() == self.channel {
                    latest = latest.max(one.payload().parse().ok());
                }
                next = self.listener.next_buffered();
            }
            if let Some(latest) = latest {
                return Ok(latest);
            }
        }
    }

    async fn next(&mut self) -> Result<String, StoreError> {
        let notification = self.listener.try_recv().await?.ok_or_else(lost)?;
        Ok(notification.channel().to_owned())
    }
}

fn lost() -> StoreError {
    unheard("the connection was lost")
}

fn unheard(why: &'static str) -> StoreError {
    StoreError::Unavailable { source: why.into() }
}
