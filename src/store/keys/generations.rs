//! The secrets that keys have: which of them work, and replacing them.
//!
//! Rows of secrets that have ended stay: usage records name them by number, and a key's `last_used_at` is the latest
//! of all of them. Those that work are two at most, so that nothing grows with the number of rotations but the table.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait,
    IntoActiveModel, QueryFilter, QueryOrder,
    sea_query::{Expr, ExprTrait, Query},
};
use uuid::Uuid;

use crate::{
    domain::{
        generation::ends,
        key::{Key, KeyId},
        secret::SecretDigest,
    },
    store::{
        entity::key_generation::{Column, Entity, Model},
        keys::authentication::hold_touches,
        rows::{living_secrets, storable_time},
    },
};

/// The end of a secret that ends at once: not the time at which it did, which a replica whose clock is behind would
/// take for one to come.
const LONG_AGO: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// What is kept of a new secret.
#[derive(Debug, Clone)]
pub struct NewSecret {
    /// The part of it that may be shown.
    pub prefix: String,
    /// What it is found by.
    pub digest: SecretDigest,
    /// The pepper that the digest was made with.
    pub pepper_version: u32,
}

/// The rows of secrets of these keys that work at `now`, newest first, by key.
///
/// To be read after the keys: then a key can come with secrets that are newer than itself, which the change that made
/// them puts right in every cache, and never with older ones, which nothing would.
pub(super) async fn living(
    connection: &impl ConnectionTrait,
    keys: impl IntoIterator<Item = Uuid>,
    now: DateTime<Utc>,
) -> Result<HashMap<Uuid, Vec<Model>>, DbErr> {
    let rows = Entity::find()
        .filter(Column::KeyId.is_in(keys))
        .filter(works(Expr::col((Entity, Column::ExpiresAt)), now))
        .order_by_desc(Column::Generation)
        .all(connection)
        .await?;
    let mut by_key: HashMap<Uuid, Vec<Model>> = HashMap::new();
    for row in rows {
        by_key.entry(row.key_id).or_default().push(row);
    }
    Ok(by_key)
}

/// Whether a secret with this end works at `now`.
pub(super) fn works(expires_at: Expr, now: DateTime<Utc>) -> Condition {
    Condition::any().add(expires_at.clone().is_null()).add(expires_at.gt(now))
}

/// The row of a key's secret.
pub(super) fn row_of(key: KeyId, number: i32, secret: &NewSecret, now: DateTime<Utc>) -> Model {
    Model {
        key_id: key.0,
        generation: number,
        digest: secret.digest.0.to_vec(),
        pepper_version: i64::from(secret.pepper_version),
        created_at: now,
        expires_at: None,
        last_used_at: None,
        prefix: Some(secret.prefix.clone()),
    }
}

/// Inserts a row.
pub(super) async fn insert(transaction: &DatabaseTransaction, row: Model) -> Result<(), DbErr> {
    Entity::insert(row.into_active_model().reset_all()).exec_without_returning(transaction).await?;
    Ok(())
}

/// Gives a key, which is locked, a new secret, and its others their ends; `key` is as it is then, but for its revision.
pub(super) async fn replace(
    transaction: &DatabaseTransaction,
    key: &mut Key,
    (secret, overlap): (&NewSecret, TimeDelta),
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    hold_touches(transaction).await?;
    let ends = ends(&key.secrets, now, overlap);
    for (number, end) in &ends {
        let prefix = key.secrets.iter().find(|secret| secret.number == *number).map(|one| one.prefix.clone());
        let end_it = Query::update()
            .table(Entity)
            .value(Column::ExpiresAt, end.map_or(LONG_AGO, storable_time))
            .value(Column::Prefix, prefix)
            .and_where(Column::KeyId.eq(key.id.0))
            .and_where(Column::Generation.eq(*number))
            .take();
        transaction.execute(&end_it).await?;
    }
    // Of all that it ever had, which with a clock that was put back are more than those that work.
    let newest = Query::select()
        .expr(Expr::col(Column::Generation).max())
        .from(Entity)
        .and_where(Column::KeyId.eq(key.id.0))
        .take();
    let newest = transaction.query_one(&newest).await?;
    let newest: Option<i32> = newest.map(|row| row.try_get_by_index(0)).transpose()?.flatten();
    insert(transaction, row_of(key.id, newest.unwrap_or(0) + 1, secret, now)).await?;
    key.prefix.clone_from(&secret.prefix);
    key.rotated_at = Some(now);
    let rows = living(transaction, [key.id.0], now).await?.remove(&key.id.0).unwrap_or_default();
    key.secrets = living_secrets(rows, &key.prefix);
    Ok(())
}
