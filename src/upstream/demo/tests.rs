//! The demo model's answers, as a client would read them.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;

async fn text_of(request: &Value) -> (StatusCode, String) {
    let now = "2025-11-06T08:49:37Z".parse().unwrap();
    let response = answer(&Bytes::from(request.to_string()), now);
    assert_eq!(response.is_event_stream(), request["stream"] == true && response.status == StatusCode::OK);
    let body = response.body.collect().await.unwrap().to_bytes();
    (response.status, String::from_utf8(body.to_vec()).unwrap())
}

async fn asked(request: Value) -> Value {
    let (status, text) = text_of(&request).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap()
}

async fn refused(request: Value) -> Value {
    let (status, text) = text_of(&request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The chunks of a stream, which must end with `[DONE]`.
async fn streamed(request: Value) -> Vec<Value> {
    let (_, text) = text_of(&request).await;
    let events: Vec<&str> = text.strip_suffix("\n\n").unwrap().split("\n\n").collect();
    let (last, chunks) = events.split_last().unwrap();
    assert_eq!(*last, "data: [DONE]");
    chunks.iter().map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap()).collect()
}

fn function(name: &str, description: &str) -> Value {
    let parameters = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
        "required": ["city", "unit"],
    });
    json!({"type": "function", "function": {"name": name, "description": description, "parameters": parameters}})
}

fn with_tools(user: &str) -> Value {
    json!({
        "model": "orqen/demo",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": user}],
        "tools": [
            function("send_email", "Sends an email to someone"),
            function("getWeather", "The forecast for a city"),
            {"type": "web_search"},
            {"type": "custom", "custom": {"name": "run_sql", "description": "Queries the database"}},
        ],
    })
}

#[tokio::test]
async fn without_tools_it_answers_with_what_it_understood() {
    let parts = json!([{"type": "text", "text": "Bonjour"}, {"type": "image_url", "image_url": {}}]);
    for content in [json!("Bonjour"), parts] {
        let answer = asked(json!({"messages": [{"role": "user", "content": content}]})).await;
        let message = &answer["choices"][0]["message"];
        assert!(message["content"].as_str().unwrap().ends_with("You said: Bonjour"), "{answer}");
        assert_eq!(answer["object"], "chat.completion");
        assert_eq!(answer["model"], "orqen/demo");
        assert_eq!(answer["created"], 1_762_418_977);
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
        let usage = &answer["usage"];
        let sum = usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap();
        assert_eq!(usage["total_tokens"], sum);
    }
}

#[tokio::test]
async fn it_calls_the_tool_that_shares_most_words() {
    for (user, tool) in [
        ("What is the weather in Paris?", "getWeather"),
        ("please send an EMAIL to Ann", "send_email"),
        ("nothing in common", "send_email"),
    ] {
        let answer = asked(with_tools(user)).await;
        let choice = &answer["choices"][0];
        let call = &choice["message"]["tool_calls"][0];
        assert_eq!((&call["function"]["name"], &call["type"]), (&json!(tool), &json!("function")), "{user}");
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert_eq!(choice["message"]["content"], Value::Null);
        let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
        assert_eq!(arguments, json!({"city": user, "unit": "c"}));
        assert!(call["id"].as_str().unwrap().starts_with("call_"));
    }
    let answer = asked(with_tools("query the database")).await;
    let call = &answer["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["custom"], json!({"name": "run_sql", "input": "query the database"}));
}

#[tokio::test]
async fn a_tool_choice_is_obeyed() {
    let mut request = with_tools("What is the weather?");
    for (choice, expected) in [
        (json!("none"), Value::Null),
        (json!("required"), json!("getWeather")),
        (json!({"type": "function", "function": {"name": "send_email"}}), json!("send_email")),
        (
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [
                {"type": "function", "function": {"name": "send_email"}}]}}),
            json!("send_email"),
        ),
    ] {
        request["tool_choice"] = choice.clone();
        let answer = asked(request.clone()).await;
        let name = &answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"];
        assert_eq!(name, &expected, "{choice}");
    }
    request["tool_choice"] = json!({"type": "function", "function": {"name": "gone"}});
    assert_eq!(refused(request).await["error"]["param"], "tool_choice");
}

#[tokio::test]
async fn a_tool_result_is_answered_with_text() {
    let mut request = with_tools("What is the weather in Paris?");
    let call = json!({"id": "c1", "type": "function", "function": {"name": "getWeather", "arguments": "{}"}});
    let messages = request["messages"].as_array_mut().unwrap();
    messages.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
    messages.push(json!({"role": "tool", "tool_call_id": "c1", "content": "sunny"}));
    let answer = asked(request).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "The tool `getWeather` answered: sunny");
}

#[tokio::test]
async fn old_functions_get_an_old_call() {
    let request = json!({
        "messages": [{"role": "user", "content": "add"}],
        "functions": [{"name": "add", "parameters": {"type": "object", "properties": {}}}],
    });
    let answer = asked(request.clone()).await;
    assert_eq!(answer["choices"][0]["message"]["function_call"], json!({"name": "add", "arguments": "{}"}));
    assert_eq!(answer["choices"][0]["finish_reason"], "function_call");
    let mut none = request;
    none["function_call"] = json!("none");
    assert_eq!(asked(none).await["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn a_streamed_text_is_the_same_text_in_pieces() {
    let mut request = json!({"messages": [{"role": "user", "content": "Grüße aus Köln"}]});
    let whole = asked(request.clone()).await["choices"][0]["message"]["content"].clone();
    request["stream"] = json!(true);
    let chunks = streamed(request).await;
    let pieces: Vec<&str> =
        chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert!(pieces.len() > 4);
    assert_eq!(json!(pieces.concat()), whole);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test]
async fn a_streamed_call_has_its_name_whole_and_its_arguments_in_pieces() {
    let mut request = with_tools("What is the weather in Paris?");
    request["stream"] = json!(true);
    request["stream_options"] = json!({"include_usage": true});
    let chunks = streamed(request).await;
    let calls: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| !call.is_null())
        .collect();
    assert_eq!(calls[0]["function"]["name"], "getWeather");
    assert!(calls.iter().all(|call| call["index"] == 0) && calls.len() > 3);
    let arguments: String = calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
    assert_eq!(arguments, r#"{"city":"What is the weather in Paris?","unit":"c"}"#);
    let (usage, others) = chunks.split_last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert!(usage["usage"]["total_tokens"].as_u64().unwrap() > 0);
    assert!(others.iter().all(|chunk| chunk["usage"].is_null()));
    assert_eq!(others.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
}

#[tokio::test]
async fn the_same_request_gives_the_same_answer() {
    assert_eq!(asked(with_tools("weather")).await, asked(with_tools("weather")).await);
    assert_ne!(asked(with_tools("weather")).await["id"], asked(with_tools("email")).await["id"]);
}

#[tokio::test]
async fn text_ends_where_the_client_wants() {
    let answer = asked(json!({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2})).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello fr");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 2);
}

#[tokio::test]
async fn what_is_no_conversation_is_refused_as_a_provider_would() {
    for body in
        [json!({}), json!({"messages": []}), json!({"messages": "hi"}), json!({"messages": [1]}), json!([])]
    {
        let error = refused(body.clone()).await;
        assert_eq!(error["error"]["type"], "invalid_request_error");
        assert_eq!(error["error"]["param"], "messages", "{body}");
    }
    let now = "2025-11-06T08:49:37Z".parse().unwrap();
    assert_eq!(answer(&Bytes::from_static(b"{"), now).status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_it_does_not_need_never_becomes_a_tree() {
    // A tree cannot be made of this: serde_json stops at 128 levels.
    let deep = "[".repeat(300) + &"]".repeat(300);
    let body = format!(
        r#"{{"metadata":{deep},"messages":[{{"role":"user","content":[{deep},{{"text":"hi"}}]}}],"functions":[{{"name":"f","parameters":{deep}}}]}}"#
    );
    let answer = answer(&Bytes::from(body), "2025-11-06T08:49:37Z".parse().unwrap());
    let body = answer.body.collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["choices"][0]["message"]["function_call"], json!({"name": "f", "arguments": "{}"}));
}

#[tokio::test]
async fn a_schema_that_is_too_large_is_not_read() {
    let ask = |padding: usize| {
        let parameters =
            json!({"description": "x".repeat(padding), "properties": {"a": {}}, "required": ["a"]});
        json!({"messages": [{"role": "user", "content": "hi"}], "functions": [{"name": "f", "parameters": parameters}]})
    };
    for (padding, arguments) in [(1024, r#"{"a":"hi"}"#), (256 * 1024, "{}")] {
        let answer = asked(ask(padding)).await;
        assert_eq!(answer["choices"][0]["message"]["function_call"]["arguments"], arguments, "{padding}");
    }
}

#[tokio::test]
async fn odd_members_do_not_upset_it() {
    let answer = asked(json!({
        "model": 7, "stream": "yes", "max_tokens": -1, "tool_choice": 5, "stream_options": [],
        "tools": [null, {"function": 3}, {"type": "function", "function": {"name": "ok", "parameters": [1]}}],
        "messages": [{"role": "user", "content": null}],
    }))
    .await;
    let call = &answer["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call, &json!({"name": "ok", "arguments": "{}"}));
}
