//! `Idempotency-Key`: a call whose answer was lost is sent again, and makes nothing twice.

use std::sync::Arc;

use chrono::TimeDelta;
use http::HeaderName;
use orqen::{clock::ManualClock, proto::v1};
use serde_json::json;

use crate::{
    keys::{id, with_an_operator},
    support::{
        actors::{Caller, Operator},
        rest::Rest,
        server::{Settings, TestServer},
        stores::Place,
        told::Told,
    },
};

fn under(operator: &Operator, key: &str) -> Rest {
    operator.rest().with(HeaderName::from_static("idempotency-key"), key)
}

async fn count(operator: &Operator) -> usize {
    operator.list_keys("?page_size=1000").await.success()["keys"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_is_repeated_answers_the_same_key_without_its_secret() {
    with_an_operator(async |_, operator| {
        let rest = under(operator, "a");
        let first = rest.post("/v1/keys", &json!({"name": "agent", "denied_tools": null})).await.success();
        let agent = operator.agent(&first);
        // As it is now, and the same request however it is spelled, and at whichever door.
        operator.update_key(id(&first), json!({"name": "renamed"})).await.success();
        let again = rest.post("/v1/account/keys", &json!({"name": "agent"})).await.success();
        assert_eq!((id(&again), &again["key"]), (id(&first), &json!(null)));
        assert_eq!((&again["name"], &again["revision"]), (&json!("renamed"), &json!(2)));
        let request = v1::CreateKeyRequest {
            name: "agent".into(),
            idempotency_key: Some("a".into()),
            ..Default::default()
        };
        let by_grpc = operator.grpc().keys().create_key(request).await.unwrap().into_inner();
        let by_grpc = by_grpc.issued_key.unwrap();
        assert_eq!((by_grpc.id.as_str(), by_grpc.key), (id(&first), None));
        agent.me().await.success();

        let error = rest.post("/v1/keys", &json!({"name": "another"})).await.refused(409, "conflict");
        assert_eq!(error["param"], "idempotency_key");
        assert!(error["message"].as_str().unwrap().contains("Idempotency-Key"), "{error}");
        assert_eq!(count(operator).await, 2);
        // Another key, another account: another call.
        under(operator, "b").post("/v1/keys", &json!({"name": "agent"})).await.success();
        assert_eq!(count(operator).await, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_repeated_rotates_nothing() {
    with_an_operator(async |_, operator| {
        let (_, issued) = operator.equip(json!({"name": "agent"})).await;
        let other = operator.create_key(json!({"name": "other"})).await.success();
        let rest = under(operator, "a").with(http::header::IF_MATCH, "\"1\"");
        let path = |key| format!("/v1/keys/{}/rotate", id(key));
        let first = rest.post(&path(&issued), &json!({"overlap_seconds": 60})).await.success();
        let agent = operator.agent(&first);
        let again = rest.post(&path(&issued), &json!({"overlap_seconds": 60})).await.success();
        assert_eq!((id(&again), &again["key"]), (id(&first), &json!(null)));
        assert_eq!(again["revision"], 2);
        agent.me().await.success();
        for (rest, path, body) in [
            (&rest, path(&issued), json!({"overlap_seconds": 61})),
            (&rest, path(&other), json!({"overlap_seconds": 60})),
            (&under(operator, "a"), path(&issued), json!({"overlap_seconds": 60})),
        ] {
            let error = rest.post(&path, &body).await.refused(409, "conflict");
            assert_eq!(error["param"], "idempotency_key");
        }
        // A creation is another call.
        under(operator, "a").post("/v1/keys", &json!({"name": "new"})).await.success();
        assert_eq!(operator.key(id(&other)).await.success()["revision"], 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_same_creation_at_the_same_time_one_has_the_secret() {
    with_an_operator(async |_, operator| {
        let rest = under(operator, "race");
        let body = json!({"name": "agent"});
        let answers = futures_util::future::join_all((0..16).map(|_| rest.post("/v1/keys", &body))).await;
        let issued: Vec<_> = answers.iter().map(|answer| answer.success()).collect();
        assert_eq!(issued.iter().filter(|one| one["key"].is_string()).count(), 1);
        assert!(issued.iter().all(|one| one["id"] == issued[0]["id"]));
        assert_eq!(count(operator).await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_failed_is_made_when_it_is_sent_again_and_after_a_day_it_is_a_new_one() {
    let clock = Arc::new(ManualClock::at("2026-03-14T09:26:53Z".parse().unwrap()));
    let server = TestServer::start(Settings::at(&Place::sqlite()).clock(&clock)).await;
    let operator = server.operator();
    let account = operator.account_id().await;
    operator.update_policy(&account, json!({"max_keys": 1})).await.success();
    let rest = under(&operator, "a");
    let body = json!({"name": "agent"});
    rest.post("/v1/keys", &body).await.refused(429, "key_limit_exceeded");
    operator.update_policy(&account, json!({"max_keys": 2})).await.success();
    let first = rest.post("/v1/keys", &body).await.success();
    assert!(first["key"].is_string());
    // A repetition asks for no place among the keys.
    clock.advance(TimeDelta::hours(24) - TimeDelta::seconds(1));
    assert_eq!(id(&rest.post("/v1/keys", &body).await.success()), id(&first));
    // Its token was for an hour.
    server.operator().update_policy(&account, json!({"max_keys": 3})).await.success();
    clock.advance(TimeDelta::seconds(1));
    let second = rest.post("/v1/keys", &body).await.success();
    assert!(second["key"].is_string() && id(&second) != id(&first));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_idempotency_key_is_refused_at_every_door() {
    let server = TestServer::new().await;
    let operator = server.operator();
    let issued = operator.create_key(json!({"name": "agent"})).await.success();
    let rotate = format!("/v1/keys/{}/rotate", id(&issued));
    for wrong in ["", "two words", &"x".repeat(256)] {
        for (path, body) in [("/v1/keys", json!({"name": "x"})), (&rotate, json!({}))] {
            let error = under(&operator, wrong).post(path, &body).await.refused(400, "invalid_request_error");
            assert_eq!(error["param"], "idempotency_key", "{wrong}");
        }
    }
    for wrong in ["\u{e9}", "a\u{0}", "a\u{7f}"] {
        let request = v1::RotateKeyRequest {
            key_id: id(&issued).to_owned(),
            idempotency_key: Some(wrong.into()),
            ..Default::default()
        };
        let status = operator.grpc().keys().rotate_key(request).await.unwrap_err();
        assert_eq!(Told::by_grpc(&status).param.as_deref(), Some("idempotency_key"), "{wrong:?}");
    }
    under(&operator, &"~".repeat(255)).post(&rotate, &json!({})).await.success();
    let in_body = operator.create_key(json!({"name": "x", "idempotency_key": "a"})).await;
    assert_eq!(in_body.refused(400, "invalid_request_error")["param"], "idempotency_key");
    assert_eq!(count(&operator).await, 2);
    server.stop().await;
}
