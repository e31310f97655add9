//! The tables, brought to this version's form when the store is opened; no command, no file to ship.
//!
//! All steps run in one transaction on both databases, so that a start that is cut off leaves the old form, and
//! one process at a time: on SQLite the transaction is immediate, on PostgreSQL an advisory lock makes the other
//! replicas wait and then find nothing left to do. A step that was released is never edited.

use sea_orm::{ConnectionTrait, DbBackend};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

use crate::store::{database::Database, error::StoreError};

mod m0001_keys;
mod m0002_usage_records;
mod m0003_account_limits;
mod m0004_lean_records;
mod m0005_rotation;
mod m0006_audit;

/// An arbitrary number that no other program that shares the database is likely to lock.
pub(super) const MIGRATION_LOCK: i64 = 0x6f72_7165_6e00;
/// How long PostgreSQL lets a replica wait for another one's migration, in milliseconds.
const PATIENCE: u32 = 60_000;

struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_keys::Keys),
            Box::new(m0002_usage_records::UsageRecords),
            Box::new(m0003_account_limits::AccountLimits),
            Box::new(m0004_lean_records::LeanRecords),
            Box::new(m0005_rotation::Rotation),
            Box::new(m0006_audit::Audit),
        ]
    }
}

/// Brings the tables to this version's form.
pub(super) async fn run(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin().await?;
    if database.backend() == DbBackend::Postgres {
        let wait = format!(
            "SET LOCAL statement_timeout = {PATIENCE}; SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"
        );
        transaction.execute_unprepared(&wait).await?;
    }
    Migrations::up(&transaction, None).await.map_err(StoreError::migration)?;
    transaction.commit().await?;
    Ok(())
}
