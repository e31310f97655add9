//! The answer's side of the tool lists, of streams: text comes at once, a call when it is known to be allowed, and
//! what is left is a stream as a provider would have sent it.

use http_body_util::BodyExt;
use orqen::proto::v1::StreamChatCompletionRequest as Stream;
use serde_json::json;

use crate::{
    chat::{DOORS, House, Outcome, refusal, usage::recorded},
    support::{
        actors::{Agent, Caller},
        upstream::Reply,
    },
};

const ASKED: &str =
    r#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
const DONE: &str = "data: [DONE]\n\n";

/// A chunk of one choice, whose delta is this.
fn delta(index: u64, delta: &str) -> String {
    format!(
        "data: {{\"id\":\"1\",\"choices\":[{{\"index\":{index},\"delta\":{{{delta}}},\"finish_reason\":null}}]}}\n\n"
    )
}

/// A chunk with parts of the calls of the first choice.
fn parts(parts: &str) -> String {
    delta(0, &format!("\"tool_calls\":[{parts}]"))
}

fn finish(index: u64, reason: &str) -> String {
    format!(
        "data: {{\"id\":\"1\",\"choices\":[{{\"index\":{index},\"delta\":{{}},\"finish_reason\":\"{reason}\"}}]}}\n\n"
    )
}

/// A call under its first part's number, in three parts.
fn call(index: u64, name: &str) -> [String; 3] {
    [
        format!(
            r#"{{"index":{index},"id":"call_{name}","type":"function","function":{{"name":"{name}","arguments":""}}}}"#
        ),
        format!(r#"{{"index":{index},"function":{{"arguments":"{{"}}}}"#),
        format!(r#"{{"index":{index},"function":{{"arguments":"}}"}}}}"#),
    ]
}

/// What the agent gets of a stream, through every door.
async fn got(house: &House, agent: &Agent, pieces: &[String]) -> String {
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let mut texts = Vec::new();
    for door in DOORS {
        house.upstream.will(Reply::events(&pieces));
        match agent.enters(door, ASKED).await {
            Outcome::Answered { body, .. } => texts.push(String::from_utf8(body.to_vec()).unwrap()),
            refused => panic!("{refused:?}"),
        }
    }
    assert_eq!(texts[0], texts[1]);
    texts.swap_remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_calls_those_go_that_the_key_may_not_make() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    let [a, b, c] = [call(0, "gone"), call(1, "kept"), call(2, "other")];
    let role = delta(0, "\"role\":\"assistant\",\"content\":null");
    let stream = [
        role.clone(),
        parts(&a[0]),
        parts(&format!("{},{}", b[0], c[0])),
        parts(&format!("{},{}", b[1], a[1])),
        parts(&c[1]),
        parts(&format!("{},{},{}", a[2], b[2], c[2])),
        finish(0, "tool_calls"),
        DONE.to_owned(),
    ];
    let [b, c] = [call(0, "kept"), call(1, "other")];
    let left = [
        role,
        parts(&format!("{},{}", b[0], c[0])),
        parts(&b[1]),
        parts(&c[1]),
        parts(&format!("{},{}", b[2], c[2])),
        finish(0, "tool_calls"),
        DONE.to_owned(),
    ];
    assert_eq!(got(&house, &agent, &stream).await, left.concat());
    assert_eq!(got(&house, &house.agent().await, &stream).await, stream.concat(), "a key without lists");
    assert_eq!(
        got(&house, &house.denied(&["x"]).await, &stream).await,
        stream.concat(),
        "nothing to take out"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_choice_ends_by_what_is_left_of_its_calls() {
    let house = House::new().await;
    let agent = house.agent_with(json!({"allowed_tools": ["kept"]})).await;
    let of = |choice: u64, name: &str| {
        call(0, name).map(|part| delta(choice, &format!("\"tool_calls\":[{part}]")))
    };
    let ([a, b, c], [d, e, f]) = (of(0, "kept"), of(1, "invented"));
    let old = delta(2, "\"function_call\":{\"name\":\"inv\",\"arguments\":\"{}\"}");
    let text = delta(1, "\"content\":\"x\"");
    let stream = [
        a.clone(),
        d,
        b.clone(),
        text.clone(),
        e,
        c.clone(),
        old,
        f,
        finish(0, "tool_calls"),
        finish(1, "tool_calls"),
        finish(2, "function_call"),
        DONE.to_owned(),
    ];
    let left =
        [a, b, text, c, finish(0, "tool_calls"), finish(1, "stop"), finish(2, "stop"), DONE.to_owned()];
    assert_eq!(got(&house, &agent, &stream).await, left.concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_not_delayed_and_a_call_only_until_it_is_known() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    let stream = house.upstream.will_stream();
    let mut answer = agent.opens(ASKED).await;
    let text = delta(0, "\"content\":\"hi\"");
    stream.send(&text);
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), text);
    let [name, one, two] = call(0, "kept").map(|part| parts(&part));
    stream.send(&name);
    stream.send(&one);
    let mut came = Vec::new();
    while came.len() < name.len() + one.len() {
        came.extend_from_slice(&answer.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert_eq!(String::from_utf8(came).unwrap(), [name, one].concat());
    stream.send(&two);
    assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), two);
    stream.send(DONE);
    stream.end();
    assert_eq!(answer.collect().await.unwrap().to_bytes(), DONE);
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_chunks_have_no_such_calls_either() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    let [a, b] = [call(0, "gone"), call(1, "kept")];
    let stream = [
        parts(&a[0]),
        parts(&a[1]),
        parts(&b[0]),
        parts(&b[1]),
        parts(&b[2]),
        finish(0, "tool_calls"),
        DONE.to_owned(),
    ];
    house.upstream.will(Reply::events(&stream.iter().map(String::as_str).collect::<Vec<_>>()));
    let request = Stream { model: "gpt-4o".into(), ..Default::default() };
    let mut chunks = agent.grpc().chat().stream_chat_completion(request).await.unwrap().into_inner();
    let (mut name, mut arguments, mut reason) = (String::new(), String::new(), None);
    while let Some(chunk) = chunks.message().await.unwrap() {
        let choice = &chunk.choices[0];
        reason = choice.finish_reason.clone().or(reason);
        for call in &choice.delta.as_ref().unwrap().tool_calls {
            assert_eq!(call.index, Some(0));
            let function = call.function.as_ref().unwrap();
            name += function.name.as_deref().unwrap_or_default();
            arguments += function.arguments.as_deref().unwrap_or_default();
        }
    }
    assert_eq!((name.as_str(), arguments.as_str(), reason.as_deref()), ("kept", "{}", Some("tool_calls")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_be_checked_ends_with_an_error_event_and_without_done() {
    let house = House::new().await;
    let (agent, free) = (house.denied(&["gone"]).await, house.agent().await);
    let text = delta(0, "\"content\":\"x\"");
    let odd = [
        "data: {\"choices\":[],\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"gone\"}}]}}]}\n\n",
        "data: no JSON, but a call\n\n",
        "Data: {\"tool_calls\":0}\n\n",
        "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"name\":\"gone\"",
    ];
    for odd in odd {
        let stream = [text.clone(), odd.to_owned(), DONE.to_owned()];
        let came = got(&house, &agent, &stream).await;
        let event = came.strip_prefix(&text).unwrap();
        assert!(event.starts_with("data: {\"error\":") && event.contains("cannot be checked"), "{event}");
        assert!(!event.contains("gone") && !event.contains("[DONE]"), "{event}");
        assert_eq!(got(&house, &free, &stream).await, stream.concat());
        house.upstream.will(Reply::events(&stream.iter().map(String::as_str).collect::<Vec<_>>()));
        let request = Stream { model: "gpt-4o".into(), ..Default::default() };
        let mut chunks = agent.grpc().chat().stream_chat_completion(request).await.unwrap().into_inner();
        chunks.message().await.unwrap().unwrap();
        refusal(&chunks.message().await.unwrap_err()).refused("upstream_unreachable");
    }
    let (reply, stream) = Reply::stream_with(&[("content-encoding", "gzip")]);
    house.upstream.will(reply);
    agent.posts(ASKED).await.refused(502, "upstream_unreachable");
    drop(stream);
    let total = odd.len() * 3 + 1;
    recorded(&agent, json!({"total": total, "complete": 0, "client": 0, "upstream": total, "error": 0}))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_rules_work_on_one_stream() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3}}\n\n";
    let mut stream: Vec<String> = call(0, "gone").map(|part| parts(&part)).into();
    stream.extend([finish(0, "tool_calls"), usage.to_owned(), DONE.to_owned()]);
    house.upstream.will(Reply::events(&stream.iter().map(String::as_str).collect::<Vec<_>>()));
    let answer = agent.posts(r#"{"model":"gpt-4o","stream":true,"messages":[]}"#).await;
    assert_eq!(answer.body, [finish(0, "stop"), DONE.to_owned()].concat());
    let summary =
        recorded(&agent, json!({"total": 1, "complete": 1, "client": 0, "upstream": 0, "error": 0})).await;
    assert_eq!((&summary["tools"]["called"], &summary["tokens"]["prompt"]), (&json!(1), &json!(9)));
}
