//! Tokens for sub-agents: less than the key holds, counted as the key, and gone with it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use orqen::{clock::ManualClock, proto::v1};
use serde_json::{Value, json};

use crate::{
    chat::House,
    keys::{id, with_an_operator},
    support::{
        actors::{Agent, Caller, Operator},
        server::{Settings, TestServer},
        stores::{Place, on_every_store},
    },
};

const EVERYTHING: [&str; 3] = ["chat", "keys", "usage"];

/// Makes a token of a key, and whoever holds it.
async fn delegated(server: &TestServer, by: &impl Caller, key: &str, body: Value) -> (Agent, Value) {
    let made = by.delegate_key(key, body).await.success();
    (server.agent(made["token"].as_str().unwrap()), made)
}

/// Which of these tools the provider gets of a request.
async fn passing(house: &House, agent: &Agent, names: &[&str]) -> Vec<String> {
    let tools: Vec<Value> =
        names.iter().map(|name| json!({"type": "function", "function": {"name": name}})).collect();
    let before = house.upstream.received().len();
    agent.chat(json!({"model": "gpt-4o", "messages": [], "tools": tools})).await.success();
    assert_eq!(house.upstream.received().len(), before + 1);
    let body: Value = serde_json::from_slice(&house.upstream.last().body).unwrap();
    let tools = body["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_passes_what_both_its_lists_and_its_keys_lists_of_now_let_pass() {
    let house = House::new().await;
    let names = ["git_log", "git_push", "git_pull", "rm", "web"];
    let (parent, key) =
        house.operator.equip(json!({"name": "agent", "allowed_tools": ["git_*", "web"]})).await;
    let narrow = json!({"allowed_tools": ["git_*"], "denied_tools": ["git_push"]});
    let (sub, made) = delegated(&house.server, &parent, id(&key), narrow).await;
    assert_eq!((&made["key_id"], &made["scopes"]), (&key["id"], &json!(["chat"])));
    assert_eq!(made["allowed_tools"], json!(["git_*"]));
    assert_eq!((&made["denied_tools"], &made["tool_mode"]), (&json!(["git_push"]), &json!("filter")));
    assert_eq!(passing(&house, &sub, &names).await, ["git_log", "git_pull"]);
    assert_eq!(passing(&house, &parent, &names).await, ["git_log", "git_push", "git_pull", "web"]);
    let (same, _) = delegated(&house.server, &parent, id(&key), json!({})).await;
    assert_eq!(passing(&house, &same, &names).await, ["git_log", "git_push", "git_pull", "web"]);

    // The key is narrowed, and its tokens with it, from the answer on; then widened, and they keep their own part.
    house.operator.set_toollist(id(&key), json!({"allowed_tools": ["*l*"]})).await.success();
    assert_eq!(passing(&house, &sub, &names).await, ["git_log", "git_pull"]);
    house.operator.set_toollist(id(&key), json!({"allowed_tools": ["*_l*", "rm"]})).await.success();
    assert_eq!(passing(&house, &sub, &names).await, ["git_log"]);
    assert_eq!(passing(&house, &same, &names).await, ["git_log", "rm"]);
    house.operator.set_toollist(id(&key), json!({"allowed_tools": null})).await.success();
    assert_eq!(passing(&house, &sub, &names).await, ["git_log", "git_pull"]);
    house.operator.set_toollist(id(&key), json!({"denied_tools": ["git_log"]})).await.success();
    assert_eq!(passing(&house, &sub, &names).await, ["git_pull"]);
    house.operator.update_key(id(&key), json!({"tool_mode": "block"})).await.success();
    let refused = sub.chat(json!({"model": "gpt-4o", "messages": [], "tools": [
        {"type": "function", "function": {"name": "rm"}}]}));
    refused.await.refused(403, "tool_not_allowed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_tokens_only_narrows_and_has_an_end() {
    let house = House::new().await;
    let (parent, key) = house.operator.equip(json!({"name": "agent"})).await;
    let key = id(&key);
    let list = |allowed: &[&str]| json!({"allowed_tools": allowed, "scopes": ["chat", "keys"]});
    let (first, made) = delegated(&house.server, &parent, key, list(&["a*", "b"])).await;
    let (second, last) = delegated(&house.server, &first, key, list(&["a*"])).await;
    let (third, _) = delegated(&house.server, &second, key, json!({"scopes": ["chat", "keys"]})).await;
    assert_eq!(passing(&house, &first, &["aa", "b", "c"]).await, ["aa", "b"]);
    assert_eq!(passing(&house, &second, &["aa", "b", "c"]).await, ["aa"]);
    assert_eq!(
        passing(&house, &third, &["aa", "b", "c"]).await,
        ["aa"],
        "what it is made from, not the key's"
    );
    for wider in
        [list(&["a*", "b"]), list(&["*"]), json!({"scopes": ["usage"]}), json!({"tool_mode": "observe"})]
    {
        second.delegate_key(key, wider).await.refused(403, "privilege_escalation");
    }
    let times =
        [&made, &last].map(|made| made["expires_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap());
    assert!(times[1] <= times[0]);
    let (fourth, _) = delegated(&house.server, &third, key, list(&["ab"])).await;
    fourth.delegate_key(key, json!({})).await.refused(403, "privilege_escalation");
    // One without the scope makes none at all.
    let (plain, _) = delegated(&house.server, &parent, key, json!({})).await;
    plain.delegate_key(key, json!({})).await.refused(403, "insufficient_scope");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_with_its_key_on_the_spot() {
    with_an_operator(async |server, operator| {
        for how in ["revoked", "disabled", "rotated", "narrowed"] {
            let (parent, key) = operator.equip(json!({"name": how})).await;
            let (sub, _) = delegated(server, &parent, id(&key), json!({"scopes": EVERYTHING})).await;
            sub.list_keys("").await.success();
            match how {
                "revoked" => operator.revoke_key(id(&key)).await.success(),
                "disabled" => operator.update_key(id(&key), json!({"disabled": true})).await.success(),
                "rotated" => operator.rotate_key(id(&key), json!({})).await.success(),
                _ => operator.update_key(id(&key), json!({"scopes": ["chat"]})).await.success(),
            };
            let (status, code) = match how {
                "revoked" => (401, "api_key_revoked"),
                "disabled" => (401, "api_key_disabled"),
                "rotated" => (401, "invalid_api_key"),
                _ => (403, "insufficient_scope"),
            };
            sub.list_keys("").await.refused(status, code);
            let listed = sub.grpc().keys().list_keys(v1::ListKeysRequest::default()).await;
            assert!(listed.is_err(), "{how}");
            if how == "disabled" {
                operator.update_key(id(&key), json!({"disabled": false})).await.success();
                sub.list_keys("").await.success();
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_does_to_the_key_ends_its_tokens_within_a_second() {
    on_every_store(async |place| {
        let server = TestServer::start(Settings::at(&place)).await;
        let replica = TestServer::start(Settings::at(&place)).await;
        let operator = server.operator();
        let (parent, key) = operator.equip(json!({"name": "agent"})).await;
        let (_, made) = delegated(&server, &parent, id(&key), json!({})).await;
        let there = replica.agent(made["token"].as_str().unwrap());
        there.me().await.success();
        operator.revoke_key(id(&key)).await.success();
        let gone = async {
            while there.me().await.status == 200 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.expect("it comes to hold");
        there.me().await.refused(401, "api_key_revoked");
        replica.stop().await;
        server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_lives_as_long_as_was_asked_and_no_longer_than_its_key() {
    let clock = Arc::new(ManualClock::at("2026-03-14T09:26:53Z".parse().unwrap()));
    let server = TestServer::start(Settings::at(&Place::sqlite()).clock(&clock)).await;
    let operator = server.operator();
    let (parent, key) = operator.equip(json!({"name": "a", "expires_at": "2026-03-14T10:00:00.5Z"})).await;
    for (asked, until) in [
        (json!({}), "2026-03-14T09:36:53Z"),
        (json!({"expires_in_seconds": 1}), "2026-03-14T09:26:54Z"),
        (json!({"expires_in_seconds": 3600}), "2026-03-14T10:00:00Z"),
    ] {
        assert_eq!(delegated(&server, &parent, id(&key), asked).await.1["expires_at"], until);
    }
    let (sub, _) = delegated(&server, &parent, id(&key), json!({})).await;
    // With an overlap a rotation lets it live on, until that ends.
    operator.rotate_key(id(&key), json!({"overlap_seconds": 60})).await.success();
    sub.me().await.success();
    clock.advance(TimeDelta::seconds(60));
    sub.me().await.refused(401, "invalid_api_key");
    let (sub, _) = delegated(&server, &operator, id(&key), json!({})).await;
    clock.advance(TimeDelta::milliseconds(599_999));
    sub.me().await.success();
    clock.advance(TimeDelta::milliseconds(1));
    sub.me().await.refused(401, "invalid_api_key");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_as_its_key_and_says_who_it_is() {
    let house = House::new().await;
    let (parent, key) = house.operator.equip(json!({"name": "agent", "rate_limit_rpm": 2})).await;
    let (sub, _) = delegated(&house.server, &parent, id(&key), json!({"scopes": EVERYTHING})).await;
    let hello = json!({"model": "gpt-4o", "messages": []});
    let answer = sub.chat(hello.clone()).await;
    answer.success();
    parent.chat(hello.clone()).await.success();
    sub.chat(hello.clone()).await.refused(429, "rate_limit_exceeded");
    parent.chat(hello).await.refused(429, "rate_limit_exceeded");
    let request = answer.header("x-request-id");
    let record = loop {
        let read = sub.rest().get(&format!("/v1/requests/{request}")).await;
        if read.status == 200 {
            break read.success();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(record["key_id"], key["id"]);
    let me = sub.me().await.success();
    assert_eq!(me["key"]["id"], key["id"]);
    assert!(me["key"]["expires_at"].is_string(), "that of the token");
    // Keys that it makes say so, and end when it does.
    let child = sub.create_key(json!({"name": "child"})).await.success();
    let by = child["created_by"].as_str().unwrap();
    assert!(by.starts_with("token:") && by.ends_with(&format!(" of key:{}", id(&key))), "{by}");
    assert_eq!(child["expires_at"], me["key"]["expires_at"]);
    for (what, body) in [("name", json!({"name": "mine"})), ("limit", json!({"rate_limit_rpm": 9}))] {
        let answer = sub.update_key(id(&key), body).await;
        assert_eq!(answer.status, 403, "{what}: the key outlives the token");
        answer.refused(403, "privilege_escalation");
    }
    sub.rotate_key(id(&key), json!({})).await.refused(403, "privilege_escalation");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_delegates_more_than_it_holds() {
    with_an_operator(async |server, operator| {
        let free = operator.create_key(json!({"name": "free"})).await.success();
        let (agent, own) = operator.equip(json!({"name": "own", "allowed_tools": ["a*"]})).await;
        let child = agent.create_key(json!({"name": "child", "allowed_tools": ["ab*"]})).await.success();
        let (sub, made) = delegated(server, &agent, id(&child), json!({})).await;
        assert_eq!((&made["key_id"], &made["allowed_tools"]), (&child["id"], &json!(["ab*"])));
        sub.me().await.success();
        agent.delegate_key(id(&free), json!({})).await.refused(403, "privilege_escalation");
        agent
            .delegate_key(id(&child), json!({"allowed_tools": ["a*"]}))
            .await
            .refused(403, "privilege_escalation");
        for wider in [json!({"allowed_tools": ["*"]}), json!({"allowed_tools": ["a*", "b"]})] {
            let answer = agent.delegate_key(id(&own), wider).await;
            assert_eq!(answer.refused(403, "privilege_escalation")["param"], "allowed_tools");
        }
        // Not even an operator widens a key by a token.
        operator
            .delegate_key(id(&own), json!({"tool_mode": "observe"}))
            .await
            .refused(403, "privilege_escalation");
        operator.update_key(id(&own), json!({"scopes": ["keys"]})).await.success();
        agent.delegate_key(id(&own), json!({})).await.refused(403, "privilege_escalation");
        operator.revoke_key(id(&child)).await.success();
        operator.delegate_key(id(&child), json!({})).await.refused(409, "conflict");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_no_header_can_carry_is_refused_and_a_token_of_grpc_is_one_for_rest() {
    let server = TestServer::new().await;
    let operator: Operator = server.operator();
    let (agent, key) = operator.equip(json!({"name": "agent"})).await;
    let long: Vec<String> = (0..100).map(|number| format!("{number:0>64}")).collect();
    let answer = agent.delegate_key(id(&key), json!({"allowed_tools": long})).await;
    assert_eq!(answer.refused(400, "invalid_request_error")["param"], "allowed_tools");
    delegated(&server, &agent, id(&key), json!({"allowed_tools": long[..80]})).await.0.me().await.success();

    let request = v1::DelegateKeyRequest { key_id: id(&key).to_owned(), ..Default::default() };
    let made = agent.grpc().keys().delegate_key(request).await.unwrap().into_inner();
    assert_eq!(made.scopes, [v1::Scope::Chat as i32]);
    let sub = server.agent(&made.token);
    sub.chat(json!({"messages": [{"role": "user", "content": "hello"}]})).await.success();
    let listed = sub.grpc().keys().list_keys(v1::ListKeysRequest::default()).await.unwrap_err();
    assert_eq!(listed.code(), tonic::Code::PermissionDenied);
    server.stop().await;
}
