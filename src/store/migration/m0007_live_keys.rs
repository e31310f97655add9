//! How many keys of an account are not revoked, kept beside its policy: `max_keys` asks for it at every new key, and
//! counting them cost as much as there were.
//!
//! Triggers keep it, not the statements of this version, so that it is true of what older versions write as well while a
//! new one is rolled out. On PostgreSQL they run once a statement: a sweep that ends ten thousand keys is one update.

use sea_orm_migration::{async_trait::async_trait, prelude::*, schema::big_integer, sea_orm::DbBackend};

pub(super) struct LiveKeys;

impl MigrationName for LiveKeys {
    fn name(&self) -> &str {
        "m0007_live_keys_additive"
    }
}

#[async_trait]
impl MigrationTrait for LiveKeys {
    #[expect(elided_lifetimes_in_paths, reason = "the trait elides it, and a named one is another signature")]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // First, since it locks the policies, as everybody who makes a key does before the key: nobody waits in a circle.
        let column = big_integer("live_keys").default(0).take();
        manager.alter_table(Table::alter().table("policy").add_column(column).take()).await?;
        let triggers = match manager.get_database_backend() {
            DbBackend::Postgres => POSTGRES,
            _ => SQLITE,
        };
        let database = manager.get_connection();
        for statement in triggers {
            database.execute_unprepared(statement).await?;
        }
        // After the triggers, which wait for whoever is writing keys: nothing falls between the two.
        database
            .execute_unprepared(
                "UPDATE policy SET live_keys = (SELECT count(*) FROM key \
                 WHERE key.account_id = policy.account_id AND key.revoked_at IS NULL)",
            )
            .await?;
        Ok(())
    }
}

const POSTGRES: &[&str] = &[
    "CREATE OR REPLACE FUNCTION orqen_keys_made() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
         UPDATE policy SET live_keys = live_keys + made.keys FROM (
             SELECT account_id, count(*) AS keys FROM after WHERE revoked_at IS NULL GROUP BY account_id
         ) made WHERE made.account_id = policy.account_id;
         RETURN NULL;
     END $$",
    "CREATE OR REPLACE FUNCTION orqen_keys_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
         UPDATE policy SET live_keys = live_keys + changed.keys FROM (
             SELECT account_id, sum((after.revoked_at IS NULL)::int - (before.revoked_at IS NULL)::int) AS keys
             FROM after JOIN before USING (id, account_id) GROUP BY account_id
         ) changed WHERE changed.account_id = policy.account_id AND changed.keys <> 0;
         RETURN NULL;
     END $$",
    "CREATE OR REPLACE FUNCTION orqen_keys_gone() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$ BEGIN
         UPDATE policy SET live_keys = live_keys - gone.keys FROM (
             SELECT account_id, count(*) AS keys FROM before WHERE revoked_at IS NULL GROUP BY account_id
         ) gone WHERE gone.account_id = policy.account_id;
         RETURN NULL;
     END $$",
    "CREATE TRIGGER keys_made AFTER INSERT ON key REFERENCING NEW TABLE AS after
         FOR EACH STATEMENT EXECUTE FUNCTION orqen_keys_made()",
    "CREATE TRIGGER keys_changed AFTER UPDATE ON key REFERENCING OLD TABLE AS before NEW TABLE AS after
         FOR EACH STATEMENT EXECUTE FUNCTION orqen_keys_changed()",
    "CREATE TRIGGER keys_gone AFTER DELETE ON key REFERENCING OLD TABLE AS before
         FOR EACH STATEMENT EXECUTE FUNCTION orqen_keys_gone()",
];

const SQLITE: &[&str] = &[
    r#"CREATE TRIGGER keys_made AFTER INSERT ON "key" WHEN NEW.revoked_at IS NULL BEGIN
           UPDATE policy SET live_keys = live_keys + 1 WHERE account_id = NEW.account_id;
       END"#,
    r#"CREATE TRIGGER keys_changed AFTER UPDATE OF revoked_at ON "key"
       WHEN (OLD.revoked_at IS NULL) <> (NEW.revoked_at IS NULL) BEGIN
           UPDATE policy SET live_keys = live_keys + (NEW.revoked_at IS NULL) - (OLD.revoked_at IS NULL)
           WHERE account_id = NEW.account_id;
       END"#,
    r#"CREATE TRIGGER keys_gone AFTER DELETE ON "key" WHEN OLD.revoked_at IS NULL BEGIN
           UPDATE policy SET live_keys = live_keys - 1 WHERE account_id = OLD.account_id;
       END"#,
];
