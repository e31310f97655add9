//! Requests to JSON and answers from JSON, against the real protos.

use proptest::prelude::*;
use prost_reflect::{Kind, MessageDescriptor};
use prost_types::{ListValue, Struct, Value, value};
use serde_json::{Value as Json, json};

use super::{TypedError, from_json, message_kind, to_json, values};
use crate::proto::{POOL, v1};

fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(&format!("orqen.v1.{name}")).unwrap()
}

fn create(request: &v1::CreateChatCompletionRequest) -> Result<Json, TypedError> {
    let bytes = to_json(request, descriptor("CreateChatCompletionRequest"), false)?;
    Ok(serde_json::from_slice(&bytes).unwrap())
}

fn answer(json: &Json) -> v1::CreateChatCompletionResponse {
    from_json(json.to_string().as_bytes(), descriptor("CreateChatCompletionResponse")).unwrap()
}

fn chunk(json: &Json) -> v1::StreamChatCompletionResponse {
    from_json(json.to_string().as_bytes(), descriptor("StreamChatCompletionResponse")).unwrap()
}

fn value(json: &Json) -> Value {
    let kind = match json {
        Json::Null => value::Kind::NullValue(0),
        Json::Bool(value) => value::Kind::BoolValue(*value),
        Json::Number(number) => value::Kind::NumberValue(number.as_f64().unwrap()),
        Json::String(text) => value::Kind::StringValue(text.clone()),
        Json::Array(list) => value::Kind::ListValue(ListValue { values: list.iter().map(value).collect() }),
        Json::Object(_) => value::Kind::StructValue(structure(json)),
    };
    Value { kind: Some(kind) }
}

fn structure(json: &Json) -> Struct {
    let members = json.as_object().unwrap();
    Struct { fields: members.iter().map(|(name, json)| (name.clone(), value(json))).collect() }
}

fn user(text: &str) -> v1::ChatMessage {
    v1::ChatMessage { role: "user".to_owned(), content: Some(value(&json!(text))), ..Default::default() }
}

#[test]
fn a_request_is_written_as_openai_clients_write_it() {
    let request = v1::CreateChatCompletionRequest {
        model: "gpt-4o".to_owned(),
        messages: vec![
            user("weather?"),
            v1::ChatMessage {
                role: "assistant".to_owned(),
                content: Some(value(&Json::Null)),
                tool_calls: vec![v1::ToolCall {
                    id: Some("call_1".to_owned()),
                    r#type: Some("function".to_owned()),
                    function: Some(v1::FunctionCall {
                        name: Some("get_weather".to_owned()),
                        arguments: Some("{}".to_owned()),
                        extra: None,
                    }),
                    ..Default::default()
                }],
                ..Default::default()
            },
        ],
        tools: vec![v1::ChatTool {
            r#type: "function".to_owned(),
            function: Some(v1::FunctionDefinition {
                name: "get_weather".to_owned(),
                parameters: Some(structure(&json!({"type": "object", "maxProperties": 5}))),
                strict: Some(false),
                ..Default::default()
            }),
            extra: Some(structure(&json!({"cache_control": {"type": "ephemeral"}}))),
        }],
        tool_choice: Some(value(&json!("auto"))),
        temperature: Some(0.5),
        max_completion_tokens: Some(9_007_199_254_740_993),
        stop: vec!["END".to_owned()],
        extra: Some(structure(&json!({"reasoning_effort": "low", "metadata": null}))),
        ..Default::default()
    };
    let expected = json!({
        "model": "gpt-4o",
        "messages": [
            {"role": "user", "content": "weather?"},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
            ]},
        ],
        "tools": [{
            "type": "function",
            "function": {
                "name": "get_weather",
                "parameters": {"type": "object", "maxProperties": 5},
                "strict": false,
            },
            "cache_control": {"type": "ephemeral"},
        }],
        "tool_choice": "auto",
        "temperature": 0.5,
        "max_completion_tokens": 9_007_199_254_740_993i64,
        "stop": ["END"],
        "reasoning_effort": "low",
        "metadata": null,
    });
    assert_eq!(create(&request).unwrap(), expected);
}

#[test]
fn what_is_not_set_is_left_out_but_the_role() {
    assert_eq!(create(&v1::CreateChatCompletionRequest::default()).unwrap(), json!({}));
    let empty = v1::CreateChatCompletionRequest {
        messages: vec![v1::ChatMessage::default()],
        extra: Some(Struct::default()),
        ..Default::default()
    };
    assert_eq!(create(&empty).unwrap(), json!({"messages": [{"role": ""}]}));
    let zeroes = v1::CreateChatCompletionRequest {
        temperature: Some(0.0),
        parallel_tool_calls: Some(false),
        user: Some(String::new()),
        ..Default::default()
    };
    let expected = json!({"temperature": 0, "parallel_tool_calls": false, "user": ""});
    assert_eq!(create(&zeroes).unwrap(), expected);
}

#[test]
fn a_streamed_request_says_so_and_carries_its_options() {
    let request = v1::StreamChatCompletionRequest {
        messages: vec![user("hi")],
        stream_options: Some(v1::StreamOptions { include_usage: Some(true), extra: None }),
        ..Default::default()
    };
    let bytes = to_json(&request, descriptor("StreamChatCompletionRequest"), true).unwrap();
    let expected = json!({
        "messages": [{"role": "user", "content": "hi"}],
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    assert_eq!(serde_json::from_slice::<Json>(&bytes).unwrap(), expected);
}

#[test]
fn whole_doubles_are_written_as_integers_and_others_as_they_are() {
    for (number, text) in [
        (5.0, "5"),
        (-3.0, "-3"),
        (0.1, "0.1"),
        (-0.0, "-0.0"),
        (9_007_199_254_740_991.0, "9007199254740991"),
        (9_007_199_254_740_992.0, "9007199254740992.0"),
        (1e300, "1e+300"),
    ] {
        assert_eq!(values::number(number).unwrap().to_string(), text);
    }
}

#[test]
fn extra_may_not_name_a_field_of_its_message_at_any_level() {
    let at_root = v1::CreateChatCompletionRequest {
        extra: Some(structure(&json!({"tools": [{"type": "web_search"}]}))),
        ..Default::default()
    };
    let error = create(&at_root).unwrap_err();
    assert_eq!(error.param(), Some("extra.tools"));
    assert!(matches!(error, TypedError::Declared { .. }));
    let in_tool = v1::CreateChatCompletionRequest {
        tools: vec![
            v1::ChatTool::default(),
            v1::ChatTool {
                function: Some(v1::FunctionDefinition {
                    extra: Some(structure(&json!({"name": "rm"}))),
                    ..Default::default()
                }),
                ..Default::default()
            },
        ],
        ..Default::default()
    };
    assert_eq!(create(&in_tool).unwrap_err().param(), Some("tools[1].function.extra.name"));
}

#[test]
fn extra_may_not_say_whether_to_stream() {
    let extra = Some(structure(&json!({"stream": false})));
    let plain = v1::CreateChatCompletionRequest { extra: extra.clone(), ..Default::default() };
    let streamed = v1::StreamChatCompletionRequest { extra, ..Default::default() };
    for error in [
        create(&plain).unwrap_err(),
        to_json(&streamed, descriptor("StreamChatCompletionRequest"), true).unwrap_err(),
    ] {
        assert!(matches!(&error, TypedError::Stream { .. }));
        assert_eq!(error.param(), Some("extra.stream"));
    }
}

#[test]
fn a_number_that_json_cannot_write_is_refused_by_its_path() {
    let nan = Value { kind: Some(value::Kind::NumberValue(f64::NAN)) };
    let list =
        Value { kind: Some(value::Kind::ListValue(ListValue { values: vec![value(&json!(1)), nan] })) };
    let mut parameters = structure(&json!({}));
    parameters.fields.insert("enum".to_owned(), list);
    let function = v1::FunctionDefinition { parameters: Some(parameters), ..Default::default() };
    let tool = v1::ChatTool { function: Some(function), ..Default::default() };
    let request = v1::CreateChatCompletionRequest { tools: vec![tool], ..Default::default() };
    let error = create(&request).unwrap_err();
    assert_eq!(error.param(), Some("tools[0].function.parameters.enum[1]"));
    let request = v1::CreateChatCompletionRequest { temperature: Some(f64::INFINITY), ..Default::default() };
    assert_eq!(create(&request).unwrap_err().param(), Some("temperature"));
}

#[test]
fn values_too_deep_for_protobuf_are_refused_both_ways() {
    let mut deep = json!(1);
    for _ in 0..60 {
        deep = json!({ "a": deep });
    }
    let request = v1::CreateChatCompletionRequest { extra: Some(structure(&deep)), ..Default::default() };
    assert!(matches!(create(&request), Err(TypedError::TooDeep(_))));
    let text = deep.to_string();
    let result: Result<v1::CreateChatCompletionResponse, _> =
        from_json(text.as_bytes(), descriptor("CreateChatCompletionResponse"));
    assert!(matches!(result, Err(TypedError::TooDeep(_))));
}

#[test]
fn an_answer_is_read_with_what_it_does_not_know_in_extra() {
    let answer = answer(&json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_772_366_400, "model": "gpt-4o",
        "system_fingerprint": null, "service_tier": "default", "extra": 1,
        "choices": [{
            "index": 0, "finish_reason": "tool_calls", "logprobs": null,
            "message": {
                "role": "assistant", "content": null, "refusal": null, "annotations": [],
                "tool_calls": [{"id": "call_1", "type": "function",
                    "function": {"name": "get_weather", "arguments": "{\"city\":\"Paris\"}"}}],
            },
        }],
        "usage": {"prompt_tokens": 9_007_199_254_740_993i64, "completion_tokens": 2.0, "total_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 1}},
    }));
    assert_eq!((answer.id.as_str(), answer.created), ("chatcmpl-1", 1_772_366_400));
    let extra = json!({"system_fingerprint": null, "service_tier": "default", "extra": 1});
    assert_eq!(answer.extra.unwrap(), structure(&extra));
    let choice = &answer.choices[0];
    assert_eq!((choice.finish_reason.as_deref(), &choice.logprobs), (Some("tool_calls"), &None));
    let message = choice.message.as_ref().unwrap();
    assert_eq!(message.content, Some(value(&Json::Null)));
    assert_eq!(message.refusal, None);
    assert_eq!(message.extra, Some(structure(&json!({"annotations": []}))));
    let function = message.tool_calls[0].function.as_ref().unwrap();
    assert_eq!(function.arguments.as_deref(), Some("{\"city\":\"Paris\"}"));
    let usage = answer.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens), (9_007_199_254_740_993, 2));
    assert_eq!(usage.extra, Some(structure(&json!({"prompt_tokens_details": {"cached_tokens": 1}}))));
}

#[test]
fn a_chunk_is_read_with_the_parts_of_its_calls() {
    let chunk = chunk(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "usage": null,
        "choices": [{"index": 1, "finish_reason": null,
            "delta": {"tool_calls": [{"index": 2, "function": {"arguments": "{\""}}]}}],
    }));
    assert_eq!(chunk.usage, None);
    let choice = &chunk.choices[0];
    assert_eq!((choice.index, &choice.finish_reason), (1, &None));
    let delta = choice.delta.as_ref().unwrap();
    assert_eq!((delta.content.as_ref(), delta.tool_calls[0].index), (None, Some(2)));
}

#[test]
fn a_known_member_of_another_type_goes_into_extra_and_costs_nothing_else() {
    let odd = json!({
        "id": 7, "created": "now", "choices": [{"index": 3_000_000_000i64}, 1],
        "usage": {"prompt_tokens": 1.5, "total_tokens": 3}, "model": "m",
    });
    let answer = answer(&odd);
    assert_eq!((answer.id.as_str(), answer.created, answer.choices.len()), ("", 0, 0));
    assert_eq!(answer.model, "m");
    let expected = json!({"id": 7, "created": "now", "choices": odd["choices"]});
    assert_eq!(answer.extra.unwrap(), structure(&expected));
    let usage = answer.usage.unwrap();
    assert_eq!(usage.total_tokens, 3);
    assert_eq!(usage.extra, Some(structure(&json!({"prompt_tokens": 1.5}))));
}

#[test]
fn what_is_no_json_object_is_no_answer() {
    for text in ["", "[]", "null", "{", "\"{}\"", "{\"a\":1e999}"] {
        let result: Result<v1::CreateChatCompletionResponse, _> =
            from_json(text.as_bytes(), descriptor("CreateChatCompletionResponse"));
        assert!(matches!(result, Err(TypedError::NotAnObject(_))), "{text}");
    }
}

#[test]
fn every_field_of_the_chat_messages_has_an_equal_in_json() {
    let mut open = vec![
        descriptor("CreateChatCompletionRequest"),
        descriptor("StreamChatCompletionRequest"),
        descriptor("CreateChatCompletionResponse"),
        descriptor("StreamChatCompletionResponse"),
    ];
    while let Some(message) = open.pop() {
        let extra = message.get_field_by_name("extra").and_then(|field| message_kind(&field));
        assert_eq!(extra.as_ref().map(MessageDescriptor::full_name), Some(values::STRUCT), "{message:?}");
        assert!(message.get_field_by_name("stream").is_none(), "`stream` is the call's");
        for field in message.fields() {
            assert!(!field.is_map(), "{field:?}");
            match field.kind() {
                Kind::Bool | Kind::String | Kind::Double | Kind::Int32 | Kind::Int64 => {}
                Kind::Message(inner) if [values::STRUCT, values::VALUE].contains(&inner.full_name()) => {}
                Kind::Message(inner) => open.push(inner),
                _ => panic!("{field:?} needs a mapping"),
            }
        }
    }
}

fn documents() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-5i64..5).prop_map(Json::from),
        // Eighths: without its feature `float_roundtrip`, serde_json reads some doubles one bit off.
        any::<i32>().prop_map(|eighths| Json::from(f64::from(eighths) / 8.0)),
        "[a-z]{0,3}".prop_map(Json::from),
    ];
    let name = prop::sample::select(vec![
        "id",
        "created",
        "model",
        "choices",
        "usage",
        "extra",
        "message",
        "index",
        "content",
        "tool_calls",
        "function",
        "role",
        "logprobs",
        "other",
        "",
    ]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(|members| members
                .into_iter()
                .map(|(name, json)| (name.to_owned(), json))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_member_of_an_answer_is_lost(members in prop::collection::btree_map("[a-z]{1,2}|id|usage|choices", documents(), 0..5)) {
        let document: Json = members.iter().map(|(name, json)| (name.clone(), json.clone())).collect();
        let answer = answer(&document);
        let extra = answer.extra.unwrap_or_default();
        for (name, json) in &members {
            let taken = match name.as_str() {
                "id" => json.as_str() == Some(&answer.id) || json.is_null(),
                "usage" => answer.usage.is_some() || json.is_null(),
                "choices" => json.as_array().is_some_and(|list| list.len() == answer.choices.len()) || json.is_null(),
                _ => false,
            };
            prop_assert!(taken || extra.fields.get(name) == Some(&value(json)), "{name} of {document}");
        }
    }

    #[test]
    fn any_struct_is_written_as_the_json_it_stands_for_and_always_the_same(json in documents()) {
        let request = v1::CreateChatCompletionRequest {
            tool_choice: Some(value(&json)), ..Default::default()
        };
        let to_bytes = || to_json(&request, descriptor("CreateChatCompletionRequest"), false).unwrap();
        let written: Json = serde_json::from_slice(&to_bytes()).unwrap();
        prop_assert_eq!(value(&written["tool_choice"]), value(&json));
        prop_assert_eq!(to_bytes(), to_bytes());
    }
}
