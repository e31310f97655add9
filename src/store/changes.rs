//! The change log: which key or account was changed, numbered without gaps in the order of the commits.
//!
//! Caches poll it, and are told by PostgreSQL when there is something to read (`listener`). An order by commit is what
//! makes reading on from a position safe: a reader that has seen number 7 will never be handed a 6 afterwards. A database's own sequences do not give that: they number at the insert, and a
//! transaction that took 6 may commit after the one that took 7. So the numbers come from a row that each writer
//! updates last: it stays locked until the commit, and the next writer waits there. The price, management
//! writes that commit one after the other, is one that keys can pay.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, Statement, Value,
};
use uuid::Uuid;

use crate::{
    domain::key::{AccountId, KeyId},
    store::{
        bulk,
        database::{Database, bounded},
        entity::{change, change_counter},
        error::StoreError,
        listener::{ChangeListener, NOTIFY},
    },
};

/// How long a change is kept. A reader that slept longer is told that there is a gap.
const KEPT: TimeDelta = TimeDelta::days(1);
/// Every so many changes the old ones are taken out: often enough to bound the table, seldom enough to cost nothing.
const PRUNED_EVERY: i64 = 64;
const KEY: &str = "key";
const ACCOUNT: &str = "account";

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entity {
    /// A key.
    Key(KeyId),
    /// An account: its policy.
    Account(AccountId),
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Its number: one more than that of the change committed before.
    pub seq: i64,
    /// What was changed.
    pub entity: Entity,
    /// The revision that it has since.
    pub revision: i64,
}

/// What a poll found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The changes, oldest first; as many as were asked for at most, then the reader asks again.
    pub changes: Vec<Change>,
    /// Changes are missing (they were pruned, or the store was put back to an earlier state): the reader must drop
    /// its cache and go on from `latest`. `changes` is empty then.
    pub gap: bool,
    /// The number of the latest change when the poll began.
    pub latest: i64,
}

/// The log.
#[derive(Debug, Clone)]
pub struct ChangeLog {
    database: Database,
}

impl ChangeLog {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The number of the latest change, 0 before the first.
    pub async fn latest(&self) -> Result<i64, StoreError> {
        bounded(self.counter()).await
    }

    /// The changes after number `seq`, `at_most` so many. While there are none, it reads a single row.
    pub async fn since(&self, seq: i64, at_most: u32) -> Result<Changes, StoreError> {
        bounded(async {
            // Read before the changes: whatever commits in between is left to the next poll.
            let latest = self.counter().await?;
            if latest == seq {
                return Ok(Changes { changes: Vec::new(), gap: false, latest });
            }
            let rows = change::Entity::find()
                .filter(change::Column::Seq.gt(seq))
                .order_by_asc(change::Column::Seq)
                .limit(Ord::max(u64::from(at_most), 1))
                .all(self.database.reads())
                .await?;
            let follows = rows.first().is_some_and(|first| first.seq == seq + 1);
            // A row of a kind that this version does not know counts as missing: better a cold cache than a wrong one.
            let changes: Option<Vec<Change>> = rows.iter().map(change_from_row).collect();
            match changes {
                Some(changes) if follows => Ok(Changes { changes, gap: false, latest }),
                _ => Ok(Changes { changes: Vec::new(), gap: true, latest }),
            }
        })
        .await
    }

    /// Whether the store tells of changes by itself: PostgreSQL does, a file does not.
    pub fn can_push(&self) -> bool {
        self.database.backend() == DbBackend::Postgres
    }

    /// A connection on which the store tells of every change from now on, once it was seen to work.
    ///
    /// # Errors
    /// `Unavailable` where nothing can be heard: the store is away, is a file, or stands behind a pooler that passes no
    /// notifications on. Polling works all the same.
    pub async fn listen(&self) -> Result<ChangeListener, StoreError> {
        ChangeListener::open(&self.database).await
    }

    async fn counter(&self) -> Result<i64, StoreError> {
        let row = change_counter::Entity::find().one(self.database.reads()).await?;
        row.map(|row| row.value).ok_or_else(no_counter)
    }
}

/// Records a change. The last statement of its transaction but the commit: it takes the lock that orders the log,
/// and whoever took another one after it could be waited for in a circle.
pub(super) async fn record(
    transaction: &DatabaseTransaction,
    now: DateTime<Utc>,
    entity: Entity,
    revision: i64,
) -> Result<(), DbErr> {
    record_all(transaction, now, &[(entity, revision)]).await
}

/// The same for many changes, in their order.
pub(super) async fn record_all(
    transaction: &DatabaseTransaction,
    now: DateTime<Utc>,
    changes: &[(Entity, i64)],
) -> Result<(), DbErr> {
    let count = changes.len() as i64;
    if count == 0 {
        return Ok(());
    }
    let row = transaction.query_one_raw(next(transaction.get_database_backend(), count)).await?;
    let last: i64 = row.ok_or(DbErr::RecordNotUpdated)?.try_get_by_index(0)?;
    let rows: Vec<_> =
        (last - count + 1..).zip(changes).map(|(seq, change)| row_of(seq, *change, now)).collect();
    bulk::execute(transaction, INSERT, rows.into_iter()).await?;
    if last / PRUNED_EVERY != (last - count) / PRUNED_EVERY {
        let old = change::Entity::delete_many().filter(change::Column::At.lt(now - KEPT));
        old.exec(transaction).await?;
    }
    Ok(())
}

/// Takes the next numbers. On PostgreSQL the same statement tells the listeners, who hear it once it is committed, and
/// nothing if it never is.
fn next(backend: DbBackend, count: i64) -> Statement {
    let (place, notify) = match backend {
        DbBackend::Postgres => ("$1", NOTIFY),
        _ => ("?", ""),
    };
    let sql = format!(r#"UPDATE "change_counter" SET "value" = "value" + {place} RETURNING "value"{notify}"#);
    Statement::from_sql_and_values(backend, sql, [count.into()])
}

const INSERT: (&str, &str) =
    (r#"INSERT INTO "change" ("seq", "entity", "entity_id", "revision", "at") VALUES"#, "");

fn row_of(seq: i64, (entity, revision): (Entity, i64), now: DateTime<Utc>) -> [Value; 5] {
    let (kind, entity_id) = match entity {
        Entity::Key(id) => (KEY, id.0),
        Entity::Account(id) => (ACCOUNT, id.0),
    };
    [seq.into(), kind.into(), entity_id.into(), revision.into(), now.into()]
}

fn change_from_row(row: &change::Model) -> Option<Change> {
    let entity: fn(Uuid) -> Entity = match row.entity.as_str() {
        KEY => |id| Entity::Key(KeyId(id)),
        ACCOUNT => |id| Entity::Account(AccountId(id)),
        _ => return None,
    };
    Some(Change { seq: row.seq, entity: entity(row.entity_id), revision: row.revision })
}

fn no_counter() -> StoreError {
    StoreError::corrupt("the change counter", "its row is missing")
}
