//! Two servers on one store and one Redis share their limits. Without `ORQEN_TEST_REDIS_URL` there is nothing to see.

use serde_json::json;

use super::*;
use crate::{
    chat::House,
    support::{server::TestServer, stores::Place},
};

#[expect(clippy::disallowed_methods, reason = "says whether there is a Redis")]
fn redis_url() -> Option<String> {
    let url = std::env::var("ORQEN_TEST_REDIS_URL").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        println!("skipped: ORQEN_TEST_REDIS_URL is not set");
    }
    url
}

/// A house, and a second server on its store.
async fn two(variables: &[(&str, &str)], redis: &str) -> (House, TestServer) {
    let upstream = crate::support::upstream::ScriptedUpstream::start().await;
    let settings = with(Settings::at(&Place::sqlite()), variables)
        .toml(&format!("[redis]\nurl = {redis:?}"))
        .upstream("scripted", &upstream.base_url(), &["gpt-*"]);
    let server = TestServer::start(settings.clone()).await;
    let other = TestServer::start(settings).await;
    let operator = server.operator();
    (House { upstream, server, operator }, other)
}

/// Each of them has Redis only once it has answered: until a request that the one took is seen by the other.
async fn until_shared(house: &House, other: &TestServer) {
    for _ in 0..400 {
        let agent = house.agent_with(json!({"rate_limit_rpm": 2})).await;
        agent.asks(Way::Rest).await.unwrap();
        // A slot is back at the other a moment later: Redis is told of it without anybody waiting.
        match other.agent(agent.secret()).asks(Way::Rest).await {
            Ok(headers) if figures(&headers)[1] == "0" => return,
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the servers never shared a limit");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_a_rate() {
    let Some(redis) = redis_url() else { return };
    let (house, other) = two(&[(REQUESTS, "10")], &redis).await;
    until_shared(&house, &other).await;
    // On a machine so busy that Redis does not answer in time they count apart: never fewer, and soon exactly as many.
    for _ in 0..20 {
        let passed = passed_of_both(&house, &other).await;
        assert!((4..=8).contains(&passed));
        if passed == 4 {
            return;
        }
    }
    panic!("the servers never shared a limit to the end");
}

/// How many of eight requests pass, in turn at both, with a key that may send four a minute.
async fn passed_of_both(house: &House, other: &TestServer) -> i32 {
    let agent = house.agent_with(json!({"rate_limit_rpm": 4})).await;
    let there = other.agent(agent.secret());
    let mut passed = 0;
    for agent in [&agent, &there].into_iter().cycle().take(8) {
        match agent.asks(Way::Rest).await {
            Ok(_) => passed += 1,
            Err(refused) => assert_eq!(refused.told.code, "rate_limit_exceeded"),
        }
    }
    passed
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_share_slots_and_a_slot_comes_back_on_both() {
    let Some(redis) = redis_url() else { return };
    let (house, other) = two(&[(REQUESTS, "1000"), (CONCURRENT, "1")], &redis).await;
    until_shared(&house, &other).await;
    // As above: on a busy machine they may count apart for a while.
    for _ in 0..20 {
        let agent = house.agent().await;
        let there = other.agent(agent.secret());
        let stream = house.upstream.will_stream();
        let running = agent.opens(r#"{"model":"gpt-4o","stream":true,"messages":[]}"#).await;
        agent.is_refused(Way::Raw, "concurrency_limit_exceeded").await;
        let shared = there.asks(Way::Rest).await.is_err();
        stream.end();
        http_body_util::BodyExt::collect(running.into_body()).await.unwrap();
        there.gets_a_slot().await;
        agent.gets_a_slot().await;
        if shared {
            return;
        }
    }
    panic!("the servers never shared a slot");
}
