//! Streams: passed on piece by piece, cancelled when the agent leaves, and never taken for whole when they broke.
//!
//! Keep-alive comments come after 15 seconds of silence; `src/chat/answer/tests.rs` proves them on a clock that it
//! moves.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use crate::{
    chat::{House, http_body, usage::recorded},
    support::{
        actors::{Agent, Caller},
        upstream::{Fate, Reply},
    },
};

const STREAMING: &str = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;
/// One whose client wants its usage, so that nothing is kept back.
const TOLD: &str =
    r#"{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;

/// The agent over HTTP/1.1 and over HTTP/2: a client leaves in different ways.
fn both(agent: &Agent) -> [Agent; 2] {
    [agent.over_http1(), agent.over_http2()]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_hangs_up_in_the_middle_ends_the_call_upstream() {
    let house = House::new().await;
    let agent = house.agent().await;
    for (place, client) in both(&agent).into_iter().enumerate() {
        let stream = house.upstream.will_stream();
        let mut answer = client.opens(STREAMING).await;
        stream.send("data: 1\n\n");
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), "data: 1\n\n");
        assert_eq!(house.upstream.received().len(), place + 1);
        drop((answer, client));
        assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);
    }
    recorded(&agent, json!({"total": 2, "complete": 0, "client": 2, "upstream": 0, "error": 0})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_hangs_up_before_the_first_byte_ends_the_call_upstream() {
    let house = House::new().await;
    let agent = house.agent().await;
    for (place, client) in both(&agent).into_iter().enumerate() {
        house.upstream.will(Reply::silence());
        tokio::select! {
            answer = client.opens(STREAMING) => panic!("the provider said nothing, but: {answer:?}"),
            _ = house.upstream.request(place) => {}
        }
        drop(client);
        assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);
    }
    recorded(&agent, json!({"total": 2, "complete": 0, "client": 2, "upstream": 0, "error": 0})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_client_that_cancels_ends_the_call_upstream() {
    let house = House::new().await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let answer = agent.grpc().chat().create_raw_chat_completion(http_body(STREAMING)).await.unwrap();
    let mut pieces = answer.into_inner();
    stream.send("data: 1\n\n");
    assert_eq!(pieces.message().await.unwrap().unwrap().data, "data: 1\n\n");
    drop(pieces);
    assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);

    house.upstream.will(Reply::silence());
    tokio::select! {
        answer = agent.calls_raw(STREAMING) => panic!("the provider said nothing, but: {answer:?}"),
        _ = house.upstream.request(1) => {}
    }
    assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);
    recorded(&agent, json!({"total": 2, "complete": 0, "client": 2, "upstream": 0, "error": 0})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_the_provider_cuts_ends_with_an_error_event_and_without_done() {
    let house = House::new().await;
    let agent = house.agent().await;
    for (piece, before) in [("data: 1\n\n", "data: "), ("data: {\"half\":", "\n\ndata: ")] {
        let stream = house.upstream.will_stream();
        let mut answer = agent.opens(TOLD).await;
        stream.send(piece);
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
        stream.cut();
        let rest = answer.collect().await.unwrap().to_bytes();
        let event = std::str::from_utf8(&rest).unwrap().strip_prefix(before).unwrap();
        let error: Value = serde_json::from_str(event.strip_suffix("\n\n").unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "upstream_unreachable");
        assert_eq!(error["error"]["type"], "server_error");
        assert!(!event.contains("[DONE]"));
    }
    recorded(&agent, json!({"total": 2, "complete": 0, "client": 0, "upstream": 2, "error": 0})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_falls_silent_within_a_stream_is_given_up() {
    let house = House::with(|settings| settings.toml("idle_timeout = \"100ms\"")).await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    stream.send("data: 1\n\n");
    let answer = agent.opens(STREAMING).await;
    let whole = answer.collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&whole).unwrap();
    assert!(
        text.starts_with("data: 1\n\ndata: ") && text.contains("\"code\":\"upstream_timeout\""),
        "{text}"
    );
    assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_a_cut_stream_ends_with_the_same_event() {
    let house = House::new().await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    stream.send("data: 1\n\n");
    stream.cut();
    let (_, pieces) = agent.calls_raw(STREAMING).await.unwrap();
    let whole = pieces.iter().flat_map(|piece| piece.data.to_vec()).collect();
    let text = String::from_utf8(whole).unwrap();
    assert!(text.starts_with("data: 1\n\ndata: {\"error\":") && text.ends_with("\n\n"), "{text}");
    assert!(!text.contains("[DONE]"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_answer_that_breaks_off_is_no_whole_answer() {
    let house = House::new().await;
    let agent = house.agent().await;
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"id\":";
    house.upstream.will(Reply::raw(half));
    let answer = agent.opens(r#"{"model":"gpt-4o"}"#).await;
    assert_eq!(answer.status(), 200);
    answer.collect().await.expect_err("half of it must not look like all of it");

    house.upstream.will(Reply::raw(half));
    let status = agent.calls_raw(r#"{"model":"gpt-4o"}"#).await.unwrap_err();
    crate::chat::refusal(&status).refused("upstream_unreachable");
    recorded(&agent, json!({"total": 2, "complete": 0, "client": 0, "upstream": 2, "error": 0})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_small_pieces_come_without_a_stall() {
    let house = House::new().await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let mut answer = agent.opens(STREAMING).await;
    let began = std::time::Instant::now();
    for place in 0..500 {
        let piece = format!("data: {place}\n\n");
        stream.send(&piece);
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
    }
    // Nagle and delayed ACK cost 40 ms a piece: twenty seconds for these, on either side.
    assert!(began.elapsed().as_secs() < 15, "{:?}", began.elapsed());
    stream.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_asked_for_its_usage_which_a_client_who_did_not_ask_does_not_see() {
    let house = House::new().await;
    let agent = house.agent().await;
    let chunk = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n";
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n";
    let done = "data: [DONE]\n\n";
    let refusing = TOLD.replace("true},", "false},").leak();
    for (request, told) in [(STREAMING, false), (&*refusing, false), (TOLD, true)] {
        house.upstream.will(Reply::events(&[chunk, usage, done]));
        let got = agent.opens(request).await.collect().await.unwrap().to_bytes();
        assert_eq!(got, format!("{chunk}{}{done}", if told { usage } else { "" }), "{request}");
        let sent: Value = serde_json::from_str(house.upstream.last().text()).unwrap();
        assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    }
    let summary = settled(&agent, 3).await;
    assert_eq!(summary["tokens"], json!({"prompt": 27, "completion": 9, "cached": 12}));
}

/// The caller's summary once so many requests are in it.
async fn settled(agent: &Agent, requests: i64) -> Value {
    for _ in 0..200 {
        let summary = agent.rest().get("/v1/usage/summary").await.success();
        if summary["requests"]["total"] == requests {
            return summary;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{requests} requests were not recorded");
}
