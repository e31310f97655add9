//! Accounts with their policies, keys with their generations, the change log, and usage by day.
//!
//! Names are written out and not taken from `entity`: this step must go on making what it made on the day it was
//! released, whatever the entities have become since.

use sea_orm_migration::{
    async_trait::async_trait,
    prelude::*,
    schema::{
        big_integer, big_integer_null, binary_len, boolean, date, integer, text, text_null,
        timestamp_with_time_zone as time, timestamp_with_time_zone_null as time_null, uuid,
    },
};

pub(super) struct Keys;

impl MigrationName for Keys {
    fn name(&self) -> &str {
        "m0001_keys"
    }
}

#[async_trait]
impl MigrationTrait for Keys {
    #[expect(elided_lifetimes_in_paths, reason = "the trait elides it, and a named one is another signature")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [account(), policy(), key(), key_generation(), change_counter(), change(), usage_daily()]
        {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        let database = manager.get_connection();
        // Live keys by account, newest first: for the ordinary list and for `max_keys`, at a cost that revoked keys
        // do not add to. Both databases spell it like this.
        database
            .execute_unprepared(
                r#"CREATE INDEX key_live ON "key" (account_id, id DESC) WHERE revoked_at IS NULL"#,
            )
            .await?;
        database.execute_unprepared("INSERT INTO change_counter (id, value) VALUES (1, 0)").await?;
        Ok(())
    }
}

fn account() -> TableCreateStatement {
    Table::create()
        .table("account")
        .col(uuid("id").primary_key())
        .col(text("name").unique_key())
        .col(time("created_at"))
        .take()
}

fn policy() -> TableCreateStatement {
    Table::create()
        .table("policy")
        .col(uuid("account_id").primary_key())
        .col(big_integer_null("requests_per_minute"))
        .col(big_integer_null("concurrent_requests"))
        .col(big_integer_null("daily_token_budget"))
        .col(big_integer_null("weekly_token_budget"))
        .col(big_integer_null("tool_window"))
        .col(big_integer_null("max_keys"))
        .col(text_null("prune_mode"))
        .col(big_integer("revision"))
        .col(time("updated_at"))
        .foreign_key(ForeignKey::create().from("policy", "account_id").to("account", "id"))
        .take()
}

fn key() -> TableCreateStatement {
    Table::create()
        .table("key")
        .col(uuid("id").primary_key())
        .col(uuid("account_id"))
        .col(text("name"))
        .col(text("prefix"))
        .col(boolean("disabled"))
        .col(text("scopes"))
        .col(text_null("allowed_tools"))
        .col(text_null("denied_tools"))
        .col(text("tool_mode"))
        .col(big_integer_null("rate_limit_rpm"))
        .col(big_integer_null("daily_token_budget"))
        .col(big_integer_null("weekly_token_budget"))
        .col(big_integer_null("k_target_override"))
        .col(time("created_at"))
        .col(text("created_by"))
        .col(time_null("expires_at"))
        .col(time_null("revoked_at"))
        .col(time_null("rotated_at"))
        .col(big_integer("revision"))
        .foreign_key(ForeignKey::create().from("key", "account_id").to("account", "id"))
        .take()
}

fn key_generation() -> TableCreateStatement {
    Table::create()
        .table("key_generation")
        .col(uuid("key_id"))
        .col(integer("generation"))
        .col(binary_len("digest", 32).unique_key())
        .col(big_integer("pepper_version"))
        .col(time("created_at"))
        .col(time_null("expires_at"))
        .col(time_null("last_used_at"))
        .primary_key(Index::create().col("key_id").col("generation"))
        .foreign_key(ForeignKey::create().from("key_generation", "key_id").to("key", "id"))
        .take()
}

fn change_counter() -> TableCreateStatement {
    Table::create().table("change_counter").col(integer("id").primary_key()).col(big_integer("value")).take()
}

fn change() -> TableCreateStatement {
    Table::create()
        .table("change")
        .col(big_integer("seq").primary_key())
        .col(text("entity"))
        .col(uuid("entity_id"))
        .col(big_integer("revision"))
        .col(time("at"))
        .take()
}

fn usage_daily() -> TableCreateStatement {
    // No foreign keys: what was counted stays counted, and an insert of figures must not be refused.
    Table::create()
        .table("usage_daily")
        .col(uuid("account_id"))
        .col(uuid("key_id"))
        .col(date("day"))
        .col(big_integer("complete"))
        .col(big_integer("client"))
        .col(big_integer("upstream"))
        .col(big_integer("error"))
        .col(big_integer("tools_input"))
        .col(big_integer("tools_denied"))
        .col(big_integer("tools_output"))
        .col(big_integer("tokens_saved"))
        .primary_key(Index::create().col("account_id").col("key_id").col("day"))
        .take()
}

fn indexes() -> Vec<IndexCreateStatement> {
    vec![
        Index::create()
            .name("key_by_account")
            .table("key")
            .col("account_id")
            .col(("id", IndexOrder::Desc))
            .take(),
        Index::create().name("change_by_time").table("change").col("at").take(),
        // For the sums of an account over all its keys.
        Index::create().name("usage_daily_by_day").table("usage_daily").col("account_id").col("day").take(),
    ]
}
