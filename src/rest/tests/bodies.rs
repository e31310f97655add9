//! The body before its fields: who may send one, of which type, how large and how slow.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use tonic::Status;

use super::{Answer, Options, Rest, options};
use crate::proto::{POOL, v1};

/// A body of which nothing may be read.
struct Untouchable;

impl Body for Untouchable {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        panic!("the body was read")
    }
}

/// Sends its frames, then an error, or nothing at all for ever.
struct Trickle(Vec<&'static str>, Option<std::io::Error>);

impl Body for Trickle {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        if !self.0.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(self.0.remove(0))))));
        }
        self.1.take().map_or(Poll::Pending, |error| Poll::Ready(Some(Err(error))))
    }
}

async fn with_headers(rest: &Rest, uri: &str, headers: &[(&str, &str)], body: &'static str) -> Answer {
    let mut request = Request::post(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    rest.send(request.body(body).unwrap()).await
}

#[tokio::test]
async fn permission_comes_before_the_body() {
    let rest = Rest::orqen();
    *rest.backend.denies.lock().unwrap() = Some(Status::unauthenticated("who are you?"));
    for uri in ["/v1/keys", "/v1/chat/completions"] {
        let request =
            Request::post(uri).header("content-type", "text/plain").header("content-length", "99999999");
        let answer = rest.handle(request.body(Untouchable).unwrap()).await;
        assert_eq!(answer.status(), 401);
    }
    assert_eq!(rest.path_called(), None);
}

#[tokio::test]
async fn bodies_that_no_rule_takes_are_not_read() {
    let rest = Rest::orqen();
    for (verb, uri) in [("GET", "/v1/keys"), ("DELETE", "/v1/keys/a"), ("HEAD", "/v1/models")] {
        let request = Request::builder().method(verb).uri(uri).header("content-type", "text/plain");
        assert_eq!(rest.handle(request.body(Untouchable).unwrap()).await.status(), 200);
    }
}

#[tokio::test]
async fn content_type_must_be_json_in_utf8() {
    let rest = Rest::orqen();
    for good in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json; profile=x; charset=utf8",
        "application/merge-patch+json",
    ] {
        let answer = with_headers(&rest, "/v1/keys", &[("content-type", good)], r#"{"name":"a"}"#).await;
        assert_eq!(answer.status, 200, "{good}");
    }
    assert_eq!(with_headers(&rest, "/v1/keys", &[], r#"{"name":"a"}"#).await.status, 200);
    for bad in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json; charset=latin1",
        "json",
        "",
        "application/+json",
        "text/json",
        "application/grpc",
        "application/json, text/plain",
    ] {
        for uri in ["/v1/keys", "/v1/chat/completions"] {
            let answer = with_headers(&rest, uri, &[("content-type", bad)], "{}").await;
            assert_eq!(answer.status, 415, "{bad}");
            assert!(answer.text.contains(&format!("`{bad}`")), "{}", answer.text);
            assert!(answer.text.contains("-H 'Content-Type: application/json'"), "{}", answer.text);
        }
    }
    let two = [("content-type", "application/json"), ("content-type", "text/plain")];
    assert_eq!(with_headers(&rest, "/v1/keys", &two, "{}").await.status, 415);
}

#[tokio::test]
async fn compressed_bodies_are_refused() {
    let rest = Rest::orqen();
    for (coding, status) in
        [("identity", 200), ("Identity", 200), ("gzip", 415), ("identity, br", 415), ("zstd", 415)]
    {
        let answer = with_headers(&rest, "/v1/keys", &[("content-encoding", coding)], "{}").await;
        assert_eq!(answer.status, status, "{coding}: {}", answer.text);
    }
}

#[tokio::test]
async fn size_is_bounded_by_declaration_and_by_count() {
    let small = Options { account_body: 20, chat_body: 30, ..options("orqen.v1") };
    let rest = Rest::over(&POOL, small);
    let request = Request::post("/v1/keys").header("content-length", "21").body(Untouchable).unwrap();
    assert_eq!(rest.handle(request).await.status(), 413);
    // The length of what comes counts, whatever was declared.
    for (frames, status) in [
        (vec![r#"{"name""#, r#":"abc""#, "}      "], 200),
        (vec![r#"{"name""#, r#":"abc""#, "}       "], 413),
        (vec![r#"{"name":"abcdefghijklmnopqrstuvw"}"#], 413),
    ] {
        let request = Request::post("/v1/keys").header("content-length", "3");
        let end = http_body_util::StreamBody::new(futures_util::stream::iter(
            frames.into_iter().map(|text| Ok::<_, std::io::Error>(Frame::data(Bytes::from(text)))),
        ));
        assert_eq!(rest.handle(request.body(end).unwrap()).await.status(), status);
    }
    assert_eq!(rest.called::<v1::CreateKeyRequest>().name, "abc");
    let answer = with_headers(&rest, "/v1/chat/completions", &[], "123456789012345678901234567890").await;
    assert_eq!(answer.status, 200);
    let answer = with_headers(&rest, "/v1/chat/completions", &[], "1234567890123456789012345678901").await;
    assert_eq!((answer.status, answer.text.contains("30 bytes")), (413, true));
}

#[tokio::test]
async fn slow_and_broken_bodies_end() {
    let rest = Rest::over(&POOL, Options { body_timeout: Duration::from_millis(20), ..options("orqen.v1") });
    let slow = Request::post("/v1/keys").body(Trickle(vec!["{"], None)).unwrap();
    assert_eq!(rest.handle(slow).await.status(), 408);
    let error = std::io::Error::other("connection reset");
    let broken = Request::post("/v1/keys").body(Trickle(vec!["{", "}"], Some(error))).unwrap();
    assert_eq!(rest.handle(broken).await.status(), 400);
    assert_eq!(rest.path_called(), None);
}

#[tokio::test]
async fn raw_bodies_are_handed_on_as_they_came() {
    let rest = Rest::orqen();
    for body in [" {\"a\" : 1e400, \"a\":\"\\ud800\"}\n", "not json", "", "\u{0}"] {
        let answer = rest.json("POST", "/v1/chat/completions?whatever=%zz", body).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, body));
        assert_eq!(rest.backend.calls.lock().unwrap().last().unwrap().1, body);
    }
}

#[tokio::test]
async fn a_field_that_carries_bytes_gets_the_body_as_it_is() {
    let rest = Rest::orqen();
    for body in ["{\"a\": 1.0 , \"a\":2}\n", "", "no JSON"] {
        let answer = rest.json("POST", "/v1/chat/completions/explain", body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let called = rest.called::<v1::ExplainToolSelectionRequest>();
        let carried = called.request.unwrap();
        assert_eq!((&carried.data[..], carried.content_type.as_str()), (body.as_bytes(), "application/json"));
        assert_eq!(called.prune, None);
    }
    assert_eq!(rest.json("POST", "/v1/chat/completions/explain?request=x", "{}").await.status, 400);
}
