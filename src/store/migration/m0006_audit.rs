//! The audit trail.

use sea_orm_migration::{
    async_trait::async_trait,
    prelude::*,
    schema::{text, text_null, timestamp_with_time_zone as time, uuid, uuid_null},
};

pub(super) struct Audit;

impl MigrationName for Audit {
    fn name(&self) -> &str {
        "m0006_audit"
    }
}

#[async_trait]
impl MigrationTrait for Audit {
    #[expect(elided_lifetimes_in_paths, reason = "the trait elides it, and a named one is another signature")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(events()).await?;
        // Each for a list, newest first: of an account, and of one of its keys.
        for (name, subject) in [("audit_event_by_account", "account_id"), ("audit_event_by_key", "key_id")] {
            let index = Index::create().name(name).table("audit_event").col(subject).col("id").take();
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

fn events() -> TableCreateStatement {
    // No foreign keys: a refused attempt may name a key that never was, and the trail outlives what it tells of.
    Table::create()
        .table("audit_event")
        .col(uuid("id").primary_key())
        .col(uuid("account_id"))
        .col(time("at"))
        .col(text("actor"))
        .col(text_null("request_id"))
        .col(text("action"))
        .col(uuid_null("key_id"))
        // JSON of what differs; absent for an attempt that was refused, which has a code instead.
        .col(text_null("changes"))
        .col(text_null("code"))
        .col(text_null("field"))
        .col(text_null("message"))
        .take()
}
