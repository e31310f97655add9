//! Writing usage: a batch as a whole or not at all, and once, however often it is offered.
//!
//! A commit whose answer was lost may have happened. So each batch carries its number, which is written with it:
//! a batch whose number is there already was written. The records alone could not tell, since those of requests
//! that found no room are missing while their sums are in the batch.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait, IdenStatic,
    QueryFilter, Value,
    sea_query::{Expr, OnConflict, Query},
};
use uuid::Uuid;

use super::{
    FIGURES, UsageStore,
    records::{OF_TOOLS, PLACES, has_tools},
    stored_key,
};
use crate::{
    domain::usage::{Batch, DayTotals, Record, Totals},
    store::{
        bulk,
        database::bounded,
        entity::{usage_daily::Column, usage_writer},
        error::StoreError,
        keys,
    },
};

impl UsageStore {
    /// Writes a batch: all of it or nothing. One that was written before changes nothing.
    pub async fn write(&self, batch: &Batch) -> Result<(), StoreError> {
        bounded(async {
            let transaction = self.database.begin().await?;
            if !claimed(&transaction, batch, self.database.clock.now()).await? {
                return Ok(transaction.rollback().await?);
            }
            insert(&transaction, &batch.records).await?;
            add(&transaction, &batch.totals).await?;
            keys::touch(&transaction, &batch.used).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Forgets how far processes have written that have not written since `before`.
    pub async fn forget_writers(&self, before: DateTime<Utc>) -> Result<(), StoreError> {
        bounded(async {
            let transaction = self.database.begin().await?;
            let old = usage_writer::Entity::delete_many().filter(usage_writer::Column::At.lt(before));
            old.exec(&transaction).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }
}

/// Notes the batch's number; `false` if it was noted before. On PostgreSQL the statement waits for an earlier
/// attempt that is still being committed.
async fn claimed(
    transaction: &DatabaseTransaction,
    batch: &Batch,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    use usage_writer::{Column, Entity};
    let mut later = OnConflict::column(Column::Id);
    later
        .update_columns([Column::Batch, Column::At])
        .action_and_where(Expr::col((Entity, Column::Batch)).lt(batch.number));
    let insert = Query::insert()
        .into_table(Entity)
        .columns([Column::Id, Column::Batch, Column::At])
        .values_panic([batch.writer.into(), batch.number.into(), now.into()])
        .on_conflict(later)
        .take();
    Ok(transaction.execute(&insert).await?.rows_affected() > 0)
}

/// Inserts records. An id that is there already is passed over, rather than stopping all usage for good.
async fn insert(transaction: &DatabaseTransaction, records: &[Record]) -> Result<(), DbErr> {
    let columns = PLACES.map(|(column, _)| column).into_iter().chain(OF_TOOLS.map(|((column, _), _)| column));
    let head = format!("INSERT INTO usage_record ({}) VALUES", names(columns));
    let tail = "ON CONFLICT DO NOTHING";
    let (with, without): (Vec<_>, Vec<_>) = records.iter().partition(|record| has_tools(record));
    let rows = with.into_iter().map(whole);
    bulk::execute(transaction, (&head, tail), rows).await?;
    let nothing: String = OF_TOOLS.iter().map(|(_, nothing)| format!(",{nothing}")).collect();
    let rows = without.into_iter().map(|record| PLACES.map(|(_, value)| value(record)));
    bulk::execute_with(transaction, (&head, &nothing, tail), rows).await
}

/// All values of a record.
fn whole(record: &Record) -> [Value; PLACES.len() + OF_TOOLS.len()] {
    std::array::from_fn(|place| match PLACES.get(place) {
        Some((_, value)) => value(record),
        None => OF_TOOLS[place - PLACES.len()].0.1(record),
    })
}

/// Adds sums to those that are there.
async fn add(transaction: &DatabaseTransaction, totals: &[DayTotals]) -> Result<(), DbErr> {
    let place = [Column::AccountId, Column::KeyId, Column::Day];
    let head = format!("INSERT INTO usage_daily ({}, {}) VALUES", names(place), names(FIGURES));
    let added: Vec<_> = FIGURES
        .map(|figure| figure.as_str())
        .iter()
        .map(|figure| format!("{figure} = usage_daily.{figure} + excluded.{figure}"))
        .collect();
    let tail = format!("ON CONFLICT ({}) DO UPDATE SET {}", names(place), added.join(", "));
    bulk::execute(transaction, (&head, &tail), merged(totals).into_iter().map(row)).await
}

/// The names of columns, as a statement lists them.
fn names<C: IdenStatic>(columns: impl IntoIterator<Item = C>) -> String {
    columns.into_iter().map(|column| column.as_str()).collect::<Vec<_>>().join(", ")
}

/// What is added to a row of sums.
type Sums = ((Uuid, Uuid, NaiveDate), Totals);

/// One row for each key and day, in the order of the primary key: a statement must not meet a row twice, and
/// writers that lock rows in one order never wait for each other in a circle.
fn merged(batch: &[DayTotals]) -> Vec<Sums> {
    let mut rows: BTreeMap<_, Totals> = BTreeMap::new();
    for usage in batch {
        *rows.entry((usage.account_id.0, stored_key(usage.key_id), usage.day)).or_default() += usage.totals;
    }
    rows.into_iter().collect()
}

fn row(((account, key, day), sums): Sums) -> [Value; 3 + FIGURES.len()] {
    let figures = sums.figures();
    std::array::from_fn(|place| match place {
        0 => account.into(),
        1 => key.into(),
        2 => day.into(),
        figure => figures[figure - 3].into(),
    })
}
