//! From rows to the types of `domain` and back.
//!
//! Rows are read with distrust: they may have been written by a newer version, or by hand. An unknown mode is the
//! strictest, an unknown scope grants nothing, and a list that does not validate is an error that names the key,
//! since both of its possible readings (no list, an empty one) are wrong for somebody. Of a revoked key it is nothing.

use chrono::{DateTime, Utc};
use sea_orm::{
    EntityTrait, ExprTrait, FromQueryResult, QuerySelect, Select,
    sea_query::{Expr, Query},
};
use uuid::Uuid;

use crate::{
    domain::{
        generation::LivingSecret,
        key::{AccountId, Key, KeyId, Scope, Scopes, ToolMode},
        limits::OwnLimits,
        policy::{Account, Policy, PolicyValues, PruneMode},
        toollist::Toollist,
    },
    store::{
        entity::{account, key, key_generation, policy},
        error::StoreError,
    },
};

/// A key as it is selected: its row, and when any of its generations was last used.
#[derive(Debug, FromQueryResult)]
pub(super) struct KeyRow {
    #[sea_orm(nested)]
    row: key::Model,
    last_used_at: Option<DateTime<Utc>>,
}

impl KeyRow {
    /// What selects them.
    pub(super) fn select() -> Select<key::Entity> {
        key::Entity::find().expr_as(last_used_at(), "last_used_at")
    }

    /// The key's id.
    pub(super) fn id(&self) -> Uuid {
        self.row.id
    }

    /// The key, with its secrets that work, newest first; or why it cannot be read.
    pub(super) fn into_key(self, secrets: Vec<key_generation::Model>) -> Result<Key, StoreError> {
        key_from_row(self.row, self.last_used_at, secrets)
    }
}

/// When the key of the row was last used: the latest of its generations.
pub(super) fn last_used_at() -> Expr {
    let latest = Query::select()
        .expr(Expr::col((key_generation::Entity, key_generation::Column::LastUsedAt)).max())
        .from(key_generation::Entity)
        .and_where(
            Expr::col((key_generation::Entity, key_generation::Column::KeyId))
                .equals((key::Entity, key::Column::Id)),
        )
        .take();
    Expr::SubQuery(None, Box::new(latest.into()))
}

/// A key from its row and those of its secrets that work, newest first.
pub(super) fn key_from_row(
    row: key::Model,
    last_used_at: Option<DateTime<Utc>>,
    secrets: Vec<key_generation::Model>,
) -> Result<Key, StoreError> {
    let (toollist, scopes) = match rights(&row) {
        Ok(rights) => rights,
        // Its holder is to learn that it is revoked, and not that Orqen failed.
        Err(_) if row.revoked_at.is_some() => (Toollist::nothing(), Scopes::default()),
        Err(source) => return Err(StoreError::corrupt(format!("key {}", row.id), source)),
    };
    Ok(Key {
        secrets: living_secrets(secrets, &row.prefix),
        id: KeyId(row.id),
        account_id: AccountId(row.account_id),
        name: row.name,
        prefix: row.prefix,
        disabled: row.disabled,
        scopes,
        toollist,
        tool_mode: ToolMode::from_stored(&row.tool_mode),
        own_limits: OwnLimits {
            rate_limit_rpm: row.rate_limit_rpm,
            daily_token_budget: row.daily_token_budget,
            weekly_token_budget: row.weekly_token_budget,
            k_target_override: row.k_target_override,
        },
        created_at: row.created_at,
        created_by: row.created_by,
        last_used_at,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        rotated_at: row.rotated_at,
        revision: row.revision,
    })
}

/// What the key of a row may do.
fn rights(row: &key::Model) -> Result<(Toollist, Scopes), crate::store::Source> {
    let list = |text: &Option<String>| text.as_deref().map(serde_json::from_str::<Vec<String>>).transpose();
    let toollist = Toollist::new(list(&row.allowed_tools)?, list(&row.denied_tools)?)?;
    let scopes: Vec<String> = serde_json::from_str(&row.scopes)?;
    Ok((toollist, scopes.iter().filter_map(|word| Scope::from_word(word)).collect()))
}

/// The secrets of a key from their rows. One that a binary of an earlier version made has no prefix of its own: it is
/// the newest, whose prefix is the key's.
pub(super) fn living_secrets(rows: Vec<key_generation::Model>, prefix: &str) -> Vec<LivingSecret> {
    let secret = |row: key_generation::Model| LivingSecret {
        number: row.generation,
        prefix: row.prefix.unwrap_or_else(|| prefix.to_owned()),
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    };
    rows.into_iter().map(secret).collect()
}

/// The row of a key.
pub(super) fn row_from_key(key: &Key) -> key::Model {
    key::Model {
        id: key.id.0,
        account_id: key.account_id.0,
        name: key.name.clone(),
        prefix: key.prefix.clone(),
        disabled: key.disabled,
        scopes: scope_words(key.scopes),
        allowed_tools: key.toollist.allowed().map(entries),
        denied_tools: key.toollist.denied().map(entries),
        tool_mode: key.tool_mode.as_str().to_owned(),
        rate_limit_rpm: key.own_limits.rate_limit_rpm,
        daily_token_budget: key.own_limits.daily_token_budget,
        weekly_token_budget: key.own_limits.weekly_token_budget,
        k_target_override: key.own_limits.k_target_override,
        created_at: key.created_at,
        created_by: key.created_by.clone(),
        expires_at: key.expires_at,
        revoked_at: key.revoked_at,
        rotated_at: key.rotated_at,
        revision: key.revision,
    }
}

/// An account from its two rows.
pub(super) fn account_from_rows(account: account::Model, policy: policy::Model) -> Account {
    Account {
        id: AccountId(account.id),
        name: account.name,
        created_at: account.created_at,
        policy: Policy {
            values: PolicyValues {
                requests_per_minute: policy.requests_per_minute,
                concurrent_requests: policy.concurrent_requests,
                daily_token_budget: policy.daily_token_budget,
                weekly_token_budget: policy.weekly_token_budget,
                tool_window: policy.tool_window,
                max_keys: policy.max_keys,
                // A word of a newer version leaves it to the configuration.
                prune_mode: policy.prune_mode.as_deref().and_then(PruneMode::from_word),
                account_requests_per_minute: policy.account_requests_per_minute,
                account_concurrent_requests: policy.account_concurrent_requests,
                account_daily_token_budget: policy.account_daily_token_budget,
                account_weekly_token_budget: policy.account_weekly_token_budget,
            },
            revision: policy.revision,
            updated_at: policy.updated_at,
        },
    }
}

/// The row of an account's policy.
pub(super) fn row_from_policy(account: AccountId, policy: &Policy) -> policy::Model {
    let values = policy.values;
    policy::Model {
        account_id: account.0,
        requests_per_minute: values.requests_per_minute,
        concurrent_requests: values.concurrent_requests,
        daily_token_budget: values.daily_token_budget,
        weekly_token_budget: values.weekly_token_budget,
        tool_window: values.tool_window,
        max_keys: values.max_keys,
        prune_mode: values.prune_mode.map(|mode| mode.as_str().to_owned()),
        revision: policy.revision,
        updated_at: policy.updated_at,
        account_requests_per_minute: values.account_requests_per_minute,
        account_concurrent_requests: values.account_concurrent_requests,
        account_daily_token_budget: values.account_daily_token_budget,
        account_weekly_token_budget: values.account_weekly_token_budget,
    }
}

/// A time as both databases keep it: what is finer than a microsecond is cut off before it is written, so that
/// what a write returns is what the next read returns.
pub(super) fn storable_time(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(time.timestamp_micros()).unwrap_or(time)
}

/// A text as both databases keep it: PostgreSQL refuses U+0000.
pub(super) fn storable_text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn scope_words(scopes: Scopes) -> String {
    let words: Vec<&str> = scopes.iter().map(Scope::as_str).collect();
    serde_json::to_string(&words).expect("a list of words is JSON")
}

fn entries(list: &[String]) -> String {
    serde_json::to_string(list).expect("a list of texts is JSON")
}
