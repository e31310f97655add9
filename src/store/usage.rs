//! Usage by day: sums of requests, tools and tokens of each key, added up in the database.
//!
//! A row is a key's UTC day, so that a month costs at most 31 rows a key to sum up, however many requests there
//! were. Rows are added to and never replaced, so that replicas share them. Figures of callers without a key (JWTs)
//! stand under the nil UUID, since a primary key holds no NULL.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, ExprTrait, FromQueryResult, IntoActiveModel, QueryFilter,
    QuerySelect,
    sea_query::{Alias, Expr, OnConflict},
};
use uuid::Uuid;

use crate::{
    domain::{
        key::{AccountId, KeyId},
        usage::{DayTotals, Totals},
    },
    store::{
        database::{Database, bounded},
        entity::usage_daily::{Column, Entity, Model},
        error::StoreError,
    },
};

/// Rows a statement: 500 of 11 values lie far below SQLite's 32,766 and PostgreSQL's 65,535 parameters.
const ROWS: usize = 500;

const FIGURES: [Column; 8] = [
    Column::Complete,
    Column::Client,
    Column::Upstream,
    Column::Error,
    Column::ToolsInput,
    Column::ToolsDenied,
    Column::ToolsOutput,
    Column::TokensSaved,
];

/// The sums.
#[derive(Debug, Clone)]
pub struct UsageStore {
    database: Database,
}

impl UsageStore {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Adds a batch: all of it or nothing.
    pub async fn add(&self, batch: &[DayTotals]) -> Result<(), StoreError> {
        let rows = merged(batch);
        if rows.is_empty() {
            return Ok(());
        }
        bounded(async {
            let transaction = self.database.begin().await?;
            for rows in rows.chunks(ROWS) {
                let rows = rows.iter().map(|row| row.clone().into_active_model().reset_all());
                Entity::insert_many(rows)
                    .on_conflict(added_up())
                    .exec_without_returning(&transaction)
                    .await?;
            }
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// The sums of an account, or of one of its keys, over the days from `from` and before `to_exclusive`; zeroes if
    /// there were none.
    pub async fn totals(
        &self,
        account: AccountId,
        key: Option<KeyId>,
        from: NaiveDate,
        to_exclusive: NaiveDate,
    ) -> Result<Totals, StoreError> {
        let mut select = Entity::find()
            .select_only()
            .filter(Column::AccountId.eq(account.0))
            .filter(Column::Day.gte(from))
            .filter(Column::Day.lt(to_exclusive));
        if let Some(KeyId(key)) = key {
            select = select.filter(Column::KeyId.eq(key));
        }
        for column in FIGURES {
            // PostgreSQL sums bigints up to a numeric, and no rows to NULL.
            let sum = Expr::expr(column.into_expr().sum().if_null(0)).cast_as(Alias::new("bigint"));
            select = select.expr_as(sum, sea_orm::IdenStatic::as_str(&column));
        }
        bounded(async {
            let sums = select.into_model::<Sums>().one(self.database.reads()).await?;
            Ok(sums.map(Totals::from).unwrap_or_default())
        })
        .await
    }
}

#[derive(Debug, FromQueryResult)]
struct Sums {
    complete: i64,
    client: i64,
    upstream: i64,
    error: i64,
    tools_input: i64,
    tools_denied: i64,
    tools_output: i64,
    tokens_saved: i64,
}

impl From<Sums> for Totals {
    fn from(sums: Sums) -> Self {
        Self {
            complete: sums.complete,
            client: sums.client,
            upstream: sums.upstream,
            error: sums.error,
            tools_input: sums.tools_input,
            tools_denied: sums.tools_denied,
            tools_output: sums.tools_output,
            tokens_saved: sums.tokens_saved,
        }
    }
}

/// One row for each key and day, in the order of the primary key: a statement must not meet a row twice, and
/// writers that lock rows in one order never wait for each other in a circle.
fn merged(batch: &[DayTotals]) -> Vec<Model> {
    let mut rows: BTreeMap<(Uuid, Uuid, NaiveDate), Totals> = BTreeMap::new();
    for usage in batch {
        let key = usage.key_id.map_or(Uuid::nil(), |key| key.0);
        *rows.entry((usage.account_id.0, key, usage.day)).or_default() += usage.totals;
    }
    let row = |((account_id, key_id, day), sums): ((Uuid, Uuid, NaiveDate), Totals)| Model {
        account_id,
        key_id,
        day,
        complete: sums.complete,
        client: sums.client,
        upstream: sums.upstream,
        error: sums.error,
        tools_input: sums.tools_input,
        tools_denied: sums.tools_denied,
        tools_output: sums.tools_output,
        tokens_saved: sums.tokens_saved,
    };
    rows.into_iter().map(row).collect()
}

fn added_up() -> OnConflict {
    let mut conflict = OnConflict::columns([Column::AccountId, Column::KeyId, Column::Day]);
    for column in FIGURES {
        let there = Expr::col((Entity, column));
        conflict.value(column, there.add(Expr::col((Alias::new("excluded"), column))));
    }
    conflict
}
