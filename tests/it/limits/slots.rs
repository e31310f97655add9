//! Requests at the same time: a slot is held as long as the answer runs, and given back however it ends.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::json;

use super::*;
use crate::{
    chat::House,
    support::upstream::{Fate, Reply},
};

const STREAMING: &str = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;
const PLAIN: &str = r#"{"model":"gpt-4o","messages":[]}"#;

/// A house where a key may do one thing at a time.
async fn house() -> House {
    House::with(|settings| settings.variable(CONCURRENT, "1")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_too_many_is_refused_at_every_door_while_the_answer_runs() {
    let house = house().await;
    let (agent, issued) = house.operator.equip(json!({"name": "agent"})).await;
    let id = issued["id"].as_str().unwrap();
    let stream = house.upstream.will_stream();
    let mut answer = agent.opens(STREAMING).await;
    stream.send("data: 1\n\n");
    answer.frame().await.unwrap().unwrap();
    for way in WAYS {
        let refused = agent.is_refused(way, "concurrency_limit_exceeded").await;
        let said = format!("the key {id} may have 1 request at the same time");
        assert!(refused.told.message.starts_with(&said), "{refused:?}");
        assert_eq!(refused.retry_after, Some(Duration::from_secs(1)), "{way:?}");
        if !matches!(way, Way::Rest | Way::RestStream) {
            assert_eq!(refused.quota, Some((format!("the key {id}"), said)), "{way:?}");
        }
    }
    stream.send("data: [DONE]\n\n");
    stream.end();
    answer.into_body().collect().await.unwrap();
    agent.asks(Way::Rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_comes_back_with_the_last_byte_through_every_door() {
    let house = house().await;
    let agent = house.agent().await;
    for way in WAYS.iter().cycle().take(24) {
        agent.asks(*way).await.unwrap_or_else(|refused| panic!("{way:?}: {refused:?}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_comes_back_when_the_client_leaves_before_the_first_byte() {
    let house = house().await;
    let agent = house.agent().await;
    house.upstream.will(Reply::silence());
    let leaving = agent.over_http1();
    tokio::select! {
        answer = leaving.opens(STREAMING) => panic!("the provider said nothing, but: {answer:?}"),
        _ = house.upstream.request(0) => {}
    }
    drop(leaving);
    assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);
    agent.gets_a_slot().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_comes_back_when_the_client_leaves_in_the_middle() {
    let house = house().await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let leaving = agent.over_http1();
    let mut answer = leaving.opens(STREAMING).await;
    stream.send("data: 1\n\n");
    answer.frame().await.unwrap().unwrap();
    agent.is_refused(Way::Rest, "concurrency_limit_exceeded").await;
    drop((answer, leaving));
    assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);
    agent.gets_a_slot().await;

    let stream = house.upstream.will_stream();
    let leaving = agent.over_http2();
    let mut answer = leaving.opens(STREAMING).await;
    stream.send("data: 1\n\n");
    answer.frame().await.unwrap().unwrap();
    drop((answer, leaving));
    assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);
    agent.gets_a_slot().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_comes_back_when_a_grpc_client_leaves() {
    let house = house().await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let answer = agent.grpc().chat().create_raw_chat_completion(http_body(STREAMING)).await.unwrap();
    let mut pieces = answer.into_inner();
    stream.send("data: 1\n\n");
    pieces.message().await.unwrap().unwrap();
    agent.is_refused(Way::Raw, "concurrency_limit_exceeded").await;
    drop(pieces);
    assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);
    agent.gets_a_slot().await;

    let stream = house.upstream.will_stream();
    let request = v1::StreamChatCompletionRequest { model: "gpt-4o".into(), ..Default::default() };
    let mut chunks = agent.grpc().chat().stream_chat_completion(request).await.unwrap().into_inner();
    stream.send("data: {\"id\":\"c\",\"choices\":[]}\n\n");
    chunks.message().await.unwrap().unwrap();
    drop(chunks);
    assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);
    agent.gets_a_slot().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_comes_back_when_the_request_fails() {
    let house = house().await;
    let agent = house.denied(&["gone"]).await;
    let forced = r#"{"model":"gpt-4o","tools":[{"name":"gone"}],"tool_choice":"required"}"#;
    for (body, reply, status) in [
        ("{", None, 400),
        (forced, None, 403),
        (r#"{"model":"llama"}"#, None, 404),
        (PLAIN, Some(Reply::status("500 Internal Server Error", &[], "{}")), 500),
        (PLAIN, Some(Reply::status("401 Unauthorized", &[], "{}")), 502),
        (PLAIN, Some(Reply::raw("")), 502),
        (PLAIN, Some(Reply::raw("HTTP/1.1 204 No Content\r\n\r\n")), 204),
    ] {
        reply.into_iter().for_each(|reply| house.upstream.will(reply));
        assert_eq!(agent.posts(body).await.status, status);
        agent.asks(Way::Rest).await.unwrap_or_else(|refused| panic!("after {status}: {refused:?}"));
    }
    for body in ["{", forced, r#"{"model":"llama"}"#] {
        agent.calls_raw(body).await.unwrap_err();
        agent.asks(Way::Raw).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_comes_back_when_the_provider_breaks_off() {
    let house = house().await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let answer = agent.opens(STREAMING).await;
    stream.send("data: 1\n\n");
    stream.cut();
    answer.into_body().collect().await.unwrap();
    agent.asks(Way::Rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refused_for_the_rate_holds_no_slot_and_one_refused_for_slots_takes_no_rate() {
    let (house, clock) = standing(&[(REQUESTS, "2"), (CONCURRENT, "1")]).await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let running = agent.opens(STREAMING).await;
    for _ in 0..20 {
        agent.is_refused(Way::Rest, "concurrency_limit_exceeded").await;
    }
    stream.end();
    running.into_body().collect().await.unwrap();
    agent.asks(Way::Rest).await.unwrap();
    for _ in 0..20 {
        agent.is_refused(Way::Rest, "rate_limit_exceeded").await;
    }
    clock.advance(chrono::TimeDelta::seconds(30));
    agent.asks(Way::Rest).await.unwrap();
}
