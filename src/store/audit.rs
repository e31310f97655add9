//! The audit trail: events are added in the transaction of what they tell of, and never changed.
//!
//! An event that could not be written undoes what it tells of, and an event that stands there was done: one commit
//! decides about both. Attempts that were refused have nothing to be in one transaction with, and are written alone.

use chrono::{DateTime, Utc};
use rand::Rng;
use sea_orm::{
    ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Value,
};
use uuid::{Builder, Uuid};

use crate::{
    domain::{
        audit::{Actor, Deed, Event, FieldChange, Outcome, Refusal},
        key::{AccountId, KeyId},
        request_id::RequestId,
    },
    store::{
        bulk,
        database::{Database, bounded},
        entity::audit_event::{Column, Entity, Model},
        error::StoreError,
        rows::storable_text,
    },
};

/// Which events of an account are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AuditPage {
    /// How many at most.
    pub size: u32,
    /// Those before this one; `None` for the first page.
    pub before: Option<Uuid>,
    /// Those about this key alone.
    pub key_id: Option<KeyId>,
    /// Those at this time or later, to the millisecond.
    pub since: Option<DateTime<Utc>>,
    /// Those before this time, to the millisecond.
    pub until: Option<DateTime<Utc>>,
}

/// The audit trail.
#[derive(Debug, Clone)]
pub struct AuditStore {
    database: Database,
}

impl AuditStore {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Adds an event that is no part of another write.
    pub async fn add(&self, actor: &Actor, deed: Deed) -> Result<(), StoreError> {
        bounded(async {
            let transaction = self.database.begin().await?;
            note(&transaction, self.database.clock.now(), actor, vec![deed]).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// At most `page.size` events of an account, newest first. A caller that wants to know whether there is a next page
    /// asks for one more than it shows.
    pub async fn list(&self, account: AccountId, page: &AuditPage) -> Result<Vec<Event>, StoreError> {
        let mut select = Entity::find().filter(Column::AccountId.eq(account.0));
        if let Some(KeyId(key)) = page.key_id {
            select = select.filter(Column::KeyId.eq(key));
        }
        if let Some(since) = page.since {
            select = select.filter(Column::Id.gte(first_of(since)));
        }
        let before = page.before.into_iter().chain(page.until.map(first_of)).min();
        if let Some(before) = before {
            select = select.filter(Column::Id.lt(before));
        }
        let select = select.order_by_desc(Column::Id).limit(u64::from(page.size));
        let rows = bounded(async { Ok::<_, StoreError>(select.all(self.database.reads()).await?) }).await?;
        rows.into_iter().map(event).collect()
    }
}

/// Adds the events of what `actor` does. To be done before the change is recorded, which comes last.
pub(super) async fn note(
    transaction: &DatabaseTransaction,
    now: DateTime<Utc>,
    actor: &Actor,
    deeds: Vec<Deed>,
) -> Result<(), DbErr> {
    let name = storable_text(&actor.name);
    let request = actor.request_id.map(|id| id.to_string());
    bulk::execute(transaction, INSERT, deeds.into_iter().map(|deed| values(deed, now, (&name, &request))))
        .await
}

const INSERT: (&str, &str) = (
    r#"INSERT INTO "audit_event" ("id", "account_id", "at", "actor", "request_id", "action", "key_id", "changes", "code", "field", "message") VALUES"#,
    "",
);

fn values(deed: Deed, now: DateTime<Utc>, (actor, request): (&str, &Option<String>)) -> [Value; 11] {
    let (changes, refusal) = match deed.outcome {
        Outcome::Done(changes) => {
            // What PostgreSQL's text does not take, U+0000, is an escape in it.
            (Some(serde_json::to_string(&changes).expect("names and values are JSON")), None)
        }
        Outcome::Refused(refusal) => (None, Some(refusal)),
    };
    let (code, field, message) = match refusal {
        Some(Refusal { code, field, message }) => {
            (Some(code), field.as_deref().map(storable_text), Some(storable_text(&message)))
        }
        None => (None, None, None),
    };
    [
        event_id(now).into(),
        deed.account_id.0.into(),
        now.into(),
        actor.into(),
        request.clone().into(),
        deed.action.as_str().into(),
        deed.key_id.map(|id| id.0).into(),
        changes.into(),
        code.into(),
        field.into(),
        message.into(),
    ]
}

/// A new id of this time, down to a quarter of a microsecond (RFC 9562, 6.2, method 3): events that follow on one another
/// have ids that do. By the clock that says the event's time, so that a range of times is one of ids.
fn event_id(now: DateTime<Utc>) -> Uuid {
    let fraction = u64::from(now.timestamp_subsec_nanos() % 1_000_000) * 4096 / 1_000_000;
    let mut rest = [0; 10];
    rest[..2].copy_from_slice(&fraction.to_be_bytes()[6..]);
    rand::rng().fill_bytes(&mut rest[2..]);
    Builder::from_unix_timestamp_millis(millis(now), &rest).into_uuid()
}

/// The least id of this millisecond.
fn first_of(time: DateTime<Utc>) -> Uuid {
    Uuid::from_u128(u128::from(millis(time)) << 80)
}

fn millis(time: DateTime<Utc>) -> u64 {
    u64::try_from(time.timestamp_millis()).unwrap_or(0)
}

fn event(row: Model) -> Result<Event, StoreError> {
    let outcome = match (row.changes, row.code) {
        (Some(changes), _) => {
            let read: Vec<FieldChange> = serde_json::from_str(&changes)
                .map_err(|error| StoreError::corrupt(format!("audit event {}", row.id), error.to_string()))?;
            Outcome::Done(read)
        }
        (None, code) => Outcome::Refused(Refusal {
            code: code.unwrap_or_default(),
            field: row.field,
            message: row.message.unwrap_or_default(),
        }),
    };
    Ok(Event {
        id: row.id,
        at: row.at,
        actor: row.actor,
        request_id: row.request_id.as_deref().and_then(RequestId::parse),
        action: row.action,
        key_id: row.key_id.map(KeyId),
        outcome,
    })
}
