//! A stop while agents are served: a balancer is told first, what runs finishes, and nothing of it is lost.

use http_body_util::BodyExt;
use serde_json::json;
use tokio::net::TcpStream;

use crate::{
    chat::{House, usage::recorded},
    support::{
        actors::Caller,
        rest::Rest,
        upstream::{Fate, Reply},
    },
};

const STREAMING: &str = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_runs_finishes_while_new_connections_are_refused() {
    let house = House::with(|settings| settings.variable("ORQEN_SERVER__DRAIN_DELAY", "6s")).await;
    let (agent, address) = (house.agent().await, house.server.address());
    let stream = house.upstream.will_stream();
    let mut answer = agent.opens(STREAMING).await;
    assert_eq!(Rest::new(address).get("/readyz").await.status, 200);

    let stopped = house.server.ask_to_stop();
    // The process lives and takes connections, but asks for no more.
    while Rest::new(address).get("/readyz").await.status != 503 {
        tokio::task::yield_now().await;
    }
    assert_eq!(Rest::new(address).get("/healthz").await.status, 200);
    assert_eq!(agent.over_http1().posts(r#"{"model":"gpt-4o"}"#).await.status, 200);

    while TcpStream::connect(address).await.is_ok() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for piece in ["data: 1\n\n", "data: [DONE]\n\n"] {
        stream.send(piece);
        assert_eq!(answer.frame().await.unwrap().unwrap().into_data().unwrap(), piece);
    }
    assert!(!stopped.is_finished());
    stream.end();
    assert!(answer.frame().await.is_none());
    stopped.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlives_the_deadline_is_cut_upstream_too() {
    let house = House::with(|settings| settings.variable("ORQEN_SERVER__DRAIN_DEADLINE", "100ms")).await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let answer = agent.opens(STREAMING).await;
    house.server.stop().await;
    assert_eq!(house.upstream.last().fate().await, Fate::CutByGateway);
    answer.collect().await.expect_err("a cut stream is no whole one");
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_stop_loses_no_record() {
    let House { upstream, server, operator } = House::new().await;
    let (agent, _) = operator.equip(json!({"name": "agent"})).await;
    for _ in 0..20 {
        agent.posts(r#"{"model":"gpt-4o"}"#).await.success();
    }
    upstream.will(Reply::status("500 Internal Server Error", &[], ""));
    agent.posts(r#"{"model":"gpt-4o"}"#).await;
    let server = server.restart().await;
    let agent = server.agent(agent.secret());
    let summary = agent.usage_summary().await.success();
    assert_eq!(
        summary["requests"],
        json!({"total": 21, "complete": 20, "client": 0, "upstream": 1, "error": 0})
    );
    recorded(&agent, summary["requests"].clone()).await;
}
