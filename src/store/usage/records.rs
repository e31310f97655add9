//! The requests one by one: what is written of each and read back, one of them, and an end to the old ones. Pages
//! of them are in `search`.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    Value,
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

impl UsageStore {
    /// One of the account's requests; `None` if it has no such one.
    pub async fn request(&self, account: AccountId, id: RequestId) -> Result<Option<Record>, StoreError> {
        let mut select = Entity::find()
            .filter(Column::Id.eq(Uuid::from_bytes(id.bytes())))
            .filter(Column::AccountId.eq(account.0));
        if self.database.backend() == DbBackend::Sqlite {
            let Some((from, to)) = id.made_at().and_then(begun_about) else { return Ok(None) };
            // In the order of time: the search ends at the record, which is among the first.
            select = select
                .filter(Column::At.gte(from))
                .filter(Column::At.lt(to))
                .order_by_asc(Column::At)
                .order_by_asc(Column::Id)
                .limit(1);
        }
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

/// Between which times the record of a request begins whose id is made at this one: a body may take a while to come,
/// and the clock may have been set back meanwhile.
fn begun_about(made: DateTime<Utc>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let from = made.checked_sub_signed(CLOCK_STEP)?;
    let to = made.checked_add_signed(BODY)?;
    (from.year() >= 1 && to.year() <= 9999).then_some((from, to))
}

/// How far a clock may step back between a request's id and its record.
const CLOCK_STEP: TimeDelta = TimeDelta::seconds(1);
/// How long a body may take to come: the most that `limits.body_timeout` takes.
const BODY: TimeDelta = TimeDelta::hours(1);

/// A column, and what of a record goes into it.
type Written = (Column, fn(&Record) -> Value);

/// What is written of every record, place by place.
pub(super) const PLACES: [Written; 19] = [
    (Column::AccountId, |record| record.account_id.0.into()),
    (Column::At, |record| storable_time(record.at).into()),
    (Column::Id, |record| Uuid::from_bytes(record.id.bytes()).into()),
    (Column::KeyId, |record| record.key_id.map(|key| key.0).into()),
    (Column::Generation, |record| record.generation.into()),
    (Column::PolicyRevision, |record| record.policy_revision.into()),
    (Column::Session, |record| text(record.session.as_deref())),
    (Column::Model, |record| text(record.model.as_deref())),
    (Column::Upstream, |record| text(record.upstream.as_deref())),
    (Column::Streamed, |record| record.streamed.into()),
    (Column::Status, |record| record.status.map(i32::from).into()),
    (Column::Ended, |record| record.ended.as_str().into()),
    (Column::TotalUs, |record| record.latency.total_us.into()),
    (Column::UpstreamUs, |record| record.latency.upstream_us.into()),
    (Column::OwnUs, |record| record.latency.own_us.into()),
    (Column::FirstByteUs, |record| record.latency.first_byte_us.into()),
    (Column::PromptTokens, |record| record.tokens.prompt.into()),
    (Column::CompletionTokens, |record| record.tokens.completion.into()),
    (Column::CachedTokens, |record| record.tokens.cached.into()),
];

/// What is written beside it of one with tools; and as what it stands in the statement of those without, which is a third
/// fewer values to hand over.
pub(super) const OF_TOOLS: [(Written, &str); 9] = [
    ((Column::ToolsInput, |record| i64::from(record.tools.input).into()), "0"),
    ((Column::ToolsDenied, |record| i64::from(record.tools.denied).into()), "0"),
    ((Column::ToolsWouldDeny, |record| i64::from(record.tools.would_deny).into()), "0"),
    ((Column::ToolsOutput, |record| i64::from(record.tools.output).into()), "0"),
    ((Column::ToolsCalled, |record| i64::from(record.called).into()), "0"),
    ((Column::RecallMisses, |record| i64::from(record.recall_misses).into()), "0"),
    ((Column::Routing, |record| record.routing.map(Routing::as_str).into()), "NULL"),
    ((Column::TokensSavedPruning, |record| record.saved.pruning.into()), "0"),
    ((Column::TokensSavedLists, |record| record.saved.lists.into()), "0"),
];

/// Whether a record has any of it.
pub(super) fn has_tools(record: &Record) -> bool {
    let nothing = record.tools == ToolTally::default()
        && (record.called, record.recall_misses, record.routing) == (0, 0, None)
        && record.saved == Saved::default();
    !nothing
}

fn text(text: Option<&str>) -> Value {
    text.map(storable_text).into()
}

pub(super) fn record_from_row(row: Model) -> Record {
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
        upstream: row.upstream.map(Into::into),
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
