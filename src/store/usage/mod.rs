//! Usage: a row for each request, and by day the sums of each key, added up in the database.
//!
//! A row of sums is a key's UTC day, so that a month costs at most 31 rows a key to sum up, however many requests
//! there were. Rows are added to and never replaced, so that replicas share them. Figures of callers without a
//! key (JWTs) stand under the nil UUID, since a primary key holds no NULL. Writing is in `writing`, the single
//! requests in `records`, lists of them in `search`.

use std::collections::HashMap;

use chrono::NaiveDate;
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QueryOrder, QueryResult,
    QuerySelect, Select,
    sea_query::{Alias, Expr},
};
use uuid::Uuid;

use crate::{
    domain::{
        key::{AccountId, KeyId},
        usage::Totals,
    },
    store::{
        database::{Database, bounded},
        entity::{
            key,
            usage_daily::{Column, Entity},
        },
        error::StoreError,
    },
};

mod records;
pub(super) mod search;
mod writing;

pub use search::{Found, RecordFilter, RecordPage};

/// The columns of the figures, in the order of `Totals::NAMES`.
const FIGURES: [Column; Totals::NAMES.len()] = [
    Column::Complete,
    Column::Client,
    Column::Upstream,
    Column::Error,
    Column::ToolsInput,
    Column::ToolsDenied,
    Column::ToolsWouldDeny,
    Column::ToolsOutput,
    Column::ToolsCalled,
    Column::RecallMisses,
    Column::PromptTokens,
    Column::CompletionTokens,
    Column::CachedTokens,
    Column::TokensSaved,
    Column::TokensSavedPruning,
    Column::TokensSavedLists,
];

/// The records and their sums.
#[derive(Debug, Clone)]
pub struct UsageStore {
    database: Database,
}

/// Whose requests of an account are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// Everybody's.
    Account,
    /// Those that came with this key.
    Key(KeyId),
    /// Those that came without a key: with JWTs.
    NoKey,
}

/// The sums of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTotals {
    /// The key; `None` for JWTs.
    pub key_id: Option<KeyId>,
    /// Its name.
    pub name: Option<String>,
    /// The sums.
    pub totals: Totals,
}

impl UsageStore {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The sums of an account, or of a part of it, over the days from `from` and before `to_exclusive`; zeroes if there
    /// were none.
    pub async fn totals(
        &self,
        account: AccountId,
        of: Of,
        from: NaiveDate,
        to_exclusive: NaiveDate,
    ) -> Result<Totals, StoreError> {
        let mut select = summed(account, from, to_exclusive);
        let key = match of {
            Of::Account => None,
            Of::Key(key) => Some(Some(key)),
            Of::NoKey => Some(None),
        };
        if let Some(key) = key {
            select = select.filter(Column::KeyId.eq(stored_key(key)));
        }
        bounded(async {
            let sums = select.into_model::<Sums>().one(self.database.reads()).await?;
            Ok(sums.map(|Sums(totals)| totals).unwrap_or_default())
        })
        .await
    }

    /// The sums of an account by day, over the days from `from` and before `to_exclusive`, oldest first; days
    /// without a request are left out.
    pub async fn daily(
        &self,
        account: AccountId,
        from: NaiveDate,
        to_exclusive: NaiveDate,
    ) -> Result<Vec<(NaiveDate, Totals)>, StoreError> {
        let select = summed(account, from, to_exclusive)
            .column(Column::Day)
            .group_by(Column::Day)
            .order_by_asc(Column::Day);
        bounded(async {
            let days = select.into_model::<OfDay>().all(self.database.reads()).await?;
            Ok(days.into_iter().map(|OfDay(day, totals)| (day, totals)).collect())
        })
        .await
    }

    /// The sums of an account by key over `days` (the second exclusive), newest key first and JWTs last, from after
    /// `last` on; at most `size`.
    pub async fn by_key(
        &self,
        account: AccountId,
        (from, to_exclusive): (NaiveDate, NaiveDate),
        last: Option<Option<KeyId>>,
        size: u32,
    ) -> Result<Vec<KeyTotals>, StoreError> {
        let mut select = summed(account, from, to_exclusive)
            .column(Column::KeyId)
            .group_by(Column::KeyId)
            .order_by_desc(Column::KeyId)
            .limit(u64::from(size));
        if let Some(last) = last {
            select = select.filter(Column::KeyId.lt(stored_key(last)));
        }
        bounded(async {
            let rows = select.into_model::<OfKey>().all(self.database.reads()).await?;
            let ids = rows.iter().map(|OfKey(id, _)| *id).filter(|id| !id.is_nil());
            let names: Vec<(Uuid, String)> = key::Entity::find()
                .select_only()
                .columns([key::Column::Id, key::Column::Name])
                .filter(key::Column::AccountId.eq(account.0))
                .filter(key::Column::Id.is_in(ids))
                .into_tuple()
                .all(self.database.reads())
                .await?;
            let mut names: HashMap<Uuid, String> = names.into_iter().collect();
            let totals = |OfKey(id, totals)| KeyTotals {
                key_id: Some(KeyId(id)).filter(|_| !id.is_nil()),
                name: names.remove(&id),
                totals,
            };
            Ok(rows.into_iter().map(totals).collect())
        })
        .await
    }
}

/// The key as the sums have it.
fn stored_key(key: Option<KeyId>) -> Uuid {
    key.map_or(Uuid::nil(), |key| key.0)
}

/// Selects the sums of an account's rows of some days.
fn summed(account: AccountId, from: NaiveDate, to_exclusive: NaiveDate) -> Select<Entity> {
    let select = Entity::find()
        .select_only()
        .filter(Column::AccountId.eq(account.0))
        .filter(Column::Day.gte(from))
        .filter(Column::Day.lt(to_exclusive));
    FIGURES.iter().zip(Totals::NAMES).fold(select, |select, (column, name)| {
        // PostgreSQL sums bigints up to a numeric, and no rows to NULL.
        let sum = Expr::expr(column.into_expr().sum().if_null(0)).cast_as(Alias::new("bigint"));
        select.expr_as(sum, name)
    })
}

#[derive(Debug)]
struct Sums(Totals);

impl FromQueryResult for Sums {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        let mut figures = [0; Totals::NAMES.len()];
        for (figure, name) in figures.iter_mut().zip(Totals::NAMES) {
            *figure = row.try_get(prefix, name)?;
        }
        Ok(Self(Totals::from_figures(figures)))
    }
}

struct OfDay(NaiveDate, Totals);

impl FromQueryResult for OfDay {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        Ok(Self(row.try_get(prefix, "day")?, Sums::from_query_result(row, prefix)?.0))
    }
}

struct OfKey(Uuid, Totals);

impl FromQueryResult for OfKey {
    fn from_query_result(row: &QueryResult, prefix: &str) -> Result<Self, DbErr> {
        Ok(Self(row.try_get(prefix, "key_id")?, Sums::from_query_result(row, prefix)?.0))
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::IdenStatic;

    use super::*;

    #[test]
    fn every_figure_has_its_column() {
        assert_eq!(FIGURES.map(|column| column.as_str()), Totals::NAMES);
    }
}
