//! Ending keys, for good. The row is not read first: a key whose lists cannot be read can still be revoked.

use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QuerySelect,
    sea_query::{Query, UpdateStatement},
};

use uuid::Uuid;

use crate::{
    domain::{
        audit::{Actor, Deed},
        key::{AccountId, Key, KeyId},
    },
    store::{
        accounts, audit,
        changes::{Entity, record},
        database::bounded,
        entity::key,
        error::StoreError,
        keys::KeyStore,
    },
};

/// A key that is revoked.
#[derive(Debug, Clone, PartialEq)]
pub struct Revocation {
    /// The key as it is now.
    pub key: Key,
    /// Whether it had been revoked before.
    pub earlier: bool,
}

/// Why a key was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeKeyError {
    /// It has another revision than the one that was to be revoked.
    #[error("the key is at revision {0}")]
    Moved(i64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeyStore {
    /// Revokes a key for good; `None` if the account has no such key. A key that was revoked before keeps the time
    /// of the first.
    pub async fn revoke(
        &self,
        actor: &Actor,
        account: AccountId,
        id: KeyId,
    ) -> Result<Option<Revocation>, StoreError> {
        bounded(async {
            let ended = self.end(actor, id, Some(account), None).await?;
            self.revoked(id, Some(account), ended).await
        })
        .await
    }

    /// The same, whoever's key it is: for operators.
    pub async fn revoke_any(&self, actor: &Actor, id: KeyId) -> Result<Option<Revocation>, StoreError> {
        bounded(async {
            let ended = self.end(actor, id, None, None).await?;
            self.revoked(id, None, ended).await
        })
        .await
    }

    /// The same, of a key that has this revision, or was revoked before.
    pub async fn revoke_at(
        &self,
        actor: &Actor,
        account: AccountId,
        id: KeyId,
        revision: i64,
    ) -> Result<Option<Revocation>, RevokeKeyError> {
        bounded(async {
            let ended = self.end(actor, id, Some(account), Some(revision)).await?;
            if !ended {
                let living = key::Entity::find()
                    .select_only()
                    .column(key::Column::Revision)
                    .filter(key::Column::Id.eq(id.0))
                    .filter(key::Column::AccountId.eq(account.0))
                    .filter(key::Column::RevokedAt.is_null());
                let living = living.into_tuple::<i64>().one(self.database.reads()).await;
                if let Some(revision) = living.map_err(StoreError::from)? {
                    return Err(RevokeKeyError::Moved(revision));
                }
            }
            Ok(self.revoked(id, Some(account), ended).await?)
        })
        .await
    }

    /// Ends the key, and says whether it did.
    async fn end(
        &self,
        actor: &Actor,
        id: KeyId,
        owner: Option<AccountId>,
        at: Option<i64>,
    ) -> Result<bool, StoreError> {
        let transaction = self.database.begin().await?;
        accounts::lock_owner(&transaction, id).await?;
        let now = self.database.clock.now();
        let mut revoke: UpdateStatement = Query::update();
        revoke
            .table(key::Entity)
            .value(key::Column::RevokedAt, now)
            .value(key::Column::Revision, key::Column::Revision.into_expr().add(1))
            .and_where(key::Column::Id.eq(id.0))
            .and_where(key::Column::RevokedAt.is_null())
            .returning(Query::returning().columns([key::Column::Revision, key::Column::AccountId]));
        if let Some(AccountId(owner)) = owner {
            revoke.and_where(key::Column::AccountId.eq(owner));
        }
        if let Some(revision) = at {
            revoke.and_where(key::Column::Revision.eq(revision));
        }
        let Some(row) = transaction.query_one(&revoke).await? else {
            transaction.rollback().await?;
            return Ok(false);
        };
        let (revision, account): (i64, Uuid) = (row.try_get_by_index(0)?, row.try_get_by_index(1)?);
        let deed = Deed::revoked(AccountId(account), id, now);
        audit::note(&transaction, now, actor, vec![deed]).await?;
        record(&transaction, now, Entity::Key(id), revision).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// What there is to say of a key that is revoked, just now or before.
    async fn revoked(
        &self,
        id: KeyId,
        owner: Option<AccountId>,
        ended: bool,
    ) -> Result<Option<Revocation>, StoreError> {
        let found = match owner {
            Some(owner) => self.find(owner, id).await,
            None => self.find_any(id).await,
        };
        Ok(found?.map(|key| Revocation { key, earlier: !ended }))
    }
}
