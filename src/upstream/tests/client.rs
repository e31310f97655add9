//! What goes to a provider and what comes back when all is well, retries included.

use std::task::{Context, Waker};

use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;

use super::{
    super::UpstreamError,
    BODY, client, prepared,
    provider::{Provider, Reply, STREAM, answer, json},
    upstream,
};

fn headers(entries: &[(&'static str, &str)]) -> HeaderMap {
    entries.iter().map(|&(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

/// Whether it is ready without being waited for.
fn at_once(future: impl Future) -> bool {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[tokio::test]
async fn the_provider_receives_the_prepared_bytes_and_only_allowed_headers() {
    let provider = Provider::start([json("{}")]).await;
    let agent = headers(&[
        ("authorization", "Bearer sk-orq-agent"),
        ("cookie", "session=1"),
        ("connection", "x-hop, Tracestate"),
        ("x-hop", "1"),
        ("tracestate", "vendor=1"),
        ("x-orqen-session-id", "s"),
        ("accept-encoding", "gzip"),
        ("user-agent", "agent/1"),
        ("host", "orqen.example"),
        ("openai-beta", "assistants=v2"),
        ("idempotency-key", "sk-orq-0123"),
        ("traceparent", "00-a-b-01"),
    ]);
    let upstream = upstream(&provider, |_| ());
    client().send(&upstream, &prepared(BODY), &agent).await.unwrap();

    let received = &provider.received()[0];
    assert_eq!(received.line, "POST /v1/chat/completions HTTP/1.1");
    assert_eq!(received.body, BODY);
    let mut names: Vec<&str> = received.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "accept",
        "accept-encoding",
        "authorization",
        "content-length",
        "content-type",
        "host",
        "openai-beta",
        "traceparent",
        "user-agent",
    ];
    assert_eq!(names, expected);
    assert_eq!(received.header("authorization"), Some("Bearer sk-provider-0123456789"));
    assert_eq!(received.header("accept-encoding"), Some("identity"));
    assert_eq!(received.header("accept"), Some("application/json"));
    assert_eq!(received.header("user-agent"), Some(concat!("orqen/", env!("CARGO_PKG_VERSION"))));
    assert_ne!(received.header("host"), Some("orqen.example"));
}

#[tokio::test]
async fn the_forwarded_headers_are_the_configured_ones() {
    let provider = Provider::start([json("{}")]).await;
    let upstream = upstream(&provider, |settings| {
        settings.forward_headers = Some(vec!["x-tenant".into()]);
        settings.api_key_env = None;
    });
    let agent = headers(&[("x-tenant", "blue"), ("openai-beta", "x")]);
    client().send(&upstream, &prepared(BODY), &agent).await.unwrap();
    let received = &provider.received()[0];
    assert_eq!(received.header("x-tenant"), Some("blue"));
    assert_eq!(received.header("openai-beta"), None);
    assert_eq!(received.header("authorization"), None);
}

#[tokio::test]
async fn an_answer_comes_back_with_its_bytes_and_clean_headers() {
    let head = "content-type: application/json\r\nx-request-id: r1\r\nset-cookie: a=b\r\nserver: x\r\n";
    let provider = Provider::start([answer("200 OK", head, "{ \"a\":1.0}")]).await;
    let upstream = upstream(&provider, |_| ());
    let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
    assert_eq!(response.status, StatusCode::OK);
    assert!(!response.is_event_stream());
    assert_eq!(response.headers["x-upstream-request-id"], "r1");
    assert_eq!(response.headers["content-length"], "10");
    assert_eq!(response.headers.len(), 3, "{:?}", response.headers);
    assert_eq!(response.body.collect().await.unwrap().to_bytes(), "{ \"a\":1.0}");
}

#[tokio::test]
async fn errors_of_the_provider_pass_through() {
    for status in
        ["400 Bad Request", "404 Not Found", "422 Unprocessable", "429 Slow", "500 Oops", "503 Away"]
    {
        let provider = Provider::start([answer(status, "retry-after: 60\r\n", "{\"error\":1}")]).await;
        let upstream = upstream(&provider, |_| ());
        let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
        assert_eq!(response.status.as_str(), &status[..3]);
        assert_eq!(response.headers["retry-after"], "60");
        assert_eq!(response.body.collect().await.unwrap().to_bytes(), "{\"error\":1}");
        assert_eq!(provider.received().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_short_wait_that_the_provider_asks_for_is_waited_once() {
    for asked in ["429 Slow", "503 Away"] {
        for value in ["0", "Thu, 06 Nov 2025 08:49:37 GMT"] {
            let refusal = || answer(asked, &format!("retry-after: {value}\r\n"), "no");
            let provider = Provider::start([refusal(), json("{}")]).await;
            let upstream = upstream(&provider, |_| ());
            let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
            assert_eq!(response.status, StatusCode::OK);
            assert_eq!(provider.received()[1].body, BODY);

            let provider = Provider::start([refusal(), refusal(), json("{}")]).await;
            let upstream = super::upstream(&provider, |_| ());
            let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
            assert_eq!(response.status.as_str(), &asked[..3]);
            assert_eq!(provider.received().len(), 2);
        }
    }
}

#[tokio::test]
async fn nothing_else_is_sent_twice() {
    for (status, headers) in [
        ("429 Slow", ""),
        ("429 Slow", "retry-after: 3\r\n"),
        ("429 Slow", "retry-after: Thu, 06 Nov 2025 08:49:40 GMT\r\n"),
        ("500 Oops", "retry-after: 0\r\n"),
        ("502 Bad", "retry-after: 0\r\n"),
    ] {
        let provider = Provider::start([answer(status, headers, ""), json("{}")]).await;
        let upstream = upstream(&provider, |_| ());
        let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
        assert_eq!(response.status.as_str(), &status[..3]);
        assert_eq!(provider.received().len(), 1, "{status} {headers}");
    }
}

#[tokio::test]
async fn a_connection_that_broke_after_the_request_is_not_retried() {
    let provider = Provider::start([Reply::HangUp(String::new()), json("{}")]).await;
    let upstream = upstream(&provider, |_| ());
    let error = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap_err();
    assert!(
        matches!(&error, UpstreamError::Unreachable { message } if message.contains("`openai`")),
        "{error}"
    );
    assert_eq!(provider.received().len(), 1);
}

#[tokio::test]
async fn a_pooled_connection_that_the_provider_has_closed_is_not_used() {
    let keep_then_close = |body: &str| match json(body) {
        Reply::Answer(text) => Reply::HangUp(text),
        other => other,
    };
    let provider = Provider::start([keep_then_close("1"), keep_then_close("2"), json("3")]).await;
    let upstream = upstream(&provider, |_| ());
    for expected in ["1", "2", "3"] {
        let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
        assert_eq!(response.body.collect().await.unwrap().to_bytes(), expected);
        // The close must have arrived: what is on a connection that closes under the request is not sent again.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(provider.received().len(), 3);
}

#[tokio::test]
async fn connections_are_used_again() {
    let provider = Provider::start([json("1"), json("2"), json("3")]).await;
    let upstream = upstream(&provider, |_| ());
    for _ in 0..3 {
        let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
        response.body.collect().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!((provider.received().len(), provider.connections()), (3, 1));
}

/// Pieces that lie in the socket already come out without a turn of the scheduler between them.
#[tokio::test]
async fn a_request_drives_its_own_connection() {
    let provider = Provider::start([json("1"), Reply::Hold(STREAM.into())]).await;
    let upstream = upstream(&provider, |_| ());
    let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
    assert!(at_once(response.body.collect()), "the body came with the head");
    let mut response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
    assert!(at_once(response.body.frame()), "so did the first event");
    assert!(!at_once(response.body.frame()), "nothing more came");
    assert_eq!(provider.connections(), 1);
}

#[tokio::test]
async fn an_answer_that_says_close_leaves_no_connection() {
    let closing = || answer("200 OK", "connection: close\r\n", "1");
    let provider = Provider::start([closing(), closing()]).await;
    let upstream = upstream(&provider, |_| ());
    for _ in 0..2 {
        let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
        assert_eq!(response.body.collect().await.unwrap().to_bytes(), "1");
    }
    assert_eq!(provider.connections(), 2);
}

/// What a provider says unasked must not be taken for the answer to somebody else's request.
#[tokio::test]
async fn an_answer_too_many_ends_the_connection() {
    let (Reply::Answer(one), Reply::Answer(other)) = (json("1"), json("somebody's")) else {
        panic!("answers")
    };
    let provider = Provider::start([Reply::Answer(one + &other), json("2")]).await;
    let upstream = upstream(&provider, |_| ());
    for expected in ["1", "2"] {
        let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
        assert_eq!(response.body.collect().await.unwrap().to_bytes(), expected);
    }
    assert_eq!(provider.connections(), 2);
}

#[tokio::test]
async fn the_first_event_comes_while_the_stream_is_open_and_dropping_the_body_hangs_up() {
    let provider = Provider::start([Reply::Hold(STREAM.into())]).await;
    let upstream = upstream(&provider, |_| ());
    let mut response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
    assert!(response.is_event_stream());
    let frame = response.body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data: 1\n\n");
    drop(response);
    provider.client_hung_up().await;
}

#[tokio::test]
async fn dropping_the_call_before_the_answer_hangs_up() {
    let provider = Provider::start([Reply::Hold(String::new())]).await;
    let upstream = upstream(&provider, |_| ());
    {
        let (client, request, headers) = (client(), prepared(BODY), HeaderMap::new());
        let call = client.send(&upstream, &request, &headers);
        let soon = tokio::time::timeout(std::time::Duration::from_millis(100), call).await;
        assert!(soon.is_err());
    }
    provider.client_hung_up().await;
    assert_eq!(provider.received().len(), 1);
}
