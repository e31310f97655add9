//! `orqen/demo`, the model that is always there, and the list of models.

use http_body_util::BodyExt;
use orqen::proto::v1::{CreateChatCompletionRequest as Create, StreamChatCompletionRequest as Stream};
use serde_json::{Value, json};

use crate::{
    chat::{
        House,
        typed::{function, object, user, value},
    },
    support::{
        actors::Caller,
        server::{Settings, TestServer},
        stores::Place,
    },
};

/// Two tools, of which the last message means one.
fn weather(more: Value) -> Value {
    let schema = json!({
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer", "minimum": 3, "maximum": 5},
            "unit": {"enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city", "days", "unit"],
        "additionalProperties": false,
    });
    let mut body = json!({
        "model": "orqen/demo",
        "messages": [{"role": "user", "content": "What will the weather be in Rome?"}],
        "tools": [
            {"type": "function", "function": {"name": "send_mail", "description": "Sends a mail"}},
            {"type": "function", "function": {"name": "get_weather", "description": "The weather of a city", "parameters": schema}},
        ],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_answers_with_text_and_is_the_default_without_upstreams() {
    let server = TestServer::new().await;
    let (agent, _) = server.operator().equip(json!({"name": "agent"})).await;
    for model in [json!({}), json!({"model": "orqen/demo"})] {
        let mut body = json!({"messages": [{"role": "user", "content": "Good morning"}]});
        body.as_object_mut().unwrap().extend(model.as_object().unwrap().clone());
        let answer = agent.chat(body).await.success();
        assert_eq!((&answer["object"], &answer["model"]), (&json!("chat.completion"), &json!("orqen/demo")));
        let choice = &answer["choices"][0];
        assert_eq!(
            (&choice["finish_reason"], &choice["message"]["role"]),
            (&json!("stop"), &json!("assistant"))
        );
        assert!(choice["message"]["content"].as_str().unwrap().contains("Good morning"));
        let usage = &answer["usage"];
        let sum = usage["prompt_tokens"].as_i64().unwrap() + usage["completion_tokens"].as_i64().unwrap();
        assert_eq!(usage["total_tokens"], sum);
    }
    let typed = Create { messages: vec![user("Good morning")], ..Default::default() };
    let answer = agent.grpc().chat().create_chat_completion(typed).await.unwrap().into_inner();
    assert_eq!(answer.model, "orqen/demo");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_calls_the_tool_that_is_meant_with_arguments_that_fit() {
    let house = House::new().await;
    let agent = house.agent().await;
    let answer = agent.chat(weather(json!({}))).await;
    assert_eq!(answer.header("x-orqen-tools-output"), "2");
    let choice = answer.success()["choices"][0].clone();
    assert_eq!(choice["finish_reason"], "tool_calls");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!((&call["type"], &call["function"]["name"]), (&json!("function"), &json!("get_weather")));
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(
        arguments["city"].is_string() && (3..=5).contains(&arguments["days"].as_i64().unwrap()),
        "{arguments}"
    );
    assert!(["celsius", "fahrenheit"].contains(&arguments["unit"].as_str().unwrap()), "{arguments}");
    assert_eq!(arguments.as_object().unwrap().len(), 3);
    assert!(house.upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_calls_no_denied_tool_and_obeys_a_choice() {
    let house = House::new().await;
    let denied = house.denied(&["get_*"]).await;
    let answer = denied.chat(weather(json!({}))).await.success();
    assert_eq!(answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "send_mail");
    let forced = json!({"tool_choice": {"type": "function", "function": {"name": "get_weather"}}});
    denied.chat(weather(forced)).await.refused(403, "tool_not_allowed");

    let agent = house.agent().await;
    let forced = json!({"tool_choice": {"type": "function", "function": {"name": "send_mail"}}});
    let answer = agent.chat(weather(forced)).await.success();
    assert_eq!(answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "send_mail");
    let answer = agent.chat(weather(json!({"tool_choice": "none"}))).await.success();
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_streams_like_the_others() {
    let house = House::new().await;
    let agent = house.agent().await;
    let body = weather(json!({"stream": true, "stream_options": {"include_usage": true}}));
    let answer = agent.opens(body.to_string()).await;
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let whole = answer.collect().await.unwrap().to_bytes();
    let events: Vec<&str> = std::str::from_utf8(&whole).unwrap().split_terminator("\n\n").collect();
    let (done, chunks) = events.split_last().unwrap();
    assert_eq!(*done, "data: [DONE]");
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap())
        .collect();
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["id"] == chunks[0]["id"])
    );
    let calls = chunks
        .iter()
        .flat_map(|chunk| chunk["choices"].as_array().unwrap())
        .filter_map(|choice| choice["delta"]["tool_calls"].get(0));
    let arguments: String =
        calls.map(|call| call["function"]["arguments"].as_str().unwrap_or_default()).collect();
    assert!(serde_json::from_str::<Value>(&arguments).unwrap()["city"].is_string(), "{arguments}");
    assert!(chunks.last().unwrap()["usage"]["total_tokens"].as_i64() > Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn typed_clients_get_the_demo_whole_and_in_chunks() {
    let house = House::new().await;
    let agent = house.agent().await;
    let request = Create {
        model: "orqen/demo".into(),
        messages: vec![user("the weather, please")],
        tools: vec![function("send_mail"), function("weather")],
        ..Default::default()
    };
    let answer = agent.grpc().chat().create_chat_completion(request.clone()).await.unwrap().into_inner();
    let call = answer.choices[0].message.as_ref().unwrap().tool_calls[0].function.clone().unwrap();
    assert_eq!(call.name.as_deref(), Some("weather"));
    assert!(answer.usage.unwrap().total_tokens > 0);

    let forced = json!({"type": "function", "function": {"name": "send_mail"}});
    let request = Stream {
        model: request.model,
        messages: request.messages,
        tools: request.tools,
        tool_choice: Some(value(&forced)),
        extra: Some(object(&json!({"metadata": {}}))),
        ..Default::default()
    };
    let mut chunks = agent.grpc().chat().stream_chat_completion(request).await.unwrap().into_inner();
    let (mut name, mut reason) = (String::new(), None);
    while let Some(chunk) = chunks.message().await.unwrap() {
        for choice in chunk.choices {
            let calls = choice.delta.map(|delta| delta.tool_calls).unwrap_or_default();
            name.extend(calls.into_iter().filter_map(|call| call.function?.name));
            reason = choice.finish_reason.or(reason);
        }
    }
    assert_eq!((name.as_str(), reason.as_deref()), ("send_mail", Some("tool_calls")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_models_are_those_of_the_provider_that_the_patterns_let_through_and_the_demo() {
    let house = House::new().await;
    house.upstream.lists(
        r#"{"object":"list","data":[{"id":"gpt-4o","created":17,"owned_by":"them"},{"id":"llama-3"},{"id":"o3","created":"odd"},{"id":"text-gpt-4"}]}"#,
    );
    let expected = json!({"object": "list", "data": [
        {"id": "gpt-4o", "object": "model", "created": 17, "owned_by": "scripted"},
        {"id": "o3", "object": "model", "created": 0, "owned_by": "scripted"},
        {"id": "orqen/demo", "object": "model", "created": 0, "owned_by": "orqen"},
    ]});
    let agent = house.agent().await;
    assert_eq!(agent.rest().get("/v1/models").await.success(), expected);
    let listed =
        agent.grpc().chat().list_models(orqen::proto::v1::ListModelsRequest {}).await.unwrap().into_inner();
    let ids: Vec<_> = listed.data.into_iter().map(|model| model.id).collect();
    assert_eq!(ids, ["gpt-4o", "o3", "orqen/demo"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_without_a_list_leaves_the_names_of_the_configuration() {
    let upstream = crate::support::upstream::ScriptedUpstream::start().await;
    let settings = Settings::at(&Place::sqlite())
        .upstream("one", &upstream.base_url(), &["gpt-4o", "o*"])
        .toml("[demo]\nenabled = false");
    let server = TestServer::start(settings).await;
    let (agent, _) = server.operator().equip(json!({"name": "agent"})).await;
    let models = agent.rest().get("/v1/models").await.success();
    let expected = json!([{"id": "gpt-4o", "object": "model", "created": 0, "owned_by": "one"}]);
    assert_eq!(models["data"], expected);
    agent.chat(json!({"model": "orqen/demo", "messages": []})).await.refused(404, "model_not_found");
}
