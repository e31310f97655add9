//! Versions side by side: many that start at once, and an older one beside what a newer one has added.

use orqen::{clock::SystemClock, store::Store};
use serde_json::json;

use super::*;
use crate::support::stores::on_every_store;

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_start_on_an_empty_store_one_makes_the_tables_and_the_others_wait() {
    on_every_store(async |place| {
        let config = Settings::at(&place).config().store;
        let opens = (0..8).map(|_| Store::connect(&config, Arc::new(SystemClock)));
        for store in futures_util::future::join_all(opens).await {
            let store = store.unwrap();
            store.ping().await.unwrap();
            store.close().await;
        }
    })
    .await;
}

/// What a newer version adds: a column with a default, a table, a kind of change that this one does not know.
const NEWER: &str = "ALTER TABLE key ADD COLUMN colour TEXT NOT NULL DEFAULT 'none'; \
                     ALTER TABLE usage_record ADD COLUMN colour TEXT; \
                     CREATE TABLE colour (name TEXT NOT NULL); \
                     INSERT INTO seaql_migrations (version, applied_at) VALUES ('m0099_colours_additive', 0)";

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_goes_on_and_starts_beside_what_a_newer_one_has_added() {
    on_every_store(async |place| {
        let server = TestServer::start(Settings::at(&place)).await;
        let (agent, issued) = server.operator().equip(json!({"name": "before"})).await;
        let database = behind(&place).await;
        for statement in NEWER.split(';') {
            database.execute_unprepared(statement).await.unwrap();
        }
        let id = issued["id"].as_str().unwrap().to_owned();
        let server = {
            works(&server, &agent, &id).await;
            server.restart().await
        };
        works(&server, &server.agent(agent.secret()), &id).await;
        server.stop().await;
    })
    .await;
}

/// Makes, changes, lists, uses.
async fn works(server: &TestServer, agent: &Agent, id: &str) {
    agent.create_key(json!({"name": "another"})).await.success();
    agent.update_key(id, json!({"name": "renamed"})).await.success();
    assert!(agent.list_keys("").await.success()["keys"].as_array().unwrap().len() >= 3);
    let before = figure(server, "orqen_usage_records_dropped_total").await;
    let asking = json!({"model": "orqen/demo", "messages": [{"role": "user", "content": "Hello"}]});
    agent.chat(asking).await.success();
    eventually("it is recorded", async || {
        agent.usage_summary().await.success()["requests"]["total"].as_u64().unwrap() > 0
    })
    .await;
    assert_eq!(figure(server, "orqen_usage_records_dropped_total").await, before);
}
