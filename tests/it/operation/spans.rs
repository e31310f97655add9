//! Spans: what a collector gets of requests, once it is configured, and what it never gets.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message;
use serde_json::json;

use crate::{
    chat::House,
    support::{
        actors::Caller,
        upstream::{Reply, ScriptedUpstream},
    },
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A house whose spans go to `endpoint`.
async fn house(endpoint: &str) -> House {
    let toml = format!("[otel]\nendpoint = {endpoint:?}\nservice_name = \"gateway\"\ntimeout = \"500ms\"");
    House::with(|settings| settings.toml(&toml)).await
}

/// The spans that a collector has got.
fn spans(collector: &ScriptedUpstream) -> Vec<Span> {
    let mut spans = Vec::new();
    for received in collector.received() {
        assert_eq!(received.line, "POST /v1/traces HTTP/1.1");
        assert_eq!(received.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(received.header("authorization"), None);
        let message = ExportTraceServiceRequest::decode(&received.body[..]).unwrap();
        for resource in message.resource_spans {
            let name = &resource.resource.unwrap().attributes[0];
            let value = name.value.clone().unwrap().value.unwrap();
            assert_eq!((name.key.as_str(), value), ("service.name", Value::StringValue("gateway".into())));
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    spans
}

fn text(span: &Span, key: &str) -> Option<String> {
    match value(span, key)? {
        Value::StringValue(text) => Some(text),
        other => panic!("{key} is {other:?}"),
    }
}

fn number(span: &Span, key: &str) -> Option<i64> {
    match value(span, key)? {
        Value::IntValue(number) => Some(number),
        other => panic!("{key} is {other:?}"),
    }
}

fn value(span: &Span, key: &str) -> Option<Value> {
    let attribute = span.attributes.iter().find(|attribute| attribute.key == key)?;
    attribute.value.clone().unwrap().value
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_a_span_of_each_request_with_the_field_s_names_and_no_text() {
    let collector = ScriptedUpstream::start().await;
    let house = house(collector.base_url().trim_end_matches("/v1")).await;
    let agent = house.denied(&["gone-tool"]).await;
    house.upstream.will(Reply::json(
        r#"{"choices":[],"usage":{"prompt_tokens":70,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":50}}}"#,
    ));
    let asking = json!({
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "a word of mine"}],
        "tools": [{"type": "function", "function": {"name": "gone-tool"}}],
    });
    let answer = agent.chat(asking).await;
    answer.success();
    house.upstream.will(Reply::status("500 Internal Server Error", &[], "{}"));
    agent.posts(r#"{"model":"gpt-4o","messages":[]}"#).await;
    agent.posts(r#"{"model":"a-model-of-mine"}"#).await.refused(404, "model_not_found");
    // A clean stop sends what waits.
    house.server.stop().await;

    let spans = spans(&collector);
    assert_eq!(spans.len(), 3, "{spans:#?}");
    let [complete, failed, refused] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!((complete.name.as_str(), complete.kind), ("chat gpt-4o", 3));
    assert_eq!(hex::encode(&complete.trace_id), answer.header("x-request-id").trim_start_matches("req_"));
    assert_eq!((complete.span_id.len(), complete.status.clone()), (8, None));
    assert!(complete.end_time_unix_nano > complete.start_time_unix_nano);
    for (key, expected) in [
        ("gen_ai.operation.name", Some("chat")),
        ("gen_ai.provider.name", Some("scripted")),
        ("gen_ai.request.model", Some("gpt-4o")),
        ("error.type", None),
        ("orqen.outcome", Some("complete")),
    ] {
        assert_eq!(text(complete, key).as_deref(), expected, "{key}");
    }
    for (key, expected) in [
        ("gen_ai.usage.input_tokens", 70),
        ("gen_ai.usage.output_tokens", 3),
        ("gen_ai.usage.cache_read.input_tokens", 50),
        ("http.response.status_code", 200),
        ("orqen.tools.denied", 1),
    ] {
        assert_eq!(number(complete, key), Some(expected), "{key}");
    }
    assert_eq!(
        (text(failed, "error.type").unwrap().as_str(), failed.status.clone().unwrap().code),
        ("500", 2)
    );
    assert_eq!((refused.name.as_str(), text(refused, "error.type").as_deref()), ("chat", Some("404")));
    let all = format!("{spans:?}");
    for secret in ["a word", "gone-tool", "of-mine", "sk-orq-", agent.secret()] {
        assert!(!all.contains(secret), "{secret} in {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let house = house("http://127.0.0.1:9").await;
    house.agent().await.posts(r#"{"model":"gpt-4o","messages":[]}"#).await.success();
    let begun = Instant::now();
    house.server.stop().await;
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_a_collector_refuses_are_counted() {
    let collector = ScriptedUpstream::start().await;
    collector.will(Reply::status("400 Bad Request", &[], "no"));
    let house = house(collector.base_url().trim_end_matches("/v1")).await;
    house.agent().await.posts(r#"{"model":"gpt-4o","messages":[]}"#).await.success();
    let begun = Instant::now();
    loop {
        let answer = house.server.anonymous().rest().get("/metrics").await;
        if std::str::from_utf8(&answer.body).unwrap().contains("orqen_otel_spans_dropped_total 1\n") {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    house.server.stop().await;
}
