//! Answers that try to have the agent call a denied tool: invented by the model, or put there by a document that it
//! read. Whole and streamed.

use orqen::domain::toollist::Toollist;
use serde_json::Value;

use crate::{
    attacks::DENIED,
    chat::{DOORS, House, Outcome},
    support::upstream::Reply,
};

/// What it is, and the message of an answer, or the deltas of a stream, one a line; `@` stands for the tool's name.
pub(super) const CALLS: &[(&str, &str)] = &[
    ("a call", r#"{"tool_calls":[{"type":"function","function":{"name":"@","arguments":"{}"}}]}"#),
    ("a call of an escaped name", r#"{"tool_calls":[{"function":{"name":"\u0074ask_kill"}}]}"#),
    ("a call in upper case", r#"{"tool_calls":[{"function":{"name":"TASK_KILL"}}]}"#),
    ("a call in full width", "{\"tool_calls\":[{\"function\":{\"name\":\"ｔask_kill\"}}]}"),
    ("a call with a zero-width space", "{\"tool_calls\":[{\"function\":{\"name\":\"task\u{200b}_kill\"}}]}"),
    ("a custom call", r#"{"tool_calls":[{"type":"custom","custom":{"name":"@","input":""}}]}"#),
    ("a flat call", r#"{"tool_calls":[{"name":"@","arguments":"{}"}]}"#),
    ("an old call", r#"{"function_call":{"name":"@","arguments":"{}"}}"#),
    ("behind an allowed call", r#"{"tool_calls":[{"function":{"name":"keep"}},{"function":{"name":"@"}}]}"#),
    ("two names, denied last", r#"{"tool_calls":[{"function":{"name":"keep","name":"@"}}]}"#),
    ("two names, denied first", r#"{"tool_calls":[{"function":{"name":"@","name":"keep"}}]}"#),
    ("calls twice", r#"{"tool_calls":[{"function":{"name":"@"}}],"tool_calls":[]}"#),
    ("calls in another case", r#"{"Tool_Calls":[{"function":{"name":"@"}}]}"#),
    ("calls that are an object", r#"{"tool_calls":{"0":{"function":{"name":"@"}}}}"#),
    ("a nested call", r#"{"tool_calls":[[{"function":{"name":"@"}}]]}"#),
    ("a call beside a custom one", r#"{"tool_calls":[{"function":{"name":"keep"},"custom":{"name":"@"}}]}"#),
    (
        "a name in pieces",
        "{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"task_\"}}]}\n{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"kill\"}}]}",
    ),
    (
        "a name behind another index",
        "{\"tool_calls\":[{\"index\":1,\"function\":{\"name\":\"keep\"}}]}\n{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"@\",\"arguments\":\"{}\"}}]}",
    ),
    (
        "a name after the arguments",
        "{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"arguments\":\"{\"}}]}\n{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"@\",\"arguments\":\"}\"}}]}",
    ),
];

/// The names of the calls in what an agent got, those of one call put together.
fn called(body: &str) -> String {
    let documents = body.lines().map(|line| line.strip_prefix("data: ").unwrap_or(line));
    let mut names = String::new();
    for document in documents {
        if let Ok(json) = serde_json::from_str::<super::readers::Json>(document) {
            json.texts("name", &mut names);
        }
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_brings_a_call_of_a_denied_tool_to_the_agent() {
    let house = House::new().await;
    let agent = house.denied(&[DENIED]).await;
    let list = Toollist::new(None, Some(vec![format!("*{DENIED}*")])).unwrap();
    let asked = r#"{"model":"gpt-4o","messages":[],"tools":[{"name":"keep"}]}"#;
    for (what, template) in CALLS {
        let message = template.replace('@', DENIED);
        let whole = message.lines().next().unwrap();
        let whole =
            format!(r#"{{"choices":[{{"index":0,"message":{whole},"finish_reason":"tool_calls"}}]}}"#);
        let events: Vec<String> = message
            .lines()
            .map(|delta| format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n"))
            .chain(["data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n"
                .to_owned()])
            .chain(["data: [DONE]\n\n".to_owned()])
            .collect();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        for door in DOORS {
            house.upstream.will(Reply::json(&whole));
            got(&agent.enters(door, asked).await, &list, what);
            house.upstream.will(Reply::events(&events));
            let streamed = asked.replacen('{', "{\"stream\":true,", 1);
            match door {
                crate::chat::Door::Rest => {
                    let answer = agent.posts(streamed).await;
                    let text = String::from_utf8(answer.body.to_vec()).unwrap();
                    assert!(list.permits(&called(&text)), "{what}, streamed: {text}");
                }
                crate::chat::Door::Grpc => {
                    let pieces =
                        agent.calls_raw(streamed).await.map(|(_, pieces)| pieces).unwrap_or_default();
                    let text: Vec<u8> = pieces.iter().flat_map(|piece| piece.data.to_vec()).collect();
                    let text = String::from_utf8(text).unwrap();
                    assert!(list.permits(&called(&text)), "{what}, streamed: {text}");
                }
            }
        }
    }
    // A call that may be made comes through.
    let fine = r#"{"choices":[{"index":0,"message":{"tool_calls":[{"function":{"name":"keep"}}]}}]}"#;
    house.upstream.will(Reply::json(fine));
    let answer: Value = serde_json::from_slice(&agent.posts(asked).await.body).unwrap();
    assert_eq!(answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "keep");
}

#[track_caller]
fn got(outcome: &Outcome, list: &Toollist, what: &str) {
    if let Outcome::Answered { body, .. } = outcome {
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(list.permits(&called(&text)), "{what}: {text}");
    }
}
