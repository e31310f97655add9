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
            (json!({"scopes": ["usage", "chat"]}), "scopes", json!(["chat", "usage"]), 7),
            (json!({"tool_mode": "block"}), "tool_mode", json!("block"), 8),
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
        assert_eq!(operator.key(id(&issued)).await.success()["revision"], 8);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_set_each_for_itself_and_null_leaves_them_to_the_policy() {
    with_an_operator(async |_, operator| {
        let account = operator.account_id().await;
        operator.update_policy(&account, json!({"requests_per_minute": 60})).await.success();
        let issued = operator.create_key(json!({"name": "key", "daily_token_budget": 7})).await.success();
        let change = json!({"rate_limit_rpm": 20, "weekly_token_budget": 0, "k_target_override": 8});
        let key = operator.update_key(id(&issued), change).await.success();
        let own = |value: i64| json!({"value": value, "source": "key"});
        let limits = &key["limits"];
        assert_eq!(limits["rate_limit_rpm"], own(20));
        assert_eq!(limits["daily_token_budget"], own(7));
        assert_eq!(limits["weekly_token_budget"], own(0));
        assert_eq!(limits["k_target"], own(8));
        let change = json!({"rate_limit_rpm": null, "daily_token_budget": null});
        let key = operator.update_key(id(&issued), change).await.success();
        let limits = &key["limits"];
        assert_eq!(limits["rate_limit_rpm"], json!({"value": 60, "source": "policy"}));
        assert_eq!(limits["daily_token_budget"], json!({"value": null, "source": "policy"}));
        assert_eq!(limits["weekly_token_budget"], own(0));
        assert_eq!(limits["k_target"], own(8));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_scopes_mode_and_limits_holds_for_the_next_request() {
    with_an_operator(async |_, operator| {
        let (agent, issued) = operator.equip(json!({"name": "agent", "denied_tools": ["rm"]})).await;
        let body = json!({
            "model": "orqen/demo",
            "messages": [{"role": "user", "content": "hello"}],
            "tools": [{"type": "function", "function": {"name": "rm"}}],
        });
        agent.chat(body.clone()).await.success();
        operator.update_key(id(&issued), json!({"tool_mode": "block"})).await.success();
        agent.chat(body.clone()).await.refused(403, "tool_not_allowed");
        operator.update_key(id(&issued), json!({"tool_mode": "filter", "rate_limit_rpm": 1})).await.success();
        let limited = agent.chat(body.clone()).await;
        assert_eq!(limited.header("x-ratelimit-limit-requests"), "1", "{limited:?}");
        operator.update_key(id(&issued), json!({"scopes": ["keys"]})).await.success();
        agent.chat(body).await.refused(403, "insufficient_scope");
        agent.list_keys("").await.success();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_a_change_is_told_in_one_answer() {
    let server = TestServer::new().await;
    let operator = server.operator();
    let issued = operator.create_key(json!({"name": "key"})).await.success();
    let change = json!({
        "name": "", "expires_at": "2001-01-01T00:00:00Z", "disabled": null, "scopes": null,
        "rate_limit_rpm": 0, "tool_mode": "lax", "k_target_override": 1001, "nonsense": 1,
    });
    let refused =
        operator.update_key(id(&issued), change.clone()).await.refused(400, "invalid_request_error");
    let message = refused["message"].as_str().unwrap();
    for member in change.as_object().unwrap().keys() {
        assert!(message.contains(member.as_str()), "{member}: {message}");
    }
    server.stop().await;
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
        (json!({"allowed_tools": ["a"]}), "allowed_tools"),
        (json!({"scopes": null}), "scopes"),
        (json!({"scopes": []}), "scopes"),
        (json!({"scopes": ["chat", "operator"]}), "scopes[1]"),
        (json!({"tool_mode": null}), "tool_mode"),
        (json!({"tool_mode": "lax"}), "tool_mode"),
        (json!({"rate_limit_rpm": 0}), "rate_limit_rpm"),
        (json!({"daily_token_budget": -1}), "daily_token_budget"),
        (json!({"weekly_token_budget": 1_000_000_000_001_i64}), "weekly_token_budget"),
        (json!({"k_target_override": 1001}), "k_target_override"),
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
        ..Default::default()
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
        (update(None, None, &["scopes"]), "scopes"),
        (update(None, None, &["tool_mode"]), "tool_mode"),
        // No number but those of the three modes means one, least of all the laxest.
        (v1::UpdateKeyRequest { tool_mode: Some(0), ..update(None, None, &[]) }, "tool_mode"),
        (v1::UpdateKeyRequest { tool_mode: Some(9), ..update(None, None, &[]) }, "tool_mode"),
    ] {
        let status = keys.update_key(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(Told::by_grpc(&status).param.as_deref(), Some(param), "{request:?}");
    }
    assert_eq!(operator.key(id(&issued)).await.success()["revision"], 3);
    server.stop().await;
}
