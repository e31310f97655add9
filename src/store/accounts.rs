//! Accounts and their policies.
//!
//! An account is made together with its policy, and read with it in one statement: nothing above ever sees one
//! without the other. A change of the policy bumps the policy's revision, which stands for the account's in the
//! change log.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait,
    IntoActiveModel, QueryFilter, QueryOrder, QuerySelect, Select, SelectTwo, SqlErr, sea_query::Query,
};
use uuid::Uuid;

use crate::{
    domain::{
        audit::{Actor, Deed},
        key::{AccountId, KeyId},
        policy::{Account, Policy, PolicyValues},
    },
    store::{
        audit,
        changes::{Entity, record},
        database::{Database, bounded},
        entity::{account, key, policy},
        error::StoreError,
        rows::{account_from_rows, row_from_policy},
    },
};

/// Why an account was not made.
#[derive(Debug, thiserror::Error)]
pub enum CreateAccountError {
    /// Another account has the name.
    #[error("another account has this name")]
    NameTaken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a policy was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateAccountError<E> {
    /// There is no such account.
    #[error("there is no such account")]
    NotFound,
    /// The change refused what it found.
    #[error("the change was refused")]
    Refused(E),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The accounts.
#[derive(Debug, Clone)]
pub struct AccountStore {
    database: Database,
}

impl AccountStore {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Makes an account. Names are compared as they are.
    pub async fn create(
        &self,
        actor: &Actor,
        id: AccountId,
        name: &str,
        policy: PolicyValues,
    ) -> Result<Account, CreateAccountError> {
        bounded(async {
            let transaction = self.database.begin().await?;
            let inserted = insert(&transaction, self.database.clock.now(), actor, (id, name, policy)).await;
            let account = inserted.map_err(|error| match error.sql_err() {
                Some(SqlErr::UniqueConstraintViolation(_)) => CreateAccountError::NameTaken,
                _ => StoreError::from(error).into(),
            })?;
            transaction.commit().await.map_err(StoreError::from)?;
            Ok(account)
        })
        .await
    }

    /// The account with this id.
    pub async fn find(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.one(account::Entity::find_by_id(id.0)).await
    }

    /// The account with exactly this name.
    pub async fn find_by_name(&self, name: &str) -> Result<Option<Account>, StoreError> {
        // No stored name holds one, and PostgreSQL refuses to look for it.
        if name.contains('\0') {
            return Ok(None);
        }
        self.one(account::Entity::find().filter(account::Column::Name.eq(name))).await
    }

    /// At most `size` accounts, newest first, those made before `before`. A caller that wants to know whether
    /// there is a next page asks for one more than it shows.
    pub async fn list(&self, size: u32, before: Option<AccountId>) -> Result<Vec<Account>, StoreError> {
        let mut select = account::Entity::find();
        if let Some(AccountId(before)) = before {
            select = select.filter(account::Column::Id.lt(before));
        }
        let select = select.order_by_desc(account::Column::Id).limit(u64::from(size));
        let rows =
            bounded(async { Ok::<_, StoreError>(with_policy(select).all(self.database.reads()).await?) });
        rows.await?.into_iter().map(joined).collect()
    }

    /// Changes the policy of an account: `change` is handed the values as they are, under a lock, and is not
    /// called again. Values that stay equal write nothing and keep the revision.
    pub async fn update_policy<E>(
        &self,
        actor: &Actor,
        id: AccountId,
        change: impl FnOnce(&mut PolicyValues) -> Result<(), E> + Send,
    ) -> Result<Account, UpdateAccountError<E>> {
        bounded(async {
            let transaction = self.database.begin().await?;
            let account = locked(&transaction, id).await?.ok_or(UpdateAccountError::NotFound)?;
            let mut values = account.policy.values;
            change(&mut values).map_err(UpdateAccountError::Refused)?;
            if values == account.policy.values {
                return Ok(account);
            }
            let now = self.database.clock.now();
            let policy = Policy { values, revision: account.policy.revision + 1, updated_at: now };
            let deed = Deed::policy_changed(id, &account.policy.values, &values);
            write_policy(transaction, (id, &policy), (actor, deed)).await?;
            Ok(Account { policy, ..account })
        })
        .await
    }

    /// Whether there is an account.
    pub async fn any(&self) -> Result<bool, StoreError> {
        bounded(async {
            let first = account::Entity::find().select_only().column(account::Column::Id);
            Ok(first.into_tuple::<uuid::Uuid>().one(self.database.reads()).await?.is_some())
        })
        .await
    }

    async fn one(&self, select: Select<account::Entity>) -> Result<Option<Account>, StoreError> {
        bounded(async {
            let row = with_policy(select).one(self.database.reads()).await?;
            row.map(joined).transpose()
        })
        .await
    }
}

/// Inserts an account with its policy, and records it.
pub(super) async fn insert(
    transaction: &DatabaseTransaction,
    now: DateTime<Utc>,
    actor: &Actor,
    (id, name, values): (AccountId, &str, PolicyValues),
) -> Result<Account, DbErr> {
    let account = account::Model { id: id.0, name: name.to_owned(), created_at: now };
    let policy = row_from_policy(id, &Policy { values, revision: 1, updated_at: now });
    account::Entity::insert(account.clone().into_active_model().reset_all())
        .exec_without_returning(transaction)
        .await?;
    policy::Entity::insert(policy.clone().into_active_model().reset_all())
        .exec_without_returning(transaction)
        .await?;
    audit::note(transaction, now, actor, vec![Deed::account_made(id, name, &values)]).await?;
    record(transaction, now, Entity::Account(id), policy.revision).await?;
    Ok(account_from_rows(account, policy))
}

/// The account, with its policy locked until the transaction ends.
pub(super) async fn locked(
    transaction: &DatabaseTransaction,
    id: AccountId,
) -> Result<Option<Account>, StoreError> {
    let Some(policy) = policy::Entity::find_by_id(id.0).lock_exclusive().one(transaction).await? else {
        return Ok(None);
    };
    let account = account::Entity::find_by_id(id.0).one(transaction).await?;
    Ok(account.map(|account| account_from_rows(account, policy)))
}

/// How many keys of an account are not revoked. Triggers keep it (`m0007`); it is exact while the policy is locked.
pub(super) async fn live_keys(transaction: &DatabaseTransaction, id: AccountId) -> Result<i64, StoreError> {
    let select = Query::select()
        .column("live_keys")
        .from(policy::Entity)
        .and_where(policy::Column::AccountId.into_expr().eq(id.0))
        .take();
    let row = transaction.query_one(&select).await?;
    let row = row.ok_or_else(|| StoreError::corrupt(format!("account {id}"), "its policy is missing"))?;
    Ok(row.try_get_by_index(0)?)
}

/// Locks the policy of the account that owns a key. To be called before a key's `revoked_at` changes, which changes the
/// count there: whoever ends many keys locks the policy first, and two who did it in different orders would wait for each
/// other. Nothing else of the account or the key is read, so that nothing that is broken keeps a key from being ended.
pub(super) async fn lock_owner(transaction: &DatabaseTransaction, key: KeyId) -> Result<(), StoreError> {
    let owner = Query::select()
        .column(key::Column::AccountId)
        .from(key::Entity)
        .and_where(key::Column::Id.into_expr().eq(key.0))
        .take();
    policy::Entity::find()
        .select_only()
        .column(policy::Column::AccountId)
        .filter(policy::Column::AccountId.in_subquery(owner))
        .lock_exclusive()
        .into_tuple::<Uuid>()
        .all(transaction)
        .await?;
    Ok(())
}

async fn write_policy(
    transaction: DatabaseTransaction,
    (id, policy): (AccountId, &Policy),
    (actor, deed): (&Actor, Deed),
) -> Result<(), StoreError> {
    policy::Entity::update_many()
        .set(row_from_policy(id, policy).into_active_model().reset_all())
        .filter(policy::Column::AccountId.eq(id.0))
        .exec(&transaction)
        .await?;
    audit::note(&transaction, policy.updated_at, actor, vec![deed]).await?;
    record(&transaction, policy.updated_at, Entity::Account(id), policy.revision).await?;
    Ok(transaction.commit().await?)
}

fn with_policy(select: Select<account::Entity>) -> SelectTwo<account::Entity, policy::Entity> {
    select.find_also_related(policy::Entity)
}

fn joined((account, policy): (account::Model, Option<policy::Model>)) -> Result<Account, StoreError> {
    match policy {
        Some(policy) => Ok(account_from_rows(account, policy)),
        None => Err(StoreError::corrupt(format!("account {}", account.id), "it has no policy")),
    }
}
