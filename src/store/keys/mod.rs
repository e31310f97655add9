//! Keys: making, finding, changing and revoking them.
//!
//! Each write is one transaction that locks what it decides by, bumps the key's revision and records the change;
//! so concurrent writes queue and none is lost. Whether a change is allowed is not decided here: callers hand the
//! decision in as a closure that sees the key under the lock. Making keys is in `creation`, new secrets in `rotation`,
//! ending keys in `revocation` and `sweep`, the look-up by secret in `authentication`.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect, Select,
};
use uuid::Uuid;

use crate::{
    domain::{
        audit::{Action, Actor, Deed},
        key::{AccountId, Key, KeyId},
    },
    store::{
        audit,
        changes::{Entity, record},
        database::{Database, bounded},
        entity::{key, key_generation},
        error::StoreError,
        rows::{KeyRow, row_from_key, storable_time},
    },
};

mod authentication;
mod creation;
mod generations;
mod once;
mod revocation;
mod rotation;
mod sweep;

pub use authentication::KeyBySecret;
pub(in crate::store) use authentication::touch;
pub(in crate::store) use creation::insert;
pub use creation::{CreateKeyError, NewKey};
pub use generations::NewSecret;
pub use once::{Issued, Once, REMEMBERED};
pub use revocation::{Revocation, RevokeKeyError};
pub use rotation::{RotateKeyError, Rotation};
pub use sweep::{KeysMeant, Swept};

/// Which keys of an account are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPage {
    /// How many at most.
    pub size: u32,
    /// Those made before this one; `None` for the first page.
    pub before: Option<KeyId>,
    /// Whether revoked keys are among them.
    pub include_revoked: bool,
}

/// Why a key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateKeyError<E> {
    /// The account has no such key.
    #[error("the account has no such key")]
    NotFound,
    /// The change refused what it found.
    #[error("the change was refused")]
    Refused(E),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The keys.
#[derive(Debug, Clone)]
pub struct KeyStore {
    database: Database,
}

impl KeyStore {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The key, if it is the account's. Another account's key and one that never was look the same.
    pub async fn find(&self, account: AccountId, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.one(owned(KeyRow::select(), account, id)).await
    }

    /// The key, whoever's it is: for operators.
    pub async fn find_any(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        self.one(KeyRow::select().filter(key::Column::Id.eq(id.0))).await
    }

    /// At most `page.size` keys of an account, newest first. A caller that wants to know whether there is a next
    /// page asks for one more than it shows.
    pub async fn list(&self, account: AccountId, page: &KeyPage) -> Result<Vec<Key>, StoreError> {
        let mut select = of_account(KeyRow::select(), account, page.include_revoked);
        if let Some(KeyId(before)) = page.before {
            select = select.filter(key::Column::Id.lt(before));
        }
        let select = select.order_by_desc(key::Column::Id).limit(u64::from(page.size));
        bounded(async {
            let rows = select.into_model::<KeyRow>().all(self.database.reads()).await?;
            self.with_secrets(rows).await?.map(|(row, secrets)| row.into_key(secrets)).collect()
        })
        .await
    }

    /// The keys with these ids, in any order, for caches that apply changes. An id that is not in the answer is gone,
    /// or its row cannot be read (which is logged): the cache must forget it. One broken row must not keep the
    /// revocation of the others from being seen.
    pub async fn by_ids(&self, ids: &[KeyId]) -> Result<Vec<Key>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let select = KeyRow::select().filter(key::Column::Id.is_in(ids.iter().map(|id| id.0)));
        let rows = bounded(async {
            let rows = select.into_model::<KeyRow>().all(self.database.reads()).await?;
            self.with_secrets(rows).await
        });
        let readable = |(row, secrets): (KeyRow, _)| {
            let key = row.into_key(secrets);
            key.inspect_err(|error| tracing::error!(%error, "a key is left out of the cache")).ok()
        };
        Ok(rows.await?.filter_map(readable).collect())
    }

    /// Changes a key: `change` is handed the key as it is, under a lock, and is not called again. What it may
    /// change is the name, `disabled`, the scopes, lists, mode, limits and the expiry; the rest is put back. A key
    /// that stays equal is not written and keeps its revision.
    pub async fn update<E>(
        &self,
        actor: &Actor,
        account: AccountId,
        id: KeyId,
        change: impl FnOnce(&mut Key) -> Result<(), E> + Send,
    ) -> Result<Key, UpdateKeyError<E>> {
        self.update_by((actor, Action::UpdateKey), account, id, |key, _| change(key)).await
    }

    /// The same, by an action that is called so, and maybe on behalf of a key of the account, which `change` is handed
    /// too, as it is in the same transaction; `None` if it is gone. A change that another one was answered before sees
    /// what that one did.
    pub async fn update_by<E>(
        &self,
        (actor, action): (&Actor, Action),
        account: AccountId,
        id: KeyId,
        change: impl FnOnce(&mut Key, Option<&Key>) -> Result<(), E> + Send,
    ) -> Result<Key, UpdateKeyError<E>> {
        bounded(async {
            let transaction = self.database.begin().await?;
            let now = self.database.clock.now();
            let before = locked(&transaction, account, id, now).await?.ok_or(UpdateKeyError::NotFound)?;
            let by = by_caller(&transaction, actor.key_id, &before, now).await?;
            let mut after = before.clone();
            change(&mut after, by.as_ref()).map_err(UpdateKeyError::Refused)?;
            let mut after = changeable_parts(after, &before);
            if after == before {
                return Ok(before);
            }
            after.revision += 1;
            let deed = Deed::on_key(action, Some(&before), &after);
            write(transaction, now, &after, (actor, deed)).await?;
            Ok(after)
        })
        .await
    }

    /// Whether there is a key, of any account.
    pub async fn any(&self) -> Result<bool, StoreError> {
        bounded(async {
            let first = key::Entity::find().select_only().column(key::Column::Id);
            Ok(first.into_tuple::<Uuid>().one(self.database.reads()).await?.is_some())
        })
        .await
    }

    async fn one(&self, select: Select<key::Entity>) -> Result<Option<Key>, StoreError> {
        bounded(read(self.database.reads(), select, self.database.clock.now())).await
    }

    /// Each with the rows of its secrets that work.
    async fn with_secrets(
        &self,
        rows: Vec<KeyRow>,
    ) -> Result<impl Iterator<Item = (KeyRow, Vec<key_generation::Model>)> + use<>, StoreError> {
        let ids: Vec<Uuid> = rows.iter().map(KeyRow::id).collect();
        let mut secrets = generations::living(self.database.reads(), ids, self.database.clock.now()).await?;
        Ok(rows.into_iter().map(move |row| {
            let secrets = secrets.remove(&row.id()).unwrap_or_default();
            (row, secrets)
        }))
    }
}

/// The key, locked until the transaction ends.
async fn locked(
    transaction: &DatabaseTransaction,
    account: AccountId,
    id: KeyId,
    now: DateTime<Utc>,
) -> Result<Option<Key>, StoreError> {
    read(transaction, owned(KeyRow::select(), account, id).lock_exclusive(), now).await
}

/// The key `by`, which asks for something of `of`, as it is in the same transaction.
async fn by_caller(
    transaction: &DatabaseTransaction,
    by: Option<KeyId>,
    of: &Key,
    now: DateTime<Utc>,
) -> Result<Option<Key>, StoreError> {
    match by {
        Some(by) if by == of.id => Ok(Some(of.clone())),
        // Not locked: two keys that change each other must not wait for each other.
        Some(by) => read(transaction, owned(KeyRow::select(), of.account_id, by), now).await,
        None => Ok(None),
    }
}

/// The key, and then its secrets: a lock that is taken with the one holds for the other.
async fn read(
    connection: &impl ConnectionTrait,
    select: Select<key::Entity>,
    now: DateTime<Utc>,
) -> Result<Option<Key>, StoreError> {
    let Some(row) = select.into_model::<KeyRow>().one(connection).await? else { return Ok(None) };
    let secrets = generations::living(connection, [row.id()], now).await?.remove(&row.id());
    row.into_key(secrets.unwrap_or_default()).map(Some)
}

async fn write(
    transaction: DatabaseTransaction,
    now: DateTime<Utc>,
    key: &Key,
    (actor, deed): (&Actor, Deed),
) -> Result<(), StoreError> {
    key::Entity::update_many()
        .set(row_from_key(key).into_active_model().reset_all())
        .filter(key::Column::Id.eq(key.id.0))
        .exec(&transaction)
        .await?;
    audit::note(&transaction, now, actor, vec![deed]).await?;
    record(&transaction, now, Entity::Key(key.id), key.revision).await?;
    Ok(transaction.commit().await?)
}

/// `after`, with everything that a change has no say in as it was.
fn changeable_parts(after: Key, before: &Key) -> Key {
    Key {
        name: after.name,
        disabled: after.disabled,
        scopes: after.scopes,
        toollist: after.toollist,
        tool_mode: after.tool_mode,
        own_limits: after.own_limits,
        expires_at: after.expires_at.map(storable_time),
        ..before.clone()
    }
}

fn owned(select: Select<key::Entity>, account: AccountId, id: KeyId) -> Select<key::Entity> {
    select.filter(key::Column::Id.eq(id.0)).filter(key::Column::AccountId.eq(account.0))
}

fn of_account(select: Select<key::Entity>, account: AccountId, include_revoked: bool) -> Select<key::Entity> {
    let select = select.filter(key::Column::AccountId.eq(account.0));
    if include_revoked { select } else { select.filter(key::Column::RevokedAt.is_null()) }
}
