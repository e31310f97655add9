//! Giving a key a new secret: what the secrets before come to, the change and, where the call is to be made once, that
//! it was made, in one transaction.

use chrono::TimeDelta;

use crate::{
    domain::{
        audit::{Action, Actor, Deed},
        key::{AccountId, Key, KeyId},
    },
    store::{
        database::bounded,
        error::StoreError,
        keys::{
            KeyStore, by_caller,
            generations::{self, NewSecret},
            locked,
            once::{Claim, Issued, Once, claim},
            write,
        },
    },
};

/// A rotation to be made.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// The account that owns the key.
    pub account_id: AccountId,
    /// The key.
    pub id: KeyId,
    /// Who asks for it.
    pub by: Actor,
    /// The new secret.
    pub secret: NewSecret,
    /// For how long one of the secrets before goes on working.
    pub overlap: TimeDelta,
    /// How a repetition of the call is known.
    pub once: Option<Once>,
}

/// Why a key was not rotated.
#[derive(Debug, thiserror::Error)]
pub enum RotateKeyError<E> {
    /// The account has no such key.
    #[error("the account has no such key")]
    NotFound,
    /// The rotation was not allowed.
    #[error("the rotation was refused")]
    Refused(E),
    /// Another call was made under the same idempotency key.
    #[error("another call was made under this idempotency key")]
    Reused,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeyStore {
    /// Gives a key a new secret; everything else of it stays. `allowed` is handed the key, under a lock, and the one
    /// that asks for it, as both are in the same transaction. Whatever works of the secrets before is
    /// `domain::generation`'s to say.
    pub async fn rotate<E>(
        &self,
        rotation: Rotation,
        allowed: impl FnOnce(&Key, Option<&Key>) -> Result<(), E> + Send,
    ) -> Result<Issued, RotateKeyError<E>> {
        let Rotation { account_id: account, id, by, secret, overlap, once } = rotation;
        bounded(async {
            let transaction = self.database.begin().await?;
            let now = self.database.clock.now();
            match claim(&transaction, (account, id), once.as_ref(), now).await? {
                Claim::Ours => {}
                Claim::Earlier(key) => return Ok(Issued { key: *key, earlier: true }),
                Claim::Taken => return Err(RotateKeyError::Reused),
            }
            let mut key = locked(&transaction, account, id, now).await?.ok_or(RotateKeyError::NotFound)?;
            let caller = by_caller(&transaction, by.key_id, &key, now).await?;
            allowed(&key, caller.as_ref()).map_err(RotateKeyError::Refused)?;
            let before = key.clone();
            let replaced = generations::replace(&transaction, &mut key, (&secret, overlap), now).await;
            replaced.map_err(StoreError::from)?;
            key.revision += 1;
            let deed = Deed::on_key(Action::RotateKey, Some(&before), &key);
            write(transaction, now, &key, (&by, deed)).await?;
            Ok(Issued { key, earlier: false })
        })
        .await
    }
}
