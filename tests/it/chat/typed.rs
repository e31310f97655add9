//! The typed messages of gRPC: encoded to OpenAI's JSON, they meet the same rules, and `extra` is no way round them.

use orqen::proto::v1::{self, CreateChatCompletionRequest as Create, StreamChatCompletionRequest as Stream};
use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    chat::{COMPLETION, House, refusal},
    support::{actors::Caller, upstream::Reply},
};

/// JSON as protobuf's `Value`.
pub(crate) fn value(json: &Value) -> ProtoValue {
    let kind = match json {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap()),
        Value::String(value) => Kind::StringValue(value.clone()),
        Value::Array(values) => Kind::ListValue(ListValue { values: values.iter().map(value).collect() }),
        Value::Object(_) => Kind::StructValue(object(json)),
    };
    ProtoValue { kind: Some(kind) }
}

/// A JSON object as protobuf's `Struct`.
pub(crate) fn object(json: &Value) -> Struct {
    let members = json.as_object().unwrap();
    Struct { fields: members.iter().map(|(name, member)| (name.clone(), value(member))).collect() }
}

/// A message of the user.
pub(crate) fn user(text: &str) -> v1::ChatMessage {
    v1::ChatMessage { role: "user".into(), content: Some(value(&json!(text))), ..Default::default() }
}

/// A function that takes anything.
pub(crate) fn function(name: &str) -> v1::ChatTool {
    let function = v1::FunctionDefinition {
        name: name.into(),
        parameters: Some(object(&json!({"type": "object"}))),
        ..Default::default()
    };
    v1::ChatTool { r#type: "function".into(), function: Some(function), extra: None }
}

/// A request with these tools.
pub(crate) fn asking(tools: Vec<v1::ChatTool>) -> Create {
    Create { model: "scripted/gpt-4o".into(), messages: vec![user("x")], tools, ..Default::default() }
}

fn received(house: &House) -> Value {
    serde_json::from_slice(&house.upstream.last().body).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_request_arrives_as_openai_would_have_it() {
    let house = House::new().await;
    let agent = house.agent().await;
    house.upstream.will(Reply::json(COMPLETION));
    let request = Create {
        tool_choice: Some(value(&json!("auto"))),
        parallel_tool_calls: Some(false),
        temperature: Some(0.5),
        max_completion_tokens: Some(9_007_199_254_740_993),
        stop: vec!["\n".into()],
        seed: Some(-1),
        response_format: Some(object(&json!({"type": "json_object"}))),
        extra: Some(object(&json!({"reasoning_effort": "low", "metadata": {"k": "v"}}))),
        ..asking(vec![function("f")])
    };
    let answer = agent.grpc().chat().create_chat_completion(request).await.unwrap();
    let expected = json!({
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "tool_choice": "auto",
        "parallel_tool_calls": false,
        "temperature": 0.5,
        "max_completion_tokens": 9_007_199_254_740_993_u64,
        "stop": ["\n"],
        "seed": -1,
        "response_format": {"type": "json_object"},
        "reasoning_effort": "low",
        "metadata": {"k": "v"},
    });
    assert_eq!(received(&house), expected);
    assert_eq!(answer.metadata().get("x-orqen-tools-input").unwrap(), "1");
    let answer = answer.into_inner();
    assert_eq!((answer.id.as_str(), answer.created), ("chatcmpl-1", 1_700_000_000));
    let message = answer.choices[0].message.as_ref().unwrap();
    assert_eq!(message.content, Some(value(&json!("café"))));
    assert_eq!(message.extra, Some(object(&json!({"x-more": []}))));
    assert_eq!(answer.extra, Some(object(&json!({"system_fingerprint": "fp_1", "x": 1.0}))));
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_tools_go_from_fields_and_from_extra() {
    let house = House::new().await;
    let agent = house.denied(&["gone", "web_search"]).await;
    let hosted = v1::ChatTool {
        r#type: "custom".into(),
        extra: Some(object(&json!({"custom": {"name": "GONE"}}))),
        ..Default::default()
    };
    let provider_run = v1::ChatTool { r#type: "web_search".into(), ..Default::default() };
    let beside = json!({"web_search_options": {}, "functions": [{"name": "go\u{200b}ne"}, {"name": "a"}]});
    let request = Create {
        extra: Some(object(&beside)),
        ..asking(vec![function("ｇｏｎｅ"), function("a"), hosted, provider_run])
    };
    let answer = agent.grpc().chat().create_chat_completion(request).await;
    assert_eq!(answer.unwrap().metadata().get("x-orqen-tools-denied").unwrap(), "5");
    let expected = json!({
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "x"}],
        "tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "object"}}}],
        "functions": [{"name": "a"}],
    });
    assert_eq!(received(&house), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn extra_is_no_second_way_to_say_what_a_field_says() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    let tool = |extra: Value| v1::ChatTool { extra: Some(object(&extra)), ..function("a") };
    for (request, param) in [
        (
            Create { extra: Some(object(&json!({"tools": [{"name": "gone"}]}))), ..asking(vec![]) },
            "extra.tools",
        ),
        (
            Create { extra: Some(object(&json!({"tool_choice": "auto"}))), ..asking(vec![]) },
            "extra.tool_choice",
        ),
        (Create { extra: Some(object(&json!({"model": "o1"}))), ..asking(vec![]) }, "extra.model"),
        (Create { extra: Some(object(&json!({"stream": true}))), ..asking(vec![]) }, "extra.stream"),
        (Create { extra: Some(object(&json!({"Tools": [{"name": "gone"}]}))), ..asking(vec![]) }, "Tools"),
        (asking(vec![tool(json!({"type": "gone"}))]), "tools[0].extra.type"),
        (asking(vec![tool(json!({"name": "gone"}))]), "tools[0]"),
        (asking(vec![tool(json!({"Function": {"name": "gone"}}))]), "tools[0].Function"),
    ] {
        let status = agent.grpc().chat().create_chat_completion(request).await.unwrap_err();
        let outcome = refusal(&status);
        assert_eq!(outcome.refused("invalid_request_error").0, param);
    }
    assert!(house.upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_choices_and_modes_meet_the_same_rules() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    let forced = json!({"type": "function", "function": {"name": "GONE"}});
    let request = Create { tool_choice: Some(value(&forced)), ..asking(vec![function("gone")]) };
    let status = agent.grpc().chat().create_chat_completion(request).await.unwrap_err();
    assert_eq!(refusal(&status).refused("tool_not_allowed").0, "tool_choice");

    let allowed =
        json!({"type": "allowed_tools", "mode": "auto", "tools": [{"name": "a"}, {"name": "gone"}]});
    let request =
        Create { tool_choice: Some(value(&allowed)), ..asking(vec![function("gone"), function("a")]) };
    agent.grpc().chat().create_chat_completion(request).await.unwrap();
    assert_eq!(received(&house)["tool_choice"]["tools"], json!([{"name": "a"}]));

    let blocked = house.agent_with(json!({"denied_tools": ["gone"], "tool_mode": "block"})).await;
    let request = Stream { model: "gpt-4o".into(), tools: vec![function("gone")], ..Default::default() };
    let status = blocked.grpc().chat().stream_chat_completion(request).await.unwrap_err();
    assert_eq!(refusal(&status).refused("tool_not_allowed").0, "tools");
    assert_eq!(house.upstream.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_chunks_carry_the_deltas_of_tool_calls_as_they_come() {
    let house = House::new().await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let request = Stream {
        model: "gpt-4o".into(),
        messages: vec![user("weather?")],
        tools: vec![function("get_weather")],
        stream_options: Some(v1::StreamOptions { include_usage: Some(true), extra: None }),
        ..Default::default()
    };
    let mut chunks = agent.grpc().chat().stream_chat_completion(request).await.unwrap().into_inner();
    let sent = received(&house);
    assert_eq!((&sent["stream"], &sent["stream_options"]), (&json!(true), &json!({"include_usage": true})));

    let mut arguments = String::new();
    for (piece, call) in [
        (r#"{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":""}}"#, true),
        (r#"{"function":{"arguments":"{\"city\":"}}"#, false),
        (r#"{"function":{"arguments":"\"Rome\"}"}}"#, false),
    ] {
        let call_json = piece.replacen('{', "{\"index\":0,", 1);
        stream.send(&format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":7,\"model\":\"gpt-4o\",\"choices\":\
             [{{\"index\":0,\"delta\":{{\"tool_calls\":[{call_json}]}},\"finish_reason\":null}}],\"obfuscation\":\"x\"}}\n\n"
        ));
        let chunk = chunks.message().await.unwrap().unwrap();
        assert_eq!((chunk.id.as_str(), chunk.created), ("c", 7));
        assert_eq!(chunk.extra, Some(object(&json!({"obfuscation": "x"}))));
        let delta = chunk.choices[0].delta.as_ref().unwrap();
        assert_eq!(delta.tool_calls[0].index, Some(0));
        assert_eq!(delta.tool_calls[0].id.is_some(), call);
        arguments += delta.tool_calls[0].function.as_ref().unwrap().arguments.as_deref().unwrap();
    }
    assert_eq!(arguments, r#"{"city":"Rome"}"#);
    stream.send("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n");
    assert_eq!(chunks.message().await.unwrap().unwrap().usage.unwrap().total_tokens, 7);
    stream.send("data: [DONE]\n\n");
    stream.end();
    assert!(chunks.message().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_ends_with_a_status_and_a_provider_error_keeps_its_body() {
    let house = House::new().await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let request = Stream { model: "gpt-4o".into(), ..Default::default() };
    let answer = agent.grpc().chat().stream_chat_completion(request.clone()).await.unwrap();
    let mut chunks = answer.into_inner();
    stream.send("data: {\"id\":\"c\",\"choices\":[]}\n\n");
    assert_eq!(chunks.message().await.unwrap().unwrap().id, "c");
    stream.cut();
    let status = chunks.message().await.unwrap_err();
    refusal(&status).refused("upstream_unreachable");

    house.upstream.will(Reply::status("429 Too Many Requests", &[], r#"{"error":{"message":"slow"}}"#));
    let status = agent.grpc().chat().stream_chat_completion(request).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);

    house.upstream.will(Reply::json("[]"));
    let status = agent.grpc().chat().create_chat_completion(asking(vec![])).await.unwrap_err();
    refusal(&status).refused("upstream_unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_falls_silent_ends_with_the_deadline() {
    let house = House::with(|settings| settings.toml("idle_timeout = \"100ms\"")).await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    stream.send("data: {\"id\":\"c\",\"choices\":[]}\n\n");
    let request = Stream { model: "gpt-4o".into(), ..Default::default() };
    let mut chunks = agent.grpc().chat().stream_chat_completion(request).await.unwrap().into_inner();
    assert_eq!(chunks.message().await.unwrap().unwrap().id, "c");
    let status = chunks.message().await.unwrap_err();
    refusal(&status).refused("upstream_timeout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_request_that_holds_too_much_is_refused_before_it_is_decoded() {
    let house = House::new().await;
    let agent = house.agent().await;
    let many = |count: usize| Some(object(&json!({"x": vec![true; count]})));
    let create = Create { extra: many(250_000), ..asking(vec![]) };
    let status = agent.grpc().chat().create_chat_completion(create).await.unwrap_err();
    let stream = Stream { model: "gpt-4o".into(), extra: many(250_000), ..Default::default() };
    let streamed = agent.grpc().chat().stream_chat_completion(stream).await.unwrap_err();
    for status in [status, streamed] {
        let outcome = refusal(&status);
        let (_, message) = outcome.refused("invalid_request_error");
        assert!(message.contains("`extra`") && message.contains("CreateRawChatCompletion"), "{message}");
    }
    assert!(house.upstream.received().is_empty());
    agent.grpc().chat().create_chat_completion(Create { extra: many(50_000), ..asking(vec![]) }).await.ok();
    assert_eq!(house.upstream.received().len(), 1);
}
