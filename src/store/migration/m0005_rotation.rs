//! What of each secret may be shown, and which calls have been made that are to be made once.
//!
//! Only additions: a binary of the version before makes keys without the prefix of their first secret, which is their
//! own.

use sea_orm_migration::{
    async_trait::async_trait,
    prelude::*,
    schema::{binary_len, text, text_null, timestamp_with_time_zone as time, uuid},
};

pub(super) struct Rotation;

impl MigrationName for Rotation {
    fn name(&self) -> &str {
        "m0005_rotation"
    }
}

#[async_trait]
impl MigrationTrait for Rotation {
    #[expect(elided_lifetimes_in_paths, reason = "the trait elides it, and a named one is another signature")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let prefix = text_null("prefix").take();
        manager.alter_table(Table::alter().table("key_generation").add_column(prefix).take()).await?;
        manager.create_table(once()).await?;
        // For those that are forgotten, oldest first.
        manager
            .create_index(Index::create().name("once_by_time").table("once").col("created_at").take())
            .await
    }
}

fn once() -> TableCreateStatement {
    // No foreign keys: a row is claimed before the key that it is about is made.
    Table::create()
        .table("once")
        .col(uuid("account_id"))
        .col(text("method"))
        .col(text("idempotency_key"))
        .col(binary_len("digest", 32))
        .col(uuid("key_id"))
        .col(time("created_at"))
        .primary_key(Index::create().col("account_id").col("method").col("idempotency_key"))
        .take()
}
