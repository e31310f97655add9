//! One record a request, exactly one, however it ends: the summary adds up.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    chat::House,
    support::{
        actors::{Agent, Caller},
        upstream::Reply,
    },
};

/// How often the summary is looked at before it is wrong: it trails the requests by less than a second, but
/// for the first, which waits for the vocabulary to be read: many seconds in a debug build on a busy machine.
const LOOKS: usize = 2400;

/// Waits until the agent's summary counts as many requests as expected, and then compares all of it.
pub(crate) async fn recorded(agent: &Agent, expected: Value) -> Value {
    let mut summary = agent.usage_summary().await.success();
    for _ in 0..LOOKS {
        if summary["requests"]["total"].as_i64() >= expected["total"].as_i64() {
            break;
        }
        // The writer is a task of the server with a pace of its own, on real time like its sockets.
        tokio::time::sleep(Duration::from_millis(25)).await;
        summary = agent.usage_summary().await.success();
    }
    assert_eq!(summary["requests"], expected, "{summary}");
    summary
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_has_zeroes() {
    let house = House::new().await;
    let agent = house.agent().await;
    let summary =
        recorded(&agent, json!({"total": 0, "complete": 0, "client": 0, "upstream": 0, "error": 0})).await;
    assert_eq!(summary["tools"], json!({"input": 0, "denied": 0, "output": 0, "would_deny": 0, "called": 0}));
    assert_eq!(summary["estimated_tokens_saved"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mix_of_endings_adds_up_for_the_key_and_its_account() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    let offering = r#"{"model":"gpt-4o","tools":[{"name":"gone","description":"a tool that nobody may use"},{"name":"a"}]}"#;
    agent.posts(offering).await.success();
    agent.calls_raw(offering).await.unwrap();
    agent.posts(r#"{"model":"orqen/demo","messages":[{"role":"user","content":"x"}]}"#).await.success();
    house.upstream.will(Reply::events(&["data: 1\n\n", "data: [DONE]\n\n"]));
    agent.posts(r#"{"model":"gpt-4o","stream":true}"#).await;

    house.upstream.will(Reply::status("500 Internal Server Error", &[], "{}"));
    assert_eq!(agent.posts(offering).await.status, 500);
    house.upstream.will(Reply::status("401 Unauthorized", &[], "{}"));
    agent.posts(r#"{"model":"gpt-4o"}"#).await.refused(502, "upstream_credential_rejected");
    house.upstream.will(Reply::raw(""));
    agent.posts(r#"{"model":"gpt-4o"}"#).await.refused(502, "upstream_unreachable");

    agent.posts(r#"{"model":"llama"}"#).await.refused(404, "model_not_found");
    agent.posts("{").await.refused(400, "invalid_request_error");
    let forced = r#"{"model":"gpt-4o","tools":[{"name":"gone"}],"tool_choice":"required"}"#;
    agent.posts(forced).await.refused(403, "tool_not_allowed");

    let stream = house.upstream.will_stream();
    drop(agent.over_http1().opens(r#"{"model":"gpt-4o","stream":true}"#).await);

    let expected = json!({"total": 11, "complete": 4, "client": 1, "upstream": 3, "error": 3});
    let summary = recorded(&agent, expected).await;
    // Three requests with two tools, and the refused one with one.
    let tools = json!({"input": 7, "denied": 4, "output": 3, "would_deny": 0, "called": 0});
    assert_eq!(summary["tools"], tools);
    let saved = json!({"by_pruning": 0, "by_lists": summary["estimated_tokens_saved"]});
    assert_eq!(summary["tokens_saved"], saved);
    assert!(summary["estimated_tokens_saved"].as_i64() > Some(0), "{summary}");
    assert_eq!(summary["account"]["requests"], summary["requests"]);
    drop(stream);

    // Another key of the account sees the account's, and zeroes of its own.
    let other = house.agent().await;
    let summary = other.usage_summary().await.success();
    assert_eq!(
        (&summary["requests"]["total"], &summary["account"]["requests"]["total"]),
        (&json!(0), &json!(11))
    );
    let blind = house.agent_with(json!({"scopes": ["chat"]})).await;
    assert_eq!(blind.usage_summary().await.success()["account"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_was_a_chat_request_leaves_no_record() {
    let house = House::new().await;
    let agent = house.agent_with(json!({"scopes": ["usage"]})).await;
    agent.posts(r#"{"model":"gpt-4o"}"#).await.refused(403, "insufficient_scope");
    let chatting = house.agent().await;
    chatting.posts(r#"{"model":"gpt-4o"}"#).await.success();
    recorded(&chatting, json!({"total": 1, "complete": 1, "client": 0, "upstream": 0, "error": 0})).await;
    recorded(&agent, json!({"total": 0, "complete": 0, "client": 0, "upstream": 0, "error": 0})).await;
}
