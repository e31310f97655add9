//! What one server changes holds on the other: at once where the store tells of it, within a second in any case.

use serde_json::json;

use super::*;
use crate::support::stores::{on_every_store, on_postgres};

/// How long until a key that one server revoked is dead on the other.
async fn revoked(pair: &Pair) -> Duration {
    let (agent, id) = pair.agent().await;
    agent.me().await.success();
    pair.operator.revoke_key(&id).await.success();
    eventually("the key is dead", async || agent.me().await.status == 401).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_on_one_server_works_on_the_other_at_the_next_request() {
    on_every_store(async |place| {
        let pair = Pair::on(&place, |settings| settings).await;
        for _ in 0..20 {
            let (agent, _) = pair.agent().await;
            agent.me().await.success();
        }
        pair.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_works_on_the_other_server_at_the_next_request_and_the_old_one_ends() {
    on_every_store(async |place| {
        let pair = Pair::on(&place, |settings| settings).await;
        let (old, id) = pair.agent().await;
        old.me().await.success();
        let rotated = pair.operator.rotate_key(&id, json!({})).await.success();
        pair.two.agent(rotated["key"].as_str().unwrap()).me().await.success();
        eventually("the old secret is dead", async || old.me().await.status == 401).await;
        pair.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_unknown_does_not_outlive_the_making_of_a_key_by_more_than_a_second() {
    on_every_store(async |place| {
        let pair = Pair::on(&place, |settings| settings).await;
        let database = behind(&place).await;
        let (agent, _) = pair.agent().await;
        // A secret that is tried before there is such a key.
        for statement in ["CREATE TABLE aside AS SELECT * FROM key_generation", "DELETE FROM key_generation"]
        {
            database.execute_unprepared(statement).await.unwrap();
        }
        assert_eq!(agent.me().await.status, 401);
        database.execute_unprepared("INSERT INTO key_generation SELECT * FROM aside").await.unwrap();
        let took = eventually("the key is known", async || agent.me().await.status == 200).await;
        assert!(took < Duration::from_millis(1_500), "{took:?}");
        pair.stop().await;
    })
    .await;
}

/// The poll is as slow as it may be set, so that what is told can be told from what is found.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_tells_every_server_of_a_revocation_at_once() {
    on_postgres(async |place| {
        let slow = |settings: Settings| settings.variable("ORQEN_STORE__POLL_EVERY", "1s");
        let pair = Pair::on(&place, slow).await;
        until_told(&pair.two).await;
        let before = figure(&pair.two, "orqen_store_changes_applied_total").await;
        let mut took = Vec::new();
        for _ in 0..21 {
            took.push(revoked(&pair).await);
        }
        took.sort();
        // Half a second on average, were it found by the poll.
        assert!(took[10] < Duration::from_millis(150), "{took:?}");
        assert_eq!(figure(&pair.two, "orqen_store_changes_applied_total").await - before, 42.0);
        assert!(figure(&pair.two, "orqen_store_staleness_seconds").await < 1.5);
        pair.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_at_once_are_read_in_a_few_steps_and_none_is_missed() {
    on_postgres(async |place| {
        let pair = Pair::on(&place, |settings| settings.variable("ORQEN_STORE__POLL_EVERY", "1s")).await;
        until_told(&pair.two).await;
        let mut agents = Vec::new();
        for _ in 0..40 {
            let (agent, id) = pair.agent().await;
            agent.me().await.success();
            agents.push((agent, id));
        }
        let revoking = agents.iter().map(|(_, id)| pair.operator.revoke_key(id));
        futures_util::future::join_all(revoking).await.iter().for_each(|answer| drop(answer.success()));
        for (agent, _) in &agents {
            eventually("the key is dead", async || agent.me().await.status == 401).await;
        }
        pair.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_listener_cut_again_and_again_a_revocation_holds_within_a_second() {
    on_postgres(async |place| {
        let pair = Pair::on(&place, |settings| settings.variable("ORQEN_STORE__POLL_EVERY", "250ms")).await;
        until_told(&pair.two).await;
        let database = behind(&place).await;
        for _ in 0..6 {
            cut_listeners(&database).await;
            let took = revoked(&pair).await;
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
        // And it is told again once nobody cuts it.
        until_told(&pair.two).await;
        pair.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_that_passes_no_notification_on_changes_are_polled() {
    on_postgres(async |place| {
        let (_proxy, pooled) = through(&place, Kind::Unnotified).await;
        let poll = |settings: Settings| settings.variable("ORQEN_STORE__POLL_EVERY", "250ms");
        let pair = Pair::of(poll(Settings::at(&place)), poll(Settings::at(&pooled))).await;
        for _ in 0..5 {
            let took = revoked(&pair).await;
            assert!(took < Duration::from_secs(1), "{took:?}");
        }
        until_told(&pair.one).await;
        assert_eq!(figure(&pair.two, "orqen_store_listening").await, 0.0);
        assert_eq!(pair.two.anonymous().rest().get("/readyz").await.success(), json!({"status": "ready"}));
        pair.stop().await;
    })
    .await;
}
