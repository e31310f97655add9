//! A row for each request, the sums that it adds to a day, and how far each process has written.
//!
//! Only additions: a binary of the version before goes on writing its sums, and the new columns count as 0.

use sea_orm::DbBackend;
use sea_orm_migration::{
    async_trait::async_trait,
    prelude::*,
    schema::{
        big_integer, big_integer_null, boolean, integer_null, text, text_null,
        timestamp_with_time_zone as time, uuid, uuid_null,
    },
};

pub(super) struct UsageRecords;

impl MigrationName for UsageRecords {
    fn name(&self) -> &str {
        "m0002_usage_records"
    }
}

#[async_trait]
impl MigrationTrait for UsageRecords {
    #[expect(elided_lifetimes_in_paths, reason = "the trait elides it, and a named one is another signature")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut record = usage_record();
        if manager.get_database_backend() == DbBackend::Sqlite {
            // The rows lie in the order of the primary key, newest last, and need no second tree.
            record.extra("WITHOUT ROWID");
        }
        manager.create_table(record).await?;
        manager.create_table(usage_writer()).await?;
        // SQLite takes one column a statement.
        for column in SUMS {
            let column = big_integer(column).default(0).take();
            manager.alter_table(Table::alter().table("usage_daily").add_column(column).take()).await?;
        }
        let database = manager.get_connection();
        // Newest first for each filter; both databases read them backwards. Few requests name a session.
        for index in [
            "CREATE UNIQUE INDEX usage_record_by_id ON usage_record (id)",
            "CREATE INDEX usage_record_by_key ON usage_record (account_id, key_id, at, id)",
            "CREATE INDEX usage_record_by_model ON usage_record (account_id, model, at, id)",
            "CREATE INDEX usage_record_by_status ON usage_record (account_id, status, at, id)",
            "CREATE INDEX usage_record_by_session ON usage_record (account_id, session, at, id) \
             WHERE session IS NOT NULL",
        ] {
            database.execute_unprepared(index).await?;
        }
        if manager.get_database_backend() == DbBackend::Sqlite {
            for statement in PLANS {
                database.execute_unprepared(statement).await?;
            }
        }
        Ok(())
    }
}

/// What SQLite is told of the table, as `ANALYZE` would have found it in a large one
/// (<https://www.sqlite.org/fileformat2.html#the_sqlite_stat1_table>). Knowing nothing it takes an account for ten
/// rows and goes through all of them, a million perhaps, rather than by the index of the filter. PostgreSQL looks
/// for itself, again and again. The table that is analysed is empty: that only makes `sqlite_stat1`.
const PLANS: [&str; 3] = [
    "ANALYZE usage_writer",
    "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES \
     ('usage_record', 'usage_record', '1000000 1000000 1 1'), \
     ('usage_record', 'usage_record_by_id', '1000000 1 1 1'), \
     ('usage_record', 'usage_record_by_key', '1000000 1000000 10000 1 1'), \
     ('usage_record', 'usage_record_by_model', '1000000 1000000 50000 1 1'), \
     ('usage_record', 'usage_record_by_status', '1000000 1000000 50000 1 1'), \
     ('usage_record', 'usage_record_by_session', '1000000 1000000 20 1 1')",
    "ANALYZE sqlite_schema",
];

/// The sums of a day that are new.
const SUMS: [&str; 8] = [
    "tools_would_deny",
    "tools_called",
    "recall_misses",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "tokens_saved_pruning",
    "tokens_saved_lists",
];

fn usage_record() -> TableCreateStatement {
    // No foreign keys: what happened stays recorded, and an insert of figures must not be refused.
    Table::create()
        .table("usage_record")
        .col(uuid("account_id"))
        .col(time("at"))
        .col(uuid("id"))
        .col(uuid_null("key_id"))
        .col(integer_null("generation"))
        .col(big_integer_null("policy_revision"))
        .col(text_null("session"))
        .col(text_null("model"))
        .col(text_null("upstream"))
        .col(boolean("streamed"))
        .col(integer_null("status"))
        .col(text("ended"))
        .col(big_integer("total_us"))
        .col(big_integer_null("upstream_us"))
        .col(big_integer("own_us"))
        .col(big_integer_null("first_byte_us"))
        .col(big_integer("tools_input"))
        .col(big_integer("tools_denied"))
        .col(big_integer("tools_would_deny"))
        .col(big_integer("tools_output"))
        .col(big_integer("tools_called"))
        .col(big_integer("recall_misses"))
        .col(text_null("routing"))
        .col(big_integer_null("prompt_tokens"))
        .col(big_integer_null("completion_tokens"))
        .col(big_integer_null("cached_tokens"))
        .col(big_integer("tokens_saved_pruning"))
        .col(big_integer("tokens_saved_lists"))
        .primary_key(Index::create().col("account_id").col("at").col("id"))
        .take()
}

fn usage_writer() -> TableCreateStatement {
    Table::create()
        .table("usage_writer")
        .col(uuid("id").primary_key())
        .col(big_integer("batch"))
        .col(time("at"))
        .take()
}
