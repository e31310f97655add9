//! Fewer indexes over the records of a SQLite file, so that a record costs little to write.
//!
//! With a thousand keys in use, the index by key made nearly every record change a page of its own, which is copied
//! into the WAL and from there into the file: three quarters of what a record cost; the one by id was a fourth of what
//! is left. The file keeps its records in the order of their time and is searched in that order
//! (`store/usage/search.rs`), also for an id, which says its time; by an index of their own are found the failures,
//! which are few and looked for most, and the requests of a session. PostgreSQL, which is asked over a wire and keeps
//! its pages in a large cache, keeps all its indexes.

use sea_orm::DbBackend;
use sea_orm_migration::{async_trait::async_trait, prelude::*};

pub(super) struct LeanRecords;

impl MigrationName for LeanRecords {
    fn name(&self) -> &str {
        "m0004_lean_records"
    }
}

#[async_trait]
impl MigrationTrait for LeanRecords {
    #[expect(elided_lifetimes_in_paths, reason = "the trait elides it, and a named one is another signature")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Sqlite {
            for statement in STATEMENTS {
                manager.get_connection().execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }
}

/// Those of `sqlite_stat1` say of the new index what m0002 said of the others.
const STATEMENTS: [&str; 7] = [
    "DROP INDEX usage_record_by_id",
    "DROP INDEX usage_record_by_key",
    "DROP INDEX usage_record_by_model",
    "DROP INDEX usage_record_by_status",
    "CREATE INDEX usage_record_by_failure ON usage_record (account_id, status, at, id) WHERE status >= 400",
    "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES \
     ('usage_record', 'usage_record_by_failure', '1000000 1000000 50000 1 1')",
    "ANALYZE sqlite_schema",
];
