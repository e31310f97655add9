//! Making a key: the limit of its account, its row, its first generation and the change, in one transaction.

use chrono::{DateTime, Utc};
use sea_orm::{ActiveModelTrait, DatabaseTransaction, EntityTrait, IntoActiveModel};

use crate::{
    domain::{
        audit::{Action, Actor, Deed},
        key::{AccountId, Key, KeyId, Scopes, ToolMode},
        limits::OwnLimits,
        secret::SecretDigest,
        toollist::Toollist,
    },
    store::{
        accounts, audit,
        changes::{Entity, record},
        database::bounded,
        entity::key,
        error::StoreError,
        keys::{
            KeyStore,
            generations::{self, NewSecret},
            once::{Claim, Issued, Once, claim},
        },
        rows::{key_from_row, row_from_key, storable_text, storable_time},
    },
};

/// A key to be made.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its id.
    pub id: KeyId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// A name for people, already valid.
    pub name: String,
    /// What it may be used for.
    pub scopes: Scopes,
    /// The tools it may use.
    pub toollist: Toollist,
    /// What happens to a request with others.
    pub tool_mode: ToolMode,
    /// The limits it is given itself.
    pub own_limits: OwnLimits,
    /// Who makes it.
    pub by: Actor,
    /// When it stops working; finer than a microsecond is cut off.
    pub expires_at: Option<DateTime<Utc>>,
    /// The part of its secret that may be shown.
    pub prefix: String,
    /// What is kept of its secret.
    pub digest: SecretDigest,
    /// The pepper that the digest was made with.
    pub pepper_version: u32,
}

/// Why a key was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateKeyError {
    /// The account has as many keys as its policy grants.
    #[error("the account has {max} keys that are not revoked, as many as its policy grants")]
    KeyLimit {
        /// The policy's `max_keys`.
        max: i64,
    },
    /// There is no such account.
    #[error("there is no such account")]
    UnknownAccount,
    /// Another call was made under the same idempotency key.
    #[error("another call was made under this idempotency key")]
    Reused,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeyStore {
    /// Makes a key, unless its account has `max_keys` that are not revoked. The count is kept beside the
    /// policy, and read under a lock on it: creates of one account queue, so that no burst of them slips past the limit.
    pub async fn create(&self, new: NewKey) -> Result<Key, CreateKeyError> {
        self.create_once(new, None).await.map(|issued| issued.key)
    }

    /// The same; of calls that are the same one only the first makes a key.
    pub async fn create_once(&self, new: NewKey, once: Option<&Once>) -> Result<Issued, CreateKeyError> {
        bounded(async {
            let transaction = self.database.begin().await?;
            let now = self.database.clock.now();
            match claim(&transaction, (new.account_id, new.id), once, now).await? {
                Claim::Ours => {}
                Claim::Earlier(key) => return Ok(Issued { key: *key, earlier: true }),
                Claim::Taken => return Err(CreateKeyError::Reused),
            }
            let account = accounts::locked(&transaction, new.account_id).await?;
            let account = account.ok_or(CreateKeyError::UnknownAccount)?;
            if let Some(max) = account.policy.max_keys {
                let live = accounts::live_keys(&transaction, new.account_id).await?;
                if live >= max {
                    return Err(CreateKeyError::KeyLimit { max });
                }
            }
            let key = insert(&transaction, now, new).await?;
            transaction.commit().await.map_err(StoreError::from)?;
            Ok(Issued { key, earlier: false })
        })
        .await
    }
}

/// Inserts a key with its first generation, and records it.
pub(in crate::store) async fn insert(
    transaction: &DatabaseTransaction,
    now: DateTime<Utc>,
    new: NewKey,
) -> Result<Key, StoreError> {
    let secret = NewSecret { prefix: new.prefix, digest: new.digest, pepper_version: new.pepper_version };
    let generation = generations::row_of(new.id, 1, &secret, now);
    let row = row_from_key(&Key {
        id: new.id,
        account_id: new.account_id,
        name: new.name,
        prefix: secret.prefix,
        disabled: false,
        scopes: new.scopes,
        toollist: new.toollist,
        tool_mode: new.tool_mode,
        own_limits: new.own_limits,
        created_at: now,
        created_by: storable_text(&new.by.name),
        last_used_at: None,
        expires_at: new.expires_at.map(storable_time),
        revoked_at: None,
        rotated_at: None,
        secrets: Vec::new(),
        revision: 1,
    });
    key::Entity::insert(row.clone().into_active_model().reset_all())
        .exec_without_returning(transaction)
        .await?;
    generations::insert(transaction, generation.clone()).await?;
    let revision = row.revision;
    let key = key_from_row(row, None, vec![generation])?;
    audit::note(transaction, now, &new.by, vec![Deed::on_key(Action::CreateKey, None, &key)]).await?;
    record(transaction, now, Entity::Key(new.id), revision).await?;
    Ok(key)
}
