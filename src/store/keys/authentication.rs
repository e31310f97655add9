//! Keys by their secret: what authentication asks, and what it reports back.
//!
//! One statement finds a key, its account and its policy by the digests that a secret may be stored under. The
//! times of use come back in batches; they are no change of the key: no revision, no entry in the change log.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, FromQueryResult,
    Iterable, JoinType, QueryFilter, QueryOrder, QueryResult, QuerySelect, RelationTrait, Select, Value,
    sea_query::Expr,
};

use crate::{
    domain::{
        key::{Generation, Key, KeyId},
        policy::Account,
        secret::SecretDigest,
    },
    store::{
        bulk,
        database::bounded,
        entity::{account, key, key_generation, policy},
        error::StoreError,
        keys::{KeyStore, generations::works},
        migration::MIGRATION_LOCK,
        rows::{account_from_rows, key_from_row, last_used_at, storable_time},
    },
};

/// Held while times of use are written, so that two replicas that write the same keys do not lock their rows in
/// different orders.
const TOUCH_LOCK: i64 = MIGRATION_LOCK + 2;

/// What a secret opens.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyBySecret {
    /// The key.
    pub key: Key,
    /// Its account.
    pub account: Account,
    /// The digest that the secret is stored under.
    pub digest: SecretDigest,
    /// Which of the key's secrets it is.
    pub generation: Generation,
}

impl KeyStore {
    /// The key that one of the digests belongs to. A generation that has run out is not found; a key that is
    /// disabled, expired or revoked is: its holder may learn that.
    pub async fn by_digest(&self, candidates: &[SecretDigest]) -> Result<Option<KeyBySecret>, StoreError> {
        let digests = candidates.iter().map(|digest| digest.0.to_vec());
        let now = self.database.clock.now();
        // Itself and, while a rotation's overlap lasts, the other: a key is always known with all of its secrets that
        // work, and here in the same statement.
        let secrets = key_generation::Entity::belongs_to(key_generation::Entity)
            .from(key_generation::Column::KeyId)
            .to(key_generation::Column::KeyId)
            .into();
        let select = key_generation::Entity::find()
            .select_only()
            .column_as(key_generation::Column::Digest, "digest")
            .column_as(key_generation::Column::Generation, "generation")
            .expr_as(last_used_at(), "last_used_at")
            .join(JoinType::InnerJoin, key_generation::Relation::Key.def())
            .join(JoinType::InnerJoin, key::Relation::Account.def())
            .join(JoinType::InnerJoin, key::Relation::Policy.def())
            .join_as(JoinType::InnerJoin, secrets, SECRET)
            .filter(key_generation::Column::Digest.is_in(digests))
            .filter(works(Expr::col((key_generation::Entity, key_generation::Column::ExpiresAt)), now))
            .filter(works(Expr::col((SECRET, key_generation::Column::ExpiresAt)), now))
            .order_by_desc(Expr::col((SECRET, key_generation::Column::Generation)));
        let select = key_generation::Column::iter().fold(select, |select, column| {
            let name = format!("secret_{}", sea_orm::IdenStatic::as_str(&column));
            select.expr_as(Expr::col((SECRET, column)), name)
        });
        let select = with_columns::<key::Entity>(select, "key_");
        let select = with_columns::<account::Entity>(select, "account_");
        let select = with_columns::<policy::Entity>(select, "policy_");
        bounded(async {
            let found = select.into_model::<Found>().all(self.database.reads()).await?;
            Found::into_key(found).transpose()
        })
        .await
    }

    /// Notes when secrets were last used. A time before the one that is there is passed over: replicas report in any
    /// order.
    pub async fn touch(&self, used: &[(Generation, DateTime<Utc>)]) -> Result<(), StoreError> {
        if used.is_empty() {
            return Ok(());
        }
        bounded(async {
            let transaction = self.database.begin().await?;
            touch(&transaction, used).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

/// `KeyStore::touch`, as the last thing of a transaction: the lock that it takes is held until the commit.
pub(in crate::store) async fn touch(
    transaction: &DatabaseTransaction,
    used: &[(Generation, DateTime<Utc>)],
) -> Result<(), DbErr> {
    let mut latest: BTreeMap<Generation, DateTime<Utc>> = BTreeMap::new();
    for (generation, at) in used {
        let at = storable_time(*at);
        latest.entry(*generation).and_modify(|known| *known = at.max(*known)).or_insert(at);
    }
    if !latest.is_empty() {
        hold_touches(transaction).await?;
    }
    let rows = latest
        .into_iter()
        .map(|(Generation { key_id, number }, at)| [key_id.0.into(), number.into(), Value::from(at)]);
    bulk::execute(transaction, TOUCH, rows).await
}

/// Keeps others from writing times of use until the transaction ends: they lock the secrets of many keys, in any order,
/// and so would wait in a circle with whoever locks two.
pub(super) async fn hold_touches(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    if transaction.get_database_backend() == DbBackend::Postgres {
        let lock = format!("SELECT pg_advisory_xact_lock({TOUCH_LOCK})");
        transaction.execute_unprepared(&lock).await?;
    }
    Ok(())
}

/// Written out, since no builder knows an update from a list of values that both databases take.
const TOUCH: (&str, &str) = (
    "WITH used (key_id, generation, at) AS (VALUES",
    ") UPDATE key_generation SET last_used_at = used.at FROM used \
     WHERE key_generation.key_id = used.key_id AND key_generation.generation = used.generation \
     AND (key_generation.last_used_at IS NULL OR key_generation.last_used_at < used.at)",
);

/// The secrets of the key that a secret belongs to.
const SECRET: &str = "secret";

/// A row of `by_digest`: one for each secret of the key that works. Each table but the first is under a prefix, since
/// they share names.
struct Found {
    digest: Vec<u8>,
    generation: i32,
    last_used_at: Option<DateTime<Utc>>,
    key: key::Model,
    account: account::Model,
    policy: policy::Model,
    secret: key_generation::Model,
}

impl FromQueryResult for Found {
    fn from_query_result(row: &QueryResult, _prefix: &str) -> Result<Self, DbErr> {
        Ok(Self {
            digest: row.try_get("", "digest")?,
            generation: row.try_get("", "generation")?,
            last_used_at: row.try_get("", "last_used_at")?,
            key: key::Model::from_query_result(row, "key_")?,
            account: account::Model::from_query_result(row, "account_")?,
            policy: policy::Model::from_query_result(row, "policy_")?,
            secret: key_generation::Model::from_query_result(row, "secret_")?,
        })
    }
}

impl Found {
    fn into_key(rows: Vec<Self>) -> Option<Result<KeyBySecret, StoreError>> {
        let mut rows = rows.into_iter();
        let first = rows.next()?;
        let secrets = [first.secret].into_iter().chain(rows.map(|row| row.secret)).collect();
        let Ok(digest) = first.digest.try_into() else {
            let what = format!("key {}", first.key.id);
            return Some(Err(StoreError::corrupt(what, "a digest is not 32 bytes long")));
        };
        let generation = Generation { key_id: KeyId(first.key.id), number: first.generation };
        let account = account_from_rows(first.account, first.policy);
        let key = key_from_row(first.key, first.last_used_at, secrets);
        Some(key.map(|key| KeyBySecret { key, account, digest: SecretDigest(digest), generation }))
    }
}

fn with_columns<E: EntityTrait>(
    select: Select<key_generation::Entity>,
    prefix: &str,
) -> Select<key_generation::Entity> {
    E::Column::iter().fold(select, |select, column| {
        let name = format!("{prefix}{}", sea_orm::IdenStatic::as_str(&column));
        select.expr_as(Expr::col((E::default(), column)), name)
    })
}
