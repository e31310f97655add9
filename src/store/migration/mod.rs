//! The tables, brought to this version's form when the store is opened; no command, no file to ship.
//!
//! All steps run in one transaction on both databases, so that a start that is cut off leaves the old form, and
//! one process at a time: on SQLite the transaction is immediate, on PostgreSQL an advisory lock makes the other
//! replicas wait and then find nothing left to do. A step that was released is never edited.
//!
//! A step that only adds what older versions can leave alone (a table, an index, a column with a default) says so at the
//! end of its name. It is all that an older version can know of it: so it may start beside it, as replicas do while a new
//! version is rolled out, or when that is taken back.

use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};
use sea_orm_migration::{MigrationTrait, MigratorTrait};

use crate::store::{database::Database, error::StoreError};

mod m0001_keys;
mod m0002_usage_records;
mod m0003_account_limits;
mod m0004_lean_records;
mod m0005_rotation;
mod m0006_audit;
mod m0007_live_keys;

/// An arbitrary number that no other program that shares the database is likely to lock.
pub(super) const MIGRATION_LOCK: i64 = 0x6f72_7165_6e00;
/// How long PostgreSQL lets a replica wait for another one's migration, in milliseconds.
const PATIENCE: u32 = 60_000;

/// How the name of a step ends beside which older versions can run.
const ADDITIVE: &str = "_additive";

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
            Box::new(m0007_live_keys::LiveKeys),
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
    if !is_newer(&transaction).await.map_err(StoreError::migration)? {
        Migrations::up(&transaction, None).await.map_err(StoreError::migration)?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Whether a newer version has been here, with all that this one needs done, and what it did beyond that only adds.
async fn is_newer(transaction: &DatabaseTransaction) -> Result<bool, DbErr> {
    Migrations::install(transaction).await?;
    let select = "SELECT version FROM seaql_migrations";
    let backend = transaction.get_database_backend();
    let rows = transaction.query_all_raw(Statement::from_string(backend, select)).await?;
    let done: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0)).collect::<Result<_, _>>()?;
    let known: Vec<_> = Migrations::migrations().iter().map(|step| step.name().to_owned()).collect();
    let newer: Vec<_> = done.iter().filter(|name| !known.contains(name)).collect();
    let additive = !newer.is_empty() && newer.iter().all(|name| name.ends_with(ADDITIVE));
    if additive {
        tracing::warn!(?newer, "the store's tables are those of a newer version, which added to them");
    }
    Ok(additive && known.iter().all(|name| done.contains(name)))
}
