//! Headers between agent and provider: what may pass, and nothing else.

use std::collections::BTreeSet;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::{
    chat::{CHAT, DOORS, Door, House},
    support::{
        actors::{Agent, Caller},
        upstream::{Received, Reply},
    },
};

const ASKING: &str = r#"{"model":"gpt-4o","messages":[]}"#;

/// What an agent, its library and the proxies before Orqen may send.
const SENT: &[(&str, &str)] = &[
    ("cookie", "session=agents-own"),
    ("x-api-key", "agents-own"),
    ("api-key", "agents-own"),
    ("proxy-authorization", "Basic agents-own"),
    ("x-orqen-session-id", "agents-own"),
    ("x-forwarded-for", "10.1.2.3"),
    ("forwarded", "for=10.1.2.3"),
    ("x-request-id", "agents-own"),
    ("user-agent", "OpenAI/Python agents-own"),
    ("x-stainless-os", "agents-own"),
    ("openai-organization", "agents-own"),
    ("origin", "https://agents-own.example"),
    ("referer", "https://agents-own.example"),
    ("accept-language", "agents-own"),
    ("openai-beta", "assistants=v2"),
    ("idempotency-key", "once"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "a=b"),
];

/// What a provider may get of it, and what Orqen adds.
const PASSED: [&str; 9] = [
    "accept",
    "accept-encoding",
    "content-length",
    "content-type",
    "host",
    "openai-beta",
    "traceparent",
    "tracestate",
    "user-agent",
];

fn headers(more: &[(&'static str, &str)]) -> HeaderMap {
    let all = SENT.iter().copied().chain(more.iter().copied());
    all.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
}

async fn received(house: &House, agent: &Agent, more: &[(&'static str, &str)]) -> Received {
    let mut headers = headers(more);
    headers.insert("authorization", format!("Bearer {}", agent.secret()).parse().unwrap());
    agent.rest().with_headers(headers).send(Method::POST, CHAT, ASKING).await.success();
    house.upstream.last()
}

fn names(received: &Received) -> BTreeSet<&str> {
    received.headers.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_for_the_provider_reaches_it() {
    let house = House::new().await;
    let agent = house.agent().await;
    let hops = [
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "agents-own"),
        ("te", "trailers"),
        ("accept", "text/plain"),
    ];
    let received = received(&house, &agent, &hops).await;
    assert_eq!(names(&received), PASSED.into_iter().collect());
    let head = format!("{:?}", received.headers);
    assert!(
        !head.contains("agents-own") && !head.contains("10.1.2.3") && !head.contains("sk-orq-"),
        "{head}"
    );
    assert_eq!(received.header("accept"), Some("application/json"));
    assert_eq!(received.header("accept-encoding"), Some("identity"));
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.header("user-agent"), Some(concat!("orqen/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(
        received.header("host"),
        house.upstream.base_url().strip_prefix("http://").and_then(|url| url.strip_suffix("/v1"))
    );
    assert_eq!(received.header("idempotency-key"), None, "all keys share one account at the provider");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_grpc_is_held_to_the_same() {
    let house = House::new().await;
    let agent = house.agent().await;
    let mut all = headers(&[]);
    all.remove("user-agent");
    all.insert("authorization", format!("Bearer {}", agent.secret()).parse().unwrap());
    let client = agent.grpc().with_headers(all);
    client.chat().create_raw_chat_completion(crate::chat::http_body(ASKING)).await.unwrap();
    assert_eq!(names(&house.upstream.last()), PASSED.into_iter().collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_key_does_not_travel_in_a_header_that_passes() {
    let house =
        House::with(|settings| settings.toml("forward_headers = [\"x-tenant\", \"openai-beta\"]")).await;
    let agent = house.agent().await;
    let secret = agent.secret().to_owned();
    let hidden = format!("v=1, {secret}");
    let passed = received(&house, &agent, &[("x-tenant", "blue")]).await;
    assert_eq!(passed.header("x-tenant"), Some("blue"));
    assert_eq!(passed.header("idempotency-key"), None, "a list of one's own replaces the default");
    let held = received(&house, &agent, &[("x-tenant", &secret), ("openai-beta", &hidden)]).await;
    assert!(!format!("{:?}", held.headers).contains("sk-orq-"), "{held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstreams_credential_is_sent_from_the_environment_or_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("credential");
    std::fs::write(&file, "sk-from-file\n").unwrap();
    let from_file =
        House::with(|settings| settings.toml(&format!("api_key_file = {:?}", file.to_str().unwrap()))).await;
    let from_environment = House::with(|settings| {
        settings.toml("api_key_env = \"SCRIPTED_KEY\"").variable("SCRIPTED_KEY", "sk-from-environment")
    })
    .await;
    let none = House::new().await;
    for (house, expected) in [
        (from_file, Some("Bearer sk-from-file")),
        (from_environment, Some("Bearer sk-from-environment")),
        (none, None),
    ] {
        house.agent().await.posts(ASKING).await.success();
        assert_eq!(house.upstream.last().header("authorization"), expected);
    }
}

/// What a provider, or whoever plays one, may answer.
const ANSWERED: &[(&str, &str)] = &[
    ("content-type", "application/json"),
    ("set-cookie", "session=theirs"),
    ("server", "theirs"),
    ("via", "1.1 theirs"),
    ("alt-svc", "h3=\":443\""),
    ("strict-transport-security", "max-age=1"),
    ("access-control-allow-origin", "*"),
    ("connection", "keep-alive, x-hop"),
    ("x-hop", "theirs"),
    ("keep-alive", "timeout=5"),
    ("proxy-authenticate", "Basic"),
    ("trailer", "x-after"),
    ("x-orqen-tools-input", "99"),
    ("x-orqen-tools-would-deny", "99"),
    ("x-upstream-request-id", "forged"),
    ("grpc-status", "13"),
    ("grpc-message", "theirs"),
    ("grpc-encoding", "gzip"),
    ("grpc-status-details-bin", "AAAA"),
    ("x-trace-bin", "no base64!"),
    ("x-request-id", "req_theirs"),
    ("x-ratelimit-remaining-requests", "7"),
    ("openai-processing-ms", "12"),
    ("openai-version", "2020-10-01"),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_the_providers_own_connection_does_not_come_back() {
    let house = House::new().await;
    let agent = house.agent().await;
    let mut ids = BTreeSet::new();
    for door in DOORS {
        house.upstream.will(Reply::status("200 OK", ANSWERED, "{}"));
        let outcome = agent.enters(door, ASKING).await;
        for gone in [
            "set-cookie",
            "server",
            "via",
            "alt-svc",
            "strict-transport-security",
            "access-control-allow-origin",
            "x-hop",
            "keep-alive",
            "proxy-authenticate",
            "trailer",
            "x-orqen-tools-would-deny",
            "grpc-message",
            "grpc-encoding",
            "grpc-status-details-bin",
        ] {
            assert_eq!(outcome.header(gone), None, "{gone}, {door:?}");
        }
        assert_eq!(outcome.header("x-trace-bin").is_some(), door == Door::Rest);
        assert_eq!(outcome.header("x-orqen-tools-input"), Some("0"));
        assert_eq!(outcome.header("x-upstream-request-id"), Some("req_theirs"));
        assert_eq!(outcome.header("x-upstream-ratelimit-remaining-requests"), Some("7"));
        assert_eq!(outcome.header("x-ratelimit-remaining-requests"), None);
        assert_eq!(outcome.header("openai-processing-ms"), Some("12"));
        assert_eq!(outcome.header("openai-version"), Some("2020-10-01"));
        let id = outcome.header("x-request-id").unwrap();
        assert!(id != "req_theirs" && id != "agents-own", "{id}");
        ids.insert(id.to_owned());
    }
    ids.insert(agent.posts(ASKING).await.header("x-request-id").to_owned());
    ids.insert(agent.posts("{").await.header("x-request-id").to_owned());
    assert_eq!(ids.len(), 4, "each answer has an id of its own: {ids:?}");
}
