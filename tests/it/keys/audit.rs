//! The audit trail: who did what, what is different since, and what was refused.

use orqen::proto::v1;
use serde_json::{Value, json};

use crate::{
    keys::{id, with_an_operator},
    support::{
        actors::{Caller, Operator},
        rest::Answer,
        server::{Settings, TestServer},
        stores::on_every_store,
    },
};

async fn trail(operator: &Operator, query: &str) -> Vec<Value> {
    let page = operator.rest().get(&format!("/v1/account/audit{query}")).await.success();
    page["events"].as_array().unwrap().clone()
}

/// The newest event of a key, which an answer was for.
async fn event_of(operator: &Operator, key: &str, answer: &Answer) -> Value {
    let event = trail(operator, &format!("?key_id={key}&page_size=1")).await.remove(0);
    assert_eq!(event["request_id"], answer.header("x-request-id"), "{event}");
    event
}

fn changed<'a>(event: &'a Value, field: &str) -> (&'a Value, &'a Value) {
    let changes = event["changes"].as_array().unwrap();
    let change = changes.iter().find(|change| change["field"] == field);
    let change = change.unwrap_or_else(|| panic!("{field} in {event}"));
    (&change["before"], &change["after"])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_says_who_made_it_in_which_request_and_what_differs() {
    with_an_operator(async |_, operator| {
        let me = format!("key:{}", operator.me().await.success()["key"]["id"].as_str().unwrap());
        let made = operator.create_key(json!({"name": "key", "denied_tools": ["rm"]})).await;
        let issued = made.success();
        let key = id(&issued);
        let event = event_of(operator, key, &made).await;
        assert_eq!((&event["actor"], &event["action"]), (&json!(me), &json!("create_key")));
        assert_eq!(changed(&event, "denied_tools"), (&Value::Null, &json!(["rm"])));
        assert_eq!(changed(&event, "scopes").1, &json!(["chat", "keys", "usage"]));
        assert_eq!(event["refusal"], Value::Null);

        let answer = operator.update_key(key, json!({"name": "new", "rate_limit_rpm": 7})).await;
        let event = event_of(operator, key, &answer).await;
        assert_eq!(event["action"], "update_key");
        assert_eq!(changed(&event, "name"), (&json!("key"), &json!("new")));
        assert_eq!(changed(&event, "rate_limit_rpm"), (&Value::Null, &json!(7)));
        assert_eq!(event["changes"].as_array().unwrap().len(), 2);

        let answer = operator.set_toollist(key, json!({"denied_tools": null})).await;
        let event = event_of(operator, key, &answer).await;
        assert_eq!(event["action"], "set_toollist");
        assert_eq!(changed(&event, "denied_tools"), (&json!(["rm"]), &Value::Null));

        let answer = operator.rotate_key(key, json!({"overlap_seconds": 60})).await;
        let event = event_of(operator, key, &answer).await;
        let (before, after) = changed(&event, "generations");
        assert_eq!((&event["action"], before.as_array().unwrap().len()), (&json!("rotate_key"), 1));
        assert_eq!(after[0]["key_prefix"], answer.success()["key_prefix"]);

        let answer = operator.delegate_key(key, json!({"allowed_tools": ["search"]})).await;
        let event = event_of(operator, key, &answer).await;
        assert_eq!(event["action"], "delegate_key");
        assert_eq!(changed(&event, "allowed_tools").1, &json!(["search"]));
        assert_eq!(changed(&event, "expires_at").1, &answer.success()["expires_at"]);

        let token = operator.delegate_key(key, json!({"scopes": ["keys"]})).await.success();
        let token = operator.rest().bearer(token["token"].as_str().unwrap());
        let answer = token.delete(&format!("/v1/keys/{key}")).await;
        answer.success();
        let event = event_of(operator, key, &answer).await;
        assert_eq!(event["action"], "revoke_key");
        let actor = event["actor"].as_str().unwrap();
        assert!(actor.starts_with("token:") && actor.ends_with(&format!(" of key:{key}")), "{actor}");
        // Once more changes nothing, and is nothing.
        operator.revoke_key(key).await.success();
        assert_eq!(trail(operator, &format!("?key_id={key}&page_size=1")).await[0], event);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_acts_are_in_the_trail_of_the_account() {
    with_an_operator(async |_, operator| {
        let account = operator.account_id().await;
        for _ in 0..3 {
            operator.create_key(json!({"name": "key"})).await.success();
        }
        let answer = operator.update_policy(&account, json!({"max_keys": 9})).await;
        let event = trail(operator, "?page_size=1").await.remove(0);
        assert_eq!((&event["action"], &event["key_id"]), (&json!("update_policy"), &Value::Null));
        assert_eq!(event["request_id"], answer.header("x-request-id"));
        assert!(event["actor"].as_str().unwrap().starts_with("jwt:"), "{event}");
        assert_eq!(changed(&event, "max_keys").1, &json!(9));

        let me = operator.me().await.success()["key"]["id"].as_str().unwrap().to_owned();
        let answer = operator.revoke_keys(&account, json!({"created_by": format!("key:{me}")})).await;
        let ended = trail(operator, "?page_size=3").await;
        for event in &ended {
            assert_eq!(event["action"], "revoke_key");
            assert_eq!(event["request_id"], answer.header("x-request-id"));
        }
        let other = operator.create_account("other").await.success()["id"].as_str().unwrap().to_owned();
        operator.update_policy(&other, json!({"max_keys": 1})).await.success();
        assert_eq!(trail(operator, "?page_size=3").await, ended);
        let first = trail(operator, "").await.pop().unwrap();
        assert_eq!((&first["action"], &first["actor"]), (&json!("create_account"), &json!("bootstrap")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_attempts_are_in_it_and_bad_input_is_not() {
    with_an_operator(async |_, operator| {
        let (narrow, key) =
            operator.equip(json!({"name": "narrow", "scopes": ["keys"], "denied_tools": ["rm"]})).await;
        let (chat, chat_key) = operator.equip(json!({"name": "chat", "scopes": ["chat"]})).await;
        let start = trail(operator, "").await.len();
        let (key, chat_key) = (format!("key:{}", id(&key)), format!("key:{}", id(&chat_key)));
        let nobody = "018f0000-0000-7000-8000-000000000000";
        let mine = operator.me().await.success()["key"]["id"].as_str().unwrap().to_owned();

        let attempts = [
            (
                narrow.create_key(json!({"name": "a", "denied_tools": []})).await,
                &key,
                "create_key",
                Value::Null,
            ),
            (narrow.rotate_key(&mine, json!({})).await, &key, "rotate_key", json!(mine)),
            (narrow.update_key(nobody, json!({"name": "b"})).await, &key, "update_key", json!(nobody)),
            (chat.create_key(json!({"name": "c"})).await, &chat_key, "create_key", Value::Null),
            (
                chat.rest().post("/v1/accounts", &json!({"name": "d"})).await,
                &chat_key,
                "create_account",
                Value::Null,
            ),
        ];
        let events = trail(operator, "").await;
        assert_eq!(events.len(), start + attempts.len());
        for (event, (answer, actor, action, about)) in events.iter().zip(attempts.iter().rev()) {
            let error = &answer.json()["error"];
            assert_eq!((&event["actor"], &event["action"]), (&json!(actor), &json!(action)), "{event}");
            assert_eq!(event["key_id"], *about, "{event}");
            assert_eq!(event["request_id"], answer.header("x-request-id"));
            assert_eq!(event["changes"], json!([]));
            assert_eq!(event["refusal"]["code"], error["code"]);
            assert_eq!(event["refusal"]["field"], error["param"]);
            assert_eq!(event["refusal"]["message"], error["message"]);
        }
        let codes: Vec<_> = events[..5].iter().rev().map(|event| event["refusal"]["code"].clone()).collect();
        let scope = "insufficient_scope";
        assert_eq!(codes, ["privilege_escalation", "privilege_escalation", "key_not_found", scope, scope]);

        operator.create_key(json!({"name": ""})).await.refused(400, "invalid_request_error");
        operator.update_key(&mine, json!({"nam": "x"})).await.refused(400, "invalid_request_error");
        chat.list_keys("").await.refused(403, "insufficient_scope");
        assert_eq!(trail(operator, "").await, events);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_keeps_trying_fills_no_table() {
    on_every_store(async |place| {
        let server = TestServer::start(Settings::at(&place)).await;
        let operator = server.operator();
        let (chat, key) = operator.equip(json!({"name": "chat", "scopes": ["chat"]})).await;
        for _ in 0..75 {
            chat.revoke_key(id(&key)).await.refused(403, "insufficient_scope");
        }
        let refused = trail(&operator, "?page_size=1000").await;
        let written = refused.iter().filter(|event| event["refusal"] != Value::Null).count();
        // What a minute grants, and a second more of it on a slow machine.
        assert!((60..=62).contains(&written), "{written}");
        let metrics = operator.rest().get("/metrics").await;
        let text = String::from_utf8(metrics.body.to_vec()).unwrap();
        let unwritten = format!("orqen_audit_refusals_unwritten_total {}\n", 75 - written);
        assert!(text.contains(&unwritten), "{unwritten} in {text}");
        server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_the_same_by_grpc_page_by_page_and_needs_the_scope_usage() {
    with_an_operator(async |server, operator| {
        for name in ["a", "b", "c"] {
            operator.create_key(json!({"name": name})).await.success();
        }
        let (keys, _) = operator.equip(json!({"name": "d", "scopes": ["keys"]})).await;
        keys.rest().get("/v1/account/audit").await.refused(403, "insufficient_scope");
        let all = trail(operator, "").await;
        let mut found = Vec::new();
        let mut client = operator.grpc().keys();
        let mut request = v1::ListAuditEventsRequest { page_size: Some(2), ..Default::default() };
        loop {
            let page = client.list_audit_events(request.clone()).await.unwrap().into_inner();
            found.extend(page.events.into_iter().map(|event| event.id));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        assert_eq!(found, all.iter().map(|event| event["id"].as_str().unwrap()).collect::<Vec<_>>());
        let until = all[2]["at"].as_str().unwrap();
        let older = trail(operator, &format!("?until={until}")).await;
        assert_eq!(older, all[3..]);
        let later = (server.now() + chrono::TimeDelta::seconds(10)).to_rfc3339().replace('+', "%2B");
        assert_eq!(trail(operator, &format!("?since={later}")).await, [] as [Value; 0]);
        for (query, field) in [
            ("page_size=0", "page_size"),
            ("key_id=x", "key_id"),
            ("since=x", "since"),
            ("page_token=x", "page_token"),
        ] {
            let answer = operator.rest().get(&format!("/v1/account/audit?{query}")).await;
            assert_eq!(answer.refused(400, "invalid_request_error")["param"], field);
        }
    })
    .await;
}
