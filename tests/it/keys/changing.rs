//! Changing and revoking a key: what is left out stays, `null` takes away, and a revoked key is gone for good.

use std::sync::Arc;

use chrono::TimeDelta;
use orqen::{clock::ManualClock, proto::v1};
use prost_types::FieldMask;
use sea_orm::ConnectionTrait;
use serde_json::json;
use tonic::Code;

use crate::{
    keys::{id, shown, with_an_operator},
    support::{
        actors::Caller,
        server::{Settings, TestServer},
        stores::Place,
        told::Told,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_it_names_and_nothing_else() {
    with_an_operator(async |_, operator| {
        let (agent, issued) = operator.equip(json!({"name": "before", "denied_tools": ["rm"]})).await;
        let mut expected = shown(&issued);
        let expires_at = "2099-01-01T00:00:00Z";
        for (change, member, value, revision) in [
            (json!({"name": " after "}), "name", json!("after"), 2),
            (json!({"expires_at": expires_at}), "expires_at", json!(expires_at), 3),
            (json!({"expires_at": null}), "expires_at", json!(null), 4),
            (json!({"disabled": true}), "status", json!("disabled"), 5),
            (json!({"disabled": false}), "status", json!("active"), 6),
        ] {
            expected[member] = value;
            expected["revision"] = json!(revision);
            assert_eq!(
                operator.update_key(id(&issued), change.clone()).await.success(),
                expected,
                "{change}"
            );
        }
        for nothing in [json!({}), json!({"name": "after"}), json!({"disabled": false})] {
            assert_eq!(
                operator.update_key(id(&issued), nothing.clone()).await.success(),
                expected,
                "{nothing}"
            );
        }
        agent.me().await.success();
        assert_eq!(operator.key(id(&issued)).await.success()["revision"], 6);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_key_is_refused_from_the_answer_on_and_back_when_switched_on() {
    with_an_operator(async |_, operator| {
        let (agent, issued) = operator.equip(json!({"name": "agent"})).await;
        agent.me().await.success();
        operator.update_key(id(&issued), json!({"disabled": true})).await.success();
        agent.me().await.refused(401, "api_key_disabled");
        operator.update_key(id(&issued), json!({"disabled": false})).await.success();
        agent.me().await.success();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_key_says_so_and_a_later_expiry_brings_it_back() {
    let clock = Arc::new(ManualClock::at("2026-03-14T09:26:53Z".parse().unwrap()));
    let server = TestServer::start(Settings::at(&Place::sqlite()).clock(&clock)).await;
    let operator = server.operator();
    let (agent, issued) =
        operator.equip(json!({"name": "agent", "expires_at": "2026-03-14T09:27:00Z"})).await;
    agent.me().await.success();
    clock.advance(TimeDelta::seconds(7));
    agent.me().await.refused(401, "api_key_expired");
    assert_eq!(operator.key(id(&issued)).await.success()["status"], "expired");
    let back =
        operator.update_key(id(&issued), json!({"expires_at": "2026-03-14T09:28:00Z"})).await.success();
    assert_eq!(back["status"], "active");
    agent.me().await.success();
    for past in ["2026-03-14T09:27:00Z", "1970-01-01T00:00:00Z"] {
        let refused = operator.update_key(id(&issued), json!({"expires_at": past})).await;
        assert_eq!(refused.refused(400, "invalid_request_error")["param"], "expires_at");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_dead_from_the_answer_on_and_for_good() {
    with_an_operator(async |_, operator| {
        let (agent, issued) = operator.equip(json!({"name": "agent"})).await;
        agent.me().await.success();
        let answer = json!({"id": id(&issued), "revoked": true});
        assert_eq!(operator.revoke_key(id(&issued)).await.success(), answer);
        agent.me().await.refused(401, "api_key_revoked");
        let revoked = operator.key(id(&issued)).await.success();
        assert_eq!(operator.revoke_key(id(&issued)).await.success(), answer, "again");
        assert_eq!(operator.key(id(&issued)).await.success(), revoked, "the second time changes nothing");
        operator.update_key(id(&issued), json!({"disabled": false})).await.refused(409, "conflict");
        operator.set_toollist(id(&issued), json!({"denied_tools": null})).await.refused(409, "conflict");
        agent.me().await.refused(401, "api_key_revoked");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_row_cannot_be_read_can_be_revoked() {
    let place = Place::sqlite();
    let server = TestServer::start(Settings::at(&place)).await;
    let operator = server.operator();
    let (agent, issued) = operator.equip(json!({"name": "broken"})).await;
    agent.me().await.success();
    let store = sea_orm::Database::connect(place.url()).await.unwrap();
    let broken = "UPDATE \"key\" SET allowed_tools = '[' WHERE name = 'broken'";
    store.execute_unprepared(broken).await.unwrap();
    for _ in 0..2 {
        let answer = operator.revoke_key(id(&issued)).await.success();
        assert_eq!(answer, json!({"id": id(&issued), "revoked": true}));
        agent.me().await.refused(401, "api_key_revoked");
    }
    store.close().await.unwrap();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_can_revoke_itself() {
    let server = TestServer::new().await;
    let (agent, issued) = server.operator().equip(json!({"name": "agent", "allowed_tools": []})).await;
    agent.revoke_key(id(&issued)).await.success();
    agent.revoke_key(id(&issued)).await.refused(401, "api_key_revoked");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_cleared_is_refused() {
    let server = TestServer::new().await;
    let operator = server.operator();
    let issued = operator.create_key(json!({"name": "key"})).await.success();
    for (change, param) in [
        (json!({"name": null}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"disabled": null}), "disabled"),
        (json!({"update_mask": "name"}), "update_mask"),
        (json!({"update_mask": {"paths": ["name"]}, "name": "x"}), "update_mask"),
        (json!({"key_id": "x"}), "key_id"),
        (json!({"scopes": ["chat"]}), "scopes"),
    ] {
        let refused = operator.update_key(id(&issued), change.clone()).await;
        assert_eq!(refused.refused(400, "invalid_request_error")["param"], param, "{change}");
    }
    assert_eq!(operator.key(id(&issued)).await.success(), shown(&issued));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_the_mask_says_what_changes() {
    let server = TestServer::new().await;
    let operator = server.operator();
    let issued =
        operator.create_key(json!({"name": "key", "expires_at": "2099-01-01T00:00:00Z"})).await.success();
    let mut keys = operator.grpc().keys();
    let update = |name: Option<&str>, disabled: Option<bool>, paths: &[&str]| v1::UpdateKeyRequest {
        key_id: id(&issued).to_owned(),
        name: name.map(str::to_owned),
        expires_at: None,
        disabled,
        update_mask: Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
    };
    let key = |answer: tonic::Response<v1::UpdateKeyResponse>| answer.into_inner().key.unwrap();

    let set = key(keys.update_key(update(Some("set"), None, &[])).await.unwrap());
    assert_eq!(
        (set.name.as_str(), set.expires_at.is_some()),
        ("set", true),
        "an empty mask: every field that is set"
    );
    let cleared = key(keys.update_key(update(None, None, &["expires_at"])).await.unwrap());
    assert_eq!((cleared.name.as_str(), cleared.expires_at.is_some()), ("set", false));

    for (request, param) in [
        (update(Some("lost"), Some(true), &["disabled"]), "name"),
        (update(Some("lost"), None, &["name", "secret"]), "update_mask"),
        (update(None, None, &["name"]), "name"),
        (update(None, None, &["disabled"]), "disabled"),
    ] {
        let status = keys.update_key(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(Told::by_grpc(&status).param.as_deref(), Some(param), "{request:?}");
    }
    assert_eq!(operator.key(id(&issued)).await.success()["revision"], 3);
    server.stop().await;
}
