//! Writing usage: a batch as a whole or not at all, and once, however often it is offered.
//!
//! A commit whose answer was lost may have happened. So each batch carries its number, which is written with it:
//! a batch whose number is there already was written. The records alone could not tell, since those of requests
//! that found no room are missing while their sums are in the batch.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, ExprTrait, IntoActiveModel,
    QueryFilter,
    sea_query::{Alias, Expr, OnConflict, Query},
};
use uuid::Uuid;

use super::{FIGURES, UsageStore, records::row_from_record, stored_key};
use crate::{
    domain::usage::{Batch, DayTotals, Record, Totals},
    store::{
        database::bounded,
        entity::{
            usage_daily::{ActiveModel, Column, Entity},
            usage_record, usage_writer,
        },
        error::StoreError,
        keys,
    },
};

/// Rows a statement: 500 of 28 values lie below SQLite's 32,766 and PostgreSQL's 65,535 parameters.
const ROWS: usize = 500;

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
    for records in records.chunks(ROWS) {
        let rows = records.iter().map(|record| row_from_record(record).into_active_model().reset_all());
        usage_record::Entity::insert_many(rows)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

async fn add(transaction: &DatabaseTransaction, totals: &[DayTotals]) -> Result<(), DbErr> {
    for rows in merged(totals).chunks(ROWS) {
        Entity::insert_many(rows.iter().cloned())
            .on_conflict(added_up())
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}

/// One row for each key and day, in the order of the primary key: a statement must not meet a row twice, and
/// writers that lock rows in one order never wait for each other in a circle.
fn merged(batch: &[DayTotals]) -> Vec<ActiveModel> {
    let mut rows: BTreeMap<(Uuid, Uuid, NaiveDate), Totals> = BTreeMap::new();
    for usage in batch {
        *rows.entry((usage.account_id.0, stored_key(usage.key_id), usage.day)).or_default() += usage.totals;
    }
    let row = |((account_id, key_id, day), sums): ((Uuid, Uuid, NaiveDate), Totals)| {
        let mut row = ActiveModel {
            account_id: Set(account_id),
            key_id: Set(key_id),
            day: Set(day),
            ..Default::default()
        };
        for (column, figure) in FIGURES.into_iter().zip(sums.figures()) {
            row.set(column, figure.into());
        }
        row
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
