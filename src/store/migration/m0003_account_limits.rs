//! Limits of an account as a whole, beside those of each of its keys.
//!
//! Only additions, and null means unlimited: what a binary of the version before writes goes on without them.

use sea_orm_migration::{async_trait::async_trait, prelude::*, schema::big_integer_null};

pub(super) struct AccountLimits;

impl MigrationName for AccountLimits {
    fn name(&self) -> &str {
        "m0003_account_limits"
    }
}

#[async_trait]
impl MigrationTrait for AccountLimits {
    #[expect(elided_lifetimes_in_paths, reason = "the trait elides it, and a named one is another signature")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite takes one column a statement.
        for column in COLUMNS {
            let column = big_integer_null(column).take();
            manager.alter_table(Table::alter().table("policy").add_column(column).take()).await?;
        }
        Ok(())
    }
}

const COLUMNS: [&str; 4] = [
    "account_requests_per_minute",
    "account_concurrent_requests",
    "account_daily_token_budget",
    "account_weekly_token_budget",
];
