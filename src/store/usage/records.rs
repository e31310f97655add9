//! The requests one by one: pages of them, one of them, and an end to the old ones.
//!
//! A page goes on after a place (time and id) and not after a number of rows: what is added meanwhile shifts
//! nothing, and a deep page costs what the first does.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    Select,
    sea_query::{Expr, Query},
};
use uuid::Uuid;

use super::UsageStore;
use crate::{
    domain::{
        key::{AccountId, KeyId},
        request_id::RequestId,
        usage::{Ended, Latency, Record, Routing, Saved, Tokens, ToolTally},
    },
    store::{
        database::bounded,
        entity::usage_record::{Column, Entity, Model},
        error::StoreError,
        migration::MIGRATION_LOCK,
        rows::{storable_text, storable_time},
    },
};

/// Held while old records are deleted: replicas that did it together would lock the same rows in different orders.
const FORGET_LOCK: i64 = MIGRATION_LOCK + 3;

/// Which requests are listed; `None` means any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// The key they came with.
    pub key_id: Option<KeyId>,
    /// The model they asked for.
    pub model: Option<String>,
    /// The HTTP status that the client was told.
    pub status: Option<u16>,
    /// The client's name for the conversation.
    pub session: Option<String>,
    /// The earliest beginning.
    pub since: Option<DateTime<Utc>>,
    /// The end of the time, exclusive.
    pub until: Option<DateTime<Utc>>,
}

/// A page of requests, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordPage {
    /// How many at most.
    pub size: u32,
    /// The last of the page before; `None` for the first.
    pub before: Option<(DateTime<Utc>, RequestId)>,
}

impl UsageStore {
    /// The account's requests that fit `filter`, newest first.
    pub async fn requests(
        &self,
        account: AccountId,
        filter: &RecordFilter,
        page: RecordPage,
    ) -> Result<Vec<Record>, StoreError> {
        let select = select(account, filter, page);
        bounded(async {
            let rows = select.all(self.database.reads()).await?;
            Ok(rows.into_iter().map(record_from_row).collect())
        })
        .await
    }

    /// One of the account's requests; `None` if it has no such one.
    pub async fn request(&self, account: AccountId, id: RequestId) -> Result<Option<Record>, StoreError> {
        let select = Entity::find()
            .filter(Column::Id.eq(Uuid::from_bytes(id.bytes())))
            .filter(Column::AccountId.eq(account.0));
        bounded(async { Ok(select.one(self.database.reads()).await?.map(record_from_row)) }).await
    }

    /// Deletes at most `at_most` records of requests that began before `before`, and says how many it deleted: 0
    /// when none is left, or another process is at it. The sums stay.
    pub async fn forget(&self, before: DateTime<Utc>, at_most: u32) -> Result<u64, StoreError> {
        let mut after = Uuid::nil();
        while let Some((account, oldest)) = self.next_account(after).await? {
            if oldest < before {
                return self.forget_of(account, before, at_most).await;
            }
            after = account;
        }
        Ok(0)
    }

    /// The first account after this one that has records, and when the oldest began: two steps into an index,
    /// however many records there are.
    async fn next_account(&self, after: Uuid) -> Result<Option<(Uuid, DateTime<Utc>)>, StoreError> {
        let select = Entity::find()
            .select_only()
            .columns([Column::AccountId, Column::At])
            .filter(Column::AccountId.gt(after))
            .order_by_asc(Column::AccountId)
            .order_by_asc(Column::At)
            .order_by_asc(Column::Id)
            .limit(1);
        bounded(async { Ok(select.into_tuple().one(self.database.reads()).await?) }).await
    }

    async fn forget_of(&self, account: Uuid, before: DateTime<Utc>, at_most: u32) -> Result<u64, StoreError> {
        let oldest = Query::select()
            .columns([Column::At, Column::Id])
            .from(Entity)
            .and_where(Column::AccountId.eq(account))
            .and_where(Column::At.lt(before))
            .order_by(Column::At, sea_orm::Order::Asc)
            .order_by(Column::Id, sea_orm::Order::Asc)
            .limit(u64::from(at_most))
            .take();
        let place = Expr::tuple([Column::At.into_expr(), Column::Id.into_expr()]);
        bounded(async {
            let transaction = self.database.begin().await?;
            if self.database.backend() == DbBackend::Postgres {
                let lock = format!("SELECT pg_try_advisory_xact_lock({FORGET_LOCK})");
                let had =
                    transaction.query_one_raw(sea_orm::Statement::from_string(DbBackend::Postgres, lock));
                if !had.await?.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(false) {
                    return Ok(0);
                }
            }
            let delete =
                Entity::delete_many().filter(Column::AccountId.eq(account)).filter(place.in_subquery(oldest));
            let deleted = delete.exec(&transaction).await?.rows_affected;
            transaction.commit().await?;
            Ok(deleted)
        })
        .await
    }
}

/// The account's requests that fit `filter`, newest first, of one page.
pub(in crate::store) fn select(
    account: AccountId,
    filter: &RecordFilter,
    page: RecordPage,
) -> Select<Entity> {
    let mut select = Entity::find().filter(Column::AccountId.eq(account.0));
    if let Some(KeyId(key)) = filter.key_id {
        select = select.filter(Column::KeyId.eq(key));
    }
    if let Some(model) = &filter.model {
        select = select.filter(Column::Model.eq(storable_text(model)));
    }
    if let Some(status) = filter.status {
        select = select.filter(Column::Status.eq(i32::from(status)));
    }
    if let Some(session) = &filter.session {
        select = select.filter(Column::Session.eq(storable_text(session)));
    }
    if let Some(since) = filter.since {
        select = select.filter(Column::At.gte(since));
    }
    if let Some(until) = filter.until {
        select = select.filter(Column::At.lt(until));
    }
    if let Some((at, id)) = page.before {
        let place = Expr::tuple([Column::At.into_expr(), Column::Id.into_expr()]);
        let last = Expr::tuple([Expr::val(storable_time(at)), Expr::val(Uuid::from_bytes(id.bytes()))]);
        select = select.filter(place.lt(last));
    }
    select.order_by_desc(Column::At).order_by_desc(Column::Id).limit(u64::from(page.size))
}

pub(super) fn row_from_record(record: &Record) -> Model {
    let text = |text: &Option<String>| text.as_deref().map(storable_text);
    let Record { tools, latency, tokens, saved, .. } = record;
    Model {
        account_id: record.account_id.0,
        at: storable_time(record.at),
        id: Uuid::from_bytes(record.id.bytes()),
        key_id: record.key_id.map(|key| key.0),
        generation: record.generation,
        policy_revision: record.policy_revision,
        session: text(&record.session),
        model: text(&record.model),
        upstream: text(&record.upstream),
        streamed: record.streamed,
        status: record.status.map(i32::from),
        ended: record.ended.as_str().to_owned(),
        total_us: latency.total_us,
        upstream_us: latency.upstream_us,
        own_us: latency.own_us,
        first_byte_us: latency.first_byte_us,
        tools_input: tools.input.into(),
        tools_denied: tools.denied.into(),
        tools_would_deny: tools.would_deny.into(),
        tools_output: tools.output.into(),
        tools_called: record.called.into(),
        recall_misses: record.recall_misses.into(),
        routing: record.routing.map(|routing| routing.as_str().to_owned()),
        prompt_tokens: tokens.prompt,
        completion_tokens: tokens.completion,
        cached_tokens: tokens.cached,
        tokens_saved_pruning: saved.pruning,
        tokens_saved_lists: saved.lists,
    }
}

fn record_from_row(row: Model) -> Record {
    let count = |stored: i64| u32::try_from(stored).unwrap_or(u32::MAX);
    Record {
        id: RequestId::from_bytes(row.id.into_bytes()),
        at: row.at,
        account_id: AccountId(row.account_id),
        key_id: row.key_id.map(KeyId),
        generation: row.generation,
        policy_revision: row.policy_revision,
        session: row.session,
        model: row.model,
        upstream: row.upstream,
        streamed: row.streamed,
        status: row.status.and_then(|status| u16::try_from(status).ok()),
        ended: Ended::from_stored(&row.ended),
        latency: Latency {
            total_us: row.total_us,
            upstream_us: row.upstream_us,
            own_us: row.own_us,
            first_byte_us: row.first_byte_us,
        },
        tools: ToolTally {
            input: count(row.tools_input),
            denied: count(row.tools_denied),
            would_deny: count(row.tools_would_deny),
            output: count(row.tools_output),
        },
        routing: row.routing.as_deref().and_then(Routing::from_word),
        called: count(row.tools_called),
        recall_misses: count(row.recall_misses),
        tokens: Tokens {
            prompt: row.prompt_tokens,
            completion: row.completion_tokens,
            cached: row.cached_tokens,
        },
        saved: Saved { pruning: row.tokens_saved_pruning, lists: row.tokens_saved_lists },
    }
}
