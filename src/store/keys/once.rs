//! Calls that are to be made once, however often they are sent: an answer may be lost, and its caller sends the call
//! again with the same idempotency key.
//!
//! The claim is the first statement of the transaction that does the work, so that both are there or neither, and of
//! calls at the same time the others wait for the first and then find it. What is kept of a call is a digest, and of
//! its answer nothing but which key it was about: a secret is shown once.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait,
    sea_query::{Expr, ExprTrait, OnConflict, Query},
};

use crate::{
    domain::key::{AccountId, Key, KeyId},
    store::{
        database::bounded,
        entity::once::{Column, Entity},
        error::StoreError,
        keys::{KeyStore, owned, read},
        rows::KeyRow,
    },
};

/// For how long a repetition is known as one.
pub const REMEMBERED: TimeDelta = TimeDelta::hours(24);

/// A call that is to be made once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// Which call.
    pub method: &'static str,
    /// What its caller knows it by, among those of the account.
    pub idempotency_key: String,
    /// What is kept of the request, to tell a repetition from another one.
    pub digest: [u8; 32],
}

/// A key that has got a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Issued {
    /// The key as it is now.
    pub key: Key,
    /// Whether an earlier call did it, so that this one did nothing.
    pub earlier: bool,
}

/// What became of a claim.
pub(super) enum Claim {
    /// The call is to be made.
    Ours,
    /// It was made already, about this key.
    Earlier(Box<Key>),
    /// Another one was made under the same idempotency key.
    Taken,
}

/// Claims a call about the key `id`, which need not be there yet.
pub(super) async fn claim(
    transaction: &DatabaseTransaction,
    (account, id): (AccountId, KeyId),
    once: Option<&Once>,
    now: DateTime<Utc>,
) -> Result<Claim, StoreError> {
    let Some(once) = once else { return Ok(Claim::Ours) };
    let mut forgotten = OnConflict::columns([Column::AccountId, Column::Method, Column::IdempotencyKey]);
    forgotten
        .update_columns([Column::Digest, Column::KeyId, Column::CreatedAt])
        .action_and_where(Expr::col((Entity, Column::CreatedAt)).lte(now - REMEMBERED));
    let insert = Query::insert()
        .into_table(Entity)
        .columns([
            Column::AccountId,
            Column::Method,
            Column::IdempotencyKey,
            Column::Digest,
            Column::KeyId,
            Column::CreatedAt,
        ])
        .values_panic([
            account.0.into(),
            once.method.into(),
            once.idempotency_key.as_str().into(),
            once.digest.to_vec().into(),
            id.0.into(),
            now.into(),
        ])
        .on_conflict(forgotten)
        .take();
    if transaction.execute(&insert).await?.rows_affected() == 1 {
        return Ok(Claim::Ours);
    }
    let place = (account.0, once.method.to_owned(), once.idempotency_key.clone());
    let earlier = Entity::find_by_id(place).one(transaction).await?;
    let Some(earlier) = earlier.filter(|earlier| earlier.digest == once.digest) else {
        return Ok(Claim::Taken);
    };
    let select = owned(KeyRow::select(), account, KeyId(earlier.key_id));
    let key = read(transaction, select, now).await?;
    key.map(|key| Claim::Earlier(Box::new(key))).ok_or_else(|| {
        StoreError::corrupt(format!("key {}", earlier.key_id), "it was made by a call, and is not there")
    })
}

impl KeyStore {
    /// Deletes at most `at_most` calls of the time before `before`, and says how many it deleted.
    pub async fn forget_calls(&self, before: DateTime<Utc>, at_most: u32) -> Result<u64, StoreError> {
        let place = [Column::AccountId, Column::Method, Column::IdempotencyKey];
        let oldest = Query::select()
            .columns(place)
            .from(Entity)
            .and_where(Column::CreatedAt.lte(before))
            .order_by(Column::CreatedAt, sea_orm::Order::Asc)
            .limit(u64::from(at_most))
            .take();
        let delete = Query::delete()
            .from_table(Entity)
            .and_where(Expr::tuple(place.map(|column| column.into_expr())).in_subquery(oldest))
            // Claimed anew since it was looked for.
            .and_where(Column::CreatedAt.lte(before))
            .take();
        bounded(async {
            let transaction = self.database.begin().await?;
            let deleted = transaction.execute(&delete).await?.rows_affected();
            transaction.commit().await?;
            Ok(deleted)
        })
        .await
    }
}
