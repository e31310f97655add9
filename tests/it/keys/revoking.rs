//! Operators revoke many keys at once: by account, by who made them, by when they were made.

use orqen::domain::audit::Actor;
use std::sync::Arc;

use chrono::TimeDelta;
use orqen::clock::ManualClock;
use serde_json::{Value, json};

use crate::{
    keys::{id, ids, with_an_operator},
    support::{
        actors::Caller,
        server::{Settings, TestServer},
        stores::{Place, on_every_store},
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_made_is_revoked_from_the_answer_on_and_nothing_else() {
    with_an_operator(async |_, operator| {
        let account = operator.account_id().await;
        let (leaked, parent) = operator.equip(json!({"name": "leaked"})).await;
        let mut children = Vec::new();
        for number in 0..3 {
            let made = leaked.create_key(json!({"name": format!("child {number}")})).await.success();
            children.push((operator.agent(&made), id(&made).to_owned()));
        }
        for (child, _) in &children {
            child.me().await.success();
        }
        operator.revoke_key(&children[0].1).await.success();
        let which = json!({"created_by": format!("key:{}", id(&parent))});
        let answer = operator.revoke_keys(&account, which.clone()).await.success();
        let expected = [&children[2].1, &children[1].1];
        assert_eq!(answer, json!({"revoked": 2, "key_ids": expected, "more": false}));
        for (child, _) in &children {
            child.me().await.refused(401, "api_key_revoked");
        }
        leaked.me().await.success();
        let again = operator.revoke_keys(&account, which).await.success();
        assert_eq!(again, json!({"revoked": 0, "key_ids": [], "more": false}));
        let revoked = operator.key(&children[1].1).await.success();
        assert_eq!((&revoked["status"], &revoked["revision"]), (&json!("revoked"), &json!(2)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_met_together_and_a_time_is_before_its_moment() {
    on_every_store(async |place: Place| {
        let clock = Arc::new(ManualClock::at("2026-03-14T09:00:00Z".parse().unwrap()));
        let server = TestServer::start(Settings::at(&place).clock(&clock)).await;
        let operator = server.operator();
        let account = operator.account_id().await;
        let mut made: Vec<Value> = Vec::new();
        for _ in 0..3 {
            clock.advance(TimeDelta::minutes(1));
            made.push(operator.create_key(json!({"name": "key"})).await.success());
        }
        let first = operator.me().await.success();
        let before = |created_before: &str| {
            let created_by = format!("key:{}", id(&first["key"]));
            json!({"created_by": created_by, "created_before": created_before})
        };
        let answer = operator.revoke_keys(&account, before("2026-03-14T09:01:00Z")).await.success();
        assert_eq!(answer["revoked"], 0, "the first key is older, but nobody's");
        let answer = operator.revoke_keys(&account, before("2026-03-14T09:03:00Z")).await.success();
        assert_eq!(answer["key_ids"], json!([id(&made[1]), id(&made[0])]));
        let left = operator.list_keys("").await.success();
        assert_eq!(ids(&left), [id(&made[2]), id(&first["key"])]);
        server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_of_an_account_go_only_when_that_is_said_and_no_other_accounts() {
    with_an_operator(async |_, operator| {
        let account = operator.account_id().await;
        let other = operator.create_account("other").await.success();
        for (which, param) in [
            (json!({}), "all"),
            (json!({"all": false}), "all"),
            (json!({"all": null}), "all"),
            (json!({"all": true, "created_by": "cli"}), "all"),
            (json!({"created_by": ""}), "created_by"),
            (json!({"created_before": "yesterday"}), "created_before"),
            (json!({"all": true, "account_id": "x"}), "account_id"),
        ] {
            let refused = operator.revoke_keys(&account, which.clone()).await;
            assert_eq!(refused.refused(400, "invalid_request_error")["param"], param, "{which}");
        }
        let all = json!({"all": true});
        assert_eq!(operator.revoke_keys(id(&other), all.clone()).await.success()["revoked"], 0);
        operator.revoke_keys("nobody", all.clone()).await.refused(404, "account_not_found");
        operator.me().await.success();
        assert_eq!(operator.revoke_keys(&account, all).await.success()["revoked"], 1);
        operator.me().await.refused(401, "api_key_revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_revocation_reaches_other_processes() {
    on_every_store(async |place: Place| {
        let server = TestServer::start(Settings::at(&place)).await;
        let operator = server.operator();
        let account = operator.account_id().await;
        let (agent, _) = operator.equip(json!({"name": "agent"})).await;
        agent.me().await.success();
        let other = server.other_process().await;
        let account = orqen::domain::key::AccountId(account.parse().unwrap());
        let swept = other
            .keys()
            .sweep(&Actor::cli(), account, &orqen::store::KeysMeant::default(), None)
            .await
            .unwrap();
        assert_eq!((swept.revoked.len(), swept.next), (2, None));
        while agent.me().await.status == 200 {
            tokio::task::yield_now().await;
        }
        agent.me().await.refused(401, "api_key_revoked");
        other.close().await;
        server.stop().await;
    })
    .await;
}
