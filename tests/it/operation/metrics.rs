//! `/metrics`: who may read it, what it counts of requests through each door, and what it never shows.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::json;

use crate::{
    chat::House,
    support::{
        actors::{Anonymous, Caller},
        rest::{Answer, Rest},
        server::{Settings, TestServer},
        stores::Place,
        upstream::Reply,
    },
};

/// How long a figure may take to come: records are counted in bulk.
const PATIENCE: Duration = Duration::from_secs(10);

const OFFERING: &str = r#"{"model":"gpt-4o-mine","messages":[],"tools":[{"type":"function","function":{"name":"gone","description":"a tool that nobody may use"}},{"type":"function","function":{"name":"a"}}]}"#;

/// The samples that a server shows, by name and labels.
async fn samples(address: SocketAddr) -> BTreeMap<String, f64> {
    read(&Rest::new(address).get("/metrics").await)
}

fn read(answer: &Answer) -> BTreeMap<String, f64> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let text = std::str::from_utf8(&answer.body).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// The samples, once these figures are among them.
async fn showing(address: SocketAddr, figures: &[(&str, f64)]) -> BTreeMap<String, f64> {
    let begun = Instant::now();
    loop {
        let samples = samples(address).await;
        let missing = figures.iter().find(|(name, value)| samples.get(*name) != Some(value));
        match missing {
            None => return samples,
            Some((name, value)) if begun.elapsed() > PATIENCE => {
                panic!("{name} is {:?} and not {value}: {samples:#?}", samples.get(*name))
            }
            Some(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_answer_loopback_until_there_is_a_port_for_operators() {
    let server = TestServer::new().await;
    let answer = server.anonymous().rest().get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.body.ends_with(b"\n"));
    assert_eq!(server.anonymous().rest().send(Method::HEAD, "/metrics", "").await.body, "");
    let refused = server.anonymous().rest().send(Method::POST, "/metrics", "{}").await;
    refused.refused(405, "method_not_allowed");
    assert_eq!(refused.header("allow"), "GET, HEAD");
    server.stop().await;

    let settings = Settings::at(&Place::sqlite()).toml("[server]\nadmin_listen = \"127.0.0.1:0\"");
    let server = TestServer::start(settings).await;
    for caller in [server.anonymous().rest().clone(), server.operator().rest().clone()] {
        caller.get("/metrics").await.refused(404, "route_not_found");
        caller.send(Method::POST, "/metrics", "{}").await.refused(404, "route_not_found");
    }
    let admin = Anonymous::new(server.admin_address().unwrap());
    assert!(read(&admin.rest().get("/metrics").await).contains_key("orqen_tools_received_total"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_door_and_outcome() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    agent.posts(OFFERING).await.success();
    agent.calls_raw(OFFERING).await.unwrap();
    house.upstream.will(Reply::events(&["data: 1\n\n", "data: [DONE]\n\n"]));
    agent.posts(r#"{"model":"gpt-4o-mine","stream":true,"messages":[]}"#).await;
    house.upstream.will(Reply::status("500 Internal Server Error", &[], "{}"));
    assert_eq!(agent.posts(OFFERING).await.status, 500);
    house.upstream.will(Reply::raw(""));
    agent.posts(OFFERING).await.refused(502, "upstream_unreachable");
    let forced = r#"{"model":"gpt-4o-mine","tools":[{"name":"gone"}],"tool_choice":"required"}"#;
    agent.posts(forced).await.refused(403, "tool_not_allowed");
    agent.posts(r#"{"model":"llama-of-mine"}"#).await.refused(404, "model_not_found");

    let requests = |outcome: &str, status: &str, streamed: bool, upstream: &str| {
        format!(
            "orqen_requests_total{{outcome=\"{outcome}\",status=\"{status}\",streamed=\"{streamed}\",\
             upstream=\"{upstream}\"}}"
        )
    };
    let figures = [
        (requests("complete", "2xx", false, "scripted"), 2.0),
        (requests("complete", "2xx", true, "scripted"), 1.0),
        (requests("upstream", "5xx", false, "scripted"), 2.0),
        (requests("error", "4xx", false, "scripted"), 1.0),
        (requests("error", "4xx", false, "none"), 1.0),
        ("orqen_own_duration_seconds_count".into(), 7.0),
        ("orqen_upstream_duration_seconds_count{upstream=\"scripted\"}".into(), 5.0),
        ("orqen_tools_received_total".into(), 9.0),
        ("orqen_tools_forwarded_total".into(), 4.0),
        ("orqen_tools_removed_total{by=\"lists\"}".into(), 5.0),
        ("orqen_tools_removed_total{by=\"pruning\"}".into(), 0.0),
        ("orqen_tool_selections_total{routing=\"keyword\"}".into(), 4.0),
        ("orqen_prune_skipped_total{reason=\"small_toolset\"}".into(), 4.0),
        ("orqen_http_responses_total{protocol=\"grpc\",status=\"2xx\"}".into(), 1.0),
        ("orqen_usage_queue_depth".into(), 0.0),
        ("orqen_usage_records_dropped_total".into(), 0.0),
    ];
    let figures: Vec<(&str, f64)> = figures.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let samples = showing(house.server.address(), &figures).await;
    assert!(samples["orqen_tokens_saved_total{by=\"lists\"}"] > 0.0, "{samples:#?}");
    assert!(samples["orqen_key_cache_hits_total"] >= 6.0, "{samples:#?}");
    assert!(samples["orqen_key_cache_misses_total"] >= 1.0, "{samples:#?}");
    assert!(samples["orqen_time_to_first_byte_seconds_count{upstream=\"scripted\"}"] >= 3.0, "{samples:#?}");
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_counted_by_the_limit() {
    let settings = Settings::at(&Place::sqlite())
        .variable("ORQEN_POLICY__REQUESTS_PER_MINUTE", "1")
        .variable("ORQEN_LIMITS__ACCOUNT_REQUESTS_PER_MINUTE", "3")
        .variable("ORQEN_LIMITS__FAILED_AUTH_PER_MINUTE", "1");
    let server = TestServer::start(settings).await;
    let operator = server.operator();
    let asking = json!({"model": "orqen/demo", "messages": [{"role": "user", "content": "x"}]});
    operator.chat(asking.clone()).await.success();
    operator.chat(asking.clone()).await.refused(429, "rate_limit_exceeded");
    for _ in 0..3 {
        operator.me().await.success();
    }
    operator.me().await.refused(429, "rate_limit_exceeded");
    for status in [401, 429] {
        let secret = orqen::domain::secret::PlainSecret::generate(&mut rand::rng());
        let stranger = server.anonymous().rest().bearer(secret.expose());
        assert_eq!(stranger.get("/v1/account/me").await.status, status);
    }
    let figures = [
        ("orqen_refusals_total{limit=\"requests\"}", 1.0),
        ("orqen_refusals_total{limit=\"concurrent_requests\"}", 0.0),
        ("orqen_refusals_total{limit=\"saved_tokens\"}", 0.0),
        ("orqen_refusals_total{limit=\"account_routes\"}", 1.0),
        ("orqen_refusals_total{limit=\"failed_authentications\"}", 1.0),
        ("orqen_tool_selections_total{routing=\"keyword\"}", 0.0),
    ];
    showing(server.address(), &figures).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_clients_is_shown_and_their_words_make_no_series() {
    let house = House::new().await;
    let (agent, issued) = house.operator.equip(json!({"name": "agent-of-mine"})).await;
    agent.posts(OFFERING).await.success();
    // All that a first request begins: whoever looks between two of them sees the one without the other.
    let begun = [
        ("orqen_own_duration_seconds_count", 1.0),
        ("orqen_upstream_duration_seconds_count{upstream=\"scripted\"}", 1.0),
        ("orqen_time_to_first_byte_seconds_count{upstream=\"scripted\"}", 1.0),
    ];
    let series = showing(house.server.address(), &begun).await.len();
    for number in 0..5 {
        let body =
            format!(r#"{{"model":"gpt-4o-mine-{number}","messages":[],"tools":[{{"name":"t{number}"}}]}}"#);
        let session = agent.rest().with("x-orqen-session-id".parse().unwrap(), &format!("session-{number}"));
        session.send(Method::POST, "/v1/chat/completions", body).await.success();
        session.get(&format!("/nowhere/{number}")).await.refused(404, "route_not_found");
    }
    let samples = showing(house.server.address(), &[("orqen_own_duration_seconds_count", 6.0)]).await;
    assert_eq!(samples.len(), series, "{samples:#?}");
    let answer = house.server.anonymous().rest().get("/metrics").await;
    let text = std::str::from_utf8(&answer.body).unwrap();
    let (id, account) = (issued["id"].as_str().unwrap(), house.operator.account_id().await);
    for secret in ["mine", "gone", "session-", "sk-orq-", id, &account, "nowhere"] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
    house.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_asks_for_figures_that_there_are_and_for_all_of_them() {
    let house = House::new().await;
    house.agent().await.posts(OFFERING).await.success();
    showing(house.server.address(), &[("orqen_own_duration_seconds_count", 1.0)]).await;
    let answer = house.server.anonymous().rest().get("/metrics").await;
    let text = std::str::from_utf8(&answer.body).unwrap();
    let families: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/grafana/orqen.json");
    let board = std::fs::read_to_string(path).unwrap();
    serde_json::from_str::<serde_json::Value>(&board).unwrap();
    let asked: BTreeSet<&str> = board
        .match_indices("orqen_")
        .map(|(at, _)| {
            let rest = &board[at..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            rest[..end].trim_end_matches("_bucket")
        })
        .collect();
    assert_eq!(asked, families);
    house.server.stop().await;
}
