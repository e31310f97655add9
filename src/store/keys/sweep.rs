//! Ending many keys of an account, step by step.
//!
//! A step looks at the next thousand living keys, newest first, and ends those that are meant in one transaction: it
//! takes as long whether the account has a thousand keys or a million, and however few are meant. Not one statement
//! over all of them, which would hold every writer up and fail as a whole; and no index by creator, which every new
//! key would pay for and a sweep hardly gains by.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Query,
};
use uuid::Uuid;

use crate::{
    domain::{
        audit::{Actor, Deed},
        key::{AccountId, KeyId},
    },
    store::{
        accounts, audit,
        changes::{Entity, record_all},
        database::bounded,
        entity::key,
        error::StoreError,
        keys::{KeyStore, of_account},
        rows::{storable_text, storable_time},
    },
};

/// How many keys a step looks at, and so ends at most.
const STEP: u64 = 1_000;

/// Which living keys of an account are meant: all of them, but for those that a condition leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeysMeant {
    /// Those that this made, as `Key::created_by` has it; of a key those too that its tokens made.
    pub created_by: Option<String>,
    /// Those that were made before.
    pub created_before: Option<DateTime<Utc>>,
}

/// What a step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// The keys that it ended.
    pub revoked: Vec<KeyId>,
    /// Where the next step goes on; `None` when there is none.
    pub next: Option<KeyId>,
}

impl KeysMeant {
    fn means(&self, created_by: &str, created_at: DateTime<Utc>) -> bool {
        self.created_by.as_deref().is_none_or(|wanted| made_by(&storable_text(wanted), created_by))
            && self.created_before.is_none_or(|time| created_at < storable_time(time))
    }
}

/// Whether `created_by` is this creator, or a token of it.
fn made_by(creator: &str, created_by: &str) -> bool {
    let by_token = || created_by.strip_prefix("token:").and_then(|rest| rest.split_once(" of "));
    created_by == creator || by_token().is_some_and(|(_, key)| key == creator)
}

impl KeyStore {
    /// Ends those of the next keys of the account that are meant; `from` is the `next` of the step before. Keys that
    /// are made after the first step are not looked at. Doing it again ends nothing twice.
    pub async fn sweep(
        &self,
        actor: &Actor,
        account: AccountId,
        meant: &KeysMeant,
        from: Option<KeyId>,
    ) -> Result<Swept, StoreError> {
        bounded(async {
            let mut living = of_account(key::Entity::find(), account, false).select_only().columns([
                key::Column::Id,
                key::Column::CreatedBy,
                key::Column::CreatedAt,
            ]);
            if let Some(KeyId(from)) = from {
                living = living.filter(key::Column::Id.lt(from));
            }
            let living = living.order_by_desc(key::Column::Id).limit(STEP);
            let rows: Vec<(Uuid, String, DateTime<Utc>)> =
                living.into_tuple().all(self.database.reads()).await?;
            let next = rows.last().filter(|_| rows.len() as u64 == STEP).map(|(id, ..)| KeyId(*id));
            let ids = rows.iter().filter(|(_, by, at)| meant.means(by, *at)).map(|(id, ..)| *id);
            let ids: Vec<Uuid> = ids.collect();
            if ids.is_empty() {
                return Ok(Swept { revoked: Vec::new(), next });
            }
            let transaction = self.database.begin().await?;
            // Before any key: two sweeps of an account that locked its keys in different orders would wait for each
            // other.
            accounts::locked(&transaction, account).await?;
            let revoked = end(&transaction, self.database.clock.now(), (actor, account), ids).await?;
            transaction.commit().await?;
            Ok(Swept { revoked, next })
        })
        .await
    }
}

/// Ends those of the keys that are alive still, and records it.
async fn end(
    transaction: &DatabaseTransaction,
    now: DateTime<Utc>,
    (actor, account): (&Actor, AccountId),
    ids: Vec<Uuid>,
) -> Result<Vec<KeyId>, StoreError> {
    let mut revoke = Query::update();
    revoke
        .table(key::Entity)
        .value(key::Column::RevokedAt, now)
        .value(key::Column::Revision, key::Column::Revision.into_expr().add(1))
        .and_where(key::Column::Id.is_in(ids))
        .and_where(key::Column::RevokedAt.is_null())
        .returning(Query::returning().columns([key::Column::Id, key::Column::Revision]));
    let mut ended = Vec::new();
    for row in transaction.query_all(&revoke).await? {
        ended.push((KeyId(row.try_get_by_index(0)?), row.try_get_by_index::<i64>(1)?));
    }
    // Newest first, as they are listed.
    ended.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
    let changes: Vec<_> = ended.iter().map(|(id, revision)| (Entity::Key(*id), *revision)).collect();
    let deeds = ended.iter().map(|(id, _)| Deed::revoked(account, *id, now)).collect();
    audit::note(transaction, now, actor, deeds).await?;
    record_all(transaction, now, &changes).await?;
    Ok(ended.into_iter().map(|(id, _)| id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_keys_tokens_made_is_made_by_the_key() {
        let (key, token) = ("key:018f", "token:0190 of key:018f");
        for (creator, created_by, made) in [
            (key, key, true),
            (key, token, true),
            (token, token, true),
            (token, key, false),
            (key, "token:0190 of key:018e", false),
            (key, "jwt:token:0190 of key:018f", false),
            ("jwt:ann", "jwt:ann", true),
        ] {
            assert_eq!(made_by(creator, created_by), made, "{creator} {created_by}");
        }
    }
}
