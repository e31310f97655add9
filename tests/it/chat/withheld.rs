//! The answer's side of the tool lists, of answers in one piece: a call that the key may not make does not reach the
//! agent, and what cannot be checked for one does not either. Streams are in `withheld_streams`.

use serde_json::{Value, json};

use crate::{
    chat::{
        CHAT, DOORS, Door, House, refusal,
        toollists::observed,
        typed::{asking, function},
        usage::recorded,
    },
    support::{
        actors::{Agent, Caller},
        upstream::Reply,
    },
};

const ASKED: &str = r#"{"model":"gpt-4o","messages":[],"tools":[{"name":"kept"}]}"#;
/// An answer with three calls, and how the two are spelt that may be made.
const CALLS: &str = "{ \"id\":\"1\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[ {\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"kept\",\"arguments\":\"{}\"}},\n{\"id\":\"b\",\"type\":\"function\",\"function\":{\"name\":\"G\\u006fne\",\"arguments\":\"{}\"}},{\"id\":\"c\",\"type\":\"custom\",\"custom\":{\"name\":\"other\",\"input\":\"\"}}]},\"finish_reason\":\"tool_calls\"}],\"x\":1.0}\n";
const LEFT: &str = "{ \"id\":\"1\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[ {\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"kept\",\"arguments\":\"{}\"}},{\"id\":\"c\",\"type\":\"custom\",\"custom\":{\"name\":\"other\",\"input\":\"\"}}]},\"finish_reason\":\"tool_calls\"}],\"x\":1.0}\n";
/// One whose only call may not be made.
const GONE: &str = r#"{"choices":[{"index":0,"message":{"content":null,"tool_calls":[{"function":{"name":"gone","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
const STOPPED: &str = r#"{"choices":[{"index":0,"message":{"content":null},"finish_reason":"stop"}]}"#;

/// What the agent gets of an answer, which must be a success.
async fn got(house: &House, agent: &Agent, door: Door, answer: &str) -> String {
    house.upstream.will(Reply::json(answer));
    match agent.enters(door, ASKED).await {
        crate::chat::Outcome::Answered { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
        refused => panic!("{refused:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_the_key_may_not_make_does_not_reach_the_agent() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    for door in DOORS {
        assert_eq!(got(&house, &agent, door, CALLS).await, LEFT, "{door:?}");
        assert_eq!(got(&house, &agent, door, GONE).await, STOPPED, "{door:?}");
    }
    house.upstream.will(Reply::json(CALLS));
    let answer = agent.posts(ASKED).await;
    assert_eq!(answer.header("content-length"), LEFT.len().to_string());

    house.upstream.will(Reply::json(CALLS));
    let answer = agent.grpc().chat().create_chat_completion(asking(vec![function("kept")])).await.unwrap();
    let calls = &answer.get_ref().choices[0].message.as_ref().unwrap().tool_calls;
    assert_eq!(calls.iter().filter_map(|call| call.id.as_deref()).collect::<Vec<_>>(), ["a", "c"]);
    house.upstream.will(Reply::json(GONE));
    let answer = agent.grpc().chat().create_chat_completion(asking(vec![function("kept")])).await.unwrap();
    let choice = &answer.get_ref().choices[0];
    assert_eq!(choice.finish_reason.as_deref(), Some("stop"));
    assert!(choice.message.as_ref().unwrap().tool_calls.is_empty());

    // The model has called them all the same.
    let summary =
        recorded(&agent, json!({"total": 7, "complete": 7, "client": 0, "upstream": 0, "error": 0})).await;
    assert_eq!(summary["tools"]["called"], 4 * 3 + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_may_use_is_what_its_lists_say_of_requests() {
    let house = House::new().await;
    let call = |name: &str| GONE.replace("gone", name);
    for (lists, passes, goes) in [
        (
            json!({"allowed_tools": ["kept", "fs_*"]}),
            &["kept", "fs_read"][..],
            &["Kept", "kept ", "other"][..],
        ),
        (json!({"denied_tools": ["rm_*"]}), &["other", "xrm_"], &["RM_rf", "rm_\u{200b}", "ｒm_x"]),
        (json!({"allowed_tools": ["fs_*"], "denied_tools": ["fs_rm"]}), &["fs_ls"], &["FS_RM", "fs_rm"]),
        (json!({"allowed_tools": []}), &[], &["kept"]),
        (json!({"denied_tools": ["gone"], "tool_mode": "block"}), &["kept"], &["gone"]),
    ] {
        let agent = house.agent_with(lists.clone()).await;
        for name in passes {
            let json = call(name);
            let answer = house_answer(&house, &agent, &json).await;
            assert_eq!(answer, json, "{lists}");
        }
        for name in goes {
            assert_eq!(house_answer(&house, &agent, &call(name)).await, STOPPED, "{lists} {name}");
        }
    }
}

/// What comes of a request without tools, which no mode refuses.
async fn house_answer(house: &House, agent: &Agent, json: &str) -> String {
    house.upstream.will(Reply::json(json));
    let answer = agent.posts(r#"{"model":"gpt-4o","messages":[]}"#).await;
    answer.success();
    String::from_utf8(answer.body.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_takes_nothing_out_and_counts_and_filter_does_both() {
    let house = House::new().await;
    let agent = observed(&house).await;
    for door in DOORS {
        assert_eq!(got(&house, &agent, door, GONE).await, GONE, "{door:?}");
    }
    got(&house, &house.denied(&["gone"]).await, Door::Rest, CALLS).await;
    let metrics = house.server.anonymous().rest().get("/metrics").await;
    let text = std::str::from_utf8(&metrics.body).unwrap();
    for figure in [
        "orqen_tool_calls_denied_total{result=\"observed\"} 2",
        "orqen_tool_calls_denied_total{result=\"removed\"} 1",
    ] {
        assert!(text.contains(figure), "{figure} is not in\n{text}");
    }
}

/// Answers that could be read in two ways, or not at all.
const ODD: [&str; 7] = [
    r#"{"choices":[],"choices":[{"message":{"tool_calls":[{"function":{"name":"gone"}}]}}]}"#,
    r#"{"choices":[{"message":{"tool_calls":[],"Tool_Calls":[{"function":{"name":"gone"}}]}}]}"#,
    r#"{"choices":[{"message":{"tool_calls":[{"function":{"name":"kept","n\u0061me":"gone"}}]}}]}"#,
    r#"{"choices":[{"message":{"tool_calls":{"name":"gone"}}}]}"#,
    "data: {}\n\n",
    "{\"choices\":[",
    "\u{feff}{}",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_checked_is_kept_back_and_a_key_without_lists_gets_it_as_it_is() {
    let house = House::new().await;
    let (agent, free) = (house.denied(&["gone"]).await, house.agent().await);
    let encoded = |body: &str| {
        let headers = [("content-type", "application/json"), ("content-encoding", "x-own")];
        Reply::status("200 OK", &headers, body)
    };
    for door in DOORS {
        for odd in ODD {
            house.upstream.will(Reply::json(odd));
            let outcome = agent.enters(door, ASKED).await;
            assert!(outcome.refused("upstream_unreachable").1.contains("cannot be checked"), "{outcome:?}");
            assert_eq!(got(&house, &free, door, odd).await, odd);
        }
        house.upstream.will(encoded("{}"));
        agent.enters(door, ASKED).await.refused("upstream_unreachable");
        house.upstream.will(encoded("{}"));
        free.enters(door, ASKED).await.headers();
    }
    house.upstream.will(Reply::json(ODD[0]));
    let status = agent.grpc().chat().create_chat_completion(asking(vec![])).await.unwrap_err();
    refusal(&status).refused("upstream_unreachable");
    let total = 2 * (ODD.len() + 1) + 1;
    recorded(&agent, json!({"total": total, "complete": 0, "client": 0, "upstream": total, "error": 0}))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_passes_as_it_is() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    for (status, body) in
        [("500 Internal Server Error", ODD[0]), ("400 Bad Request", "<html>"), ("200 OK", "{}")]
    {
        house.upstream.will(Reply::status(status, &[("content-encoding", "identity")], body));
        let answer = agent.posts(ASKED).await;
        assert_eq!((answer.status.as_str(), &answer.body[..]), (&status[..3], body.as_bytes()));
    }
    house.upstream.will(Reply::status("204 No Content", &[], ""));
    assert_eq!(agent.posts(ASKED).await.status, 204);
    for odd in [r#"{"error":{"message":"no"}}"#, r#"{"choices":null,"id":1,"id":2}"#, "null"] {
        assert_eq!(got(&house, &agent, Door::Rest, odd).await, odd);
    }
    // One that breaks off never becomes a success.
    house.upstream.will(Reply::raw(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
    ));
    agent.posts(ASKED).await.refused(502, "upstream_unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_answers_a_key_with_lists_as_any_other() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    let tools = json!([{"type": "function", "function": {"name": "get_weather"}}]);
    for streamed in [false, true] {
        let body = json!({"model": "orqen/demo", "stream": streamed, "tools": tools,
            "messages": [{"role": "user", "content": "get the weather"}]});
        let answer = agent.rest().send(http::Method::POST, CHAT, body.to_string()).await;
        let text = std::str::from_utf8(&answer.body).unwrap();
        assert!(text.contains("get_weather") && text.contains("tool_calls"), "{text}");
        let free = house.agent().await.rest().send(http::Method::POST, CHAT, body.to_string()).await;
        let calls = |text: &str| text.matches("tool_calls").count();
        assert_eq!(calls(text), calls(std::str::from_utf8(&free.body).unwrap()));
    }
    let _: Value = agent.usage_summary().await.success();
}
