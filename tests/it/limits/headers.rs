//! The figures of the limit of requests are on every answer of chat, whatever it is.

use super::*;
use crate::{
    chat::{House, typed::asking},
    support::upstream::Reply,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_success_says_what_is_left() {
    let (house, clock) = standing(&[(REQUESTS, "60")]).await;
    let agent = house.agent().await;
    for (taken, way) in WAYS.into_iter().enumerate() {
        let headers = agent.asks(way).await.unwrap();
        let (left, reset) = ((59 - taken).to_string(), format!("{}s", taken + 1));
        assert_eq!(figures(&headers), ["60", &left, &reset], "{way:?}");
    }
    clock.advance(chrono::TimeDelta::milliseconds(4_500));
    assert_eq!(figures(&agent.asks(Way::Rest).await.unwrap()), ["60", "57", "2.500s"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_of_chat_says_it_too() {
    let (house, _clock) = standing(&[(REQUESTS, "60")]).await;
    let agent = house.denied(&["gone"]).await;
    let forced = r#"{"model":"gpt-4o","tools":[{"name":"gone"}],"tool_choice":"required"}"#;
    let plain = r#"{"model":"gpt-4o","messages":[]}"#;
    let mut left = 60;
    for (body, reply, status, code) in [
        ("{", None, 400, "invalid_request_error"),
        (forced, None, 403, "tool_not_allowed"),
        (r#"{"model":"llama"}"#, None, 404, "model_not_found"),
        (plain, Some(""), 502, "upstream_unreachable"),
        (plain, Some("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n"), 502, "upstream_credential_rejected"),
    ] {
        reply.into_iter().for_each(|reply| house.upstream.will(Reply::raw(reply)));
        let answer = agent.posts(body).await;
        answer.refused(status, code);
        left -= 1;
        assert_eq!(figures(&answer.headers)[..2], ["60".to_owned(), left.to_string()], "{code}");
        reply.into_iter().for_each(|reply| house.upstream.will(Reply::raw(reply)));
        let error = refused(agent.calls_raw(body).await.unwrap_err());
        assert_eq!(error.told.code, code);
        left -= 1;
        assert_eq!(figures(&error.headers)[..2], ["60".to_owned(), left.to_string()], "{code} by gRPC");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_answered_badly_says_it_too() {
    let (house, _clock) = standing(&[(REQUESTS, "60")]).await;
    let agent = house.agent().await;
    let plain = r#"{"model":"gpt-4o","messages":[]}"#;
    let bad = || house.upstream.will(Reply::status("500 Internal Server Error", &[], "{}"));
    bad();
    assert_eq!(figures(&agent.posts(plain).await.headers)[1], "59");
    bad();
    assert_eq!(figures(&refused(agent.calls_raw(plain).await.unwrap_err()).headers)[1], "58");
    bad();
    let status = agent.grpc().chat().create_chat_completion(asking(vec![])).await.unwrap_err();
    assert_eq!(figures(&refused(status).headers)[1], "57");

    house.upstream.will(Reply::json("[]"));
    let status = agent.grpc().chat().create_chat_completion(asking(vec![])).await.unwrap_err();
    assert_eq!(figures(&refused(status).headers)[1], "56", "an answer that is no completion");
    house.upstream.will(Reply::raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"));
    let status = agent.grpc().chat().create_chat_completion(asking(vec![])).await.unwrap_err();
    assert_eq!(figures(&refused(status).headers)[1], "55", "an answer that breaks off");
    house.upstream.will(Reply::json("{}"));
    let request = v1::StreamChatCompletionRequest { model: "gpt-4o".into(), ..Default::default() };
    let status = agent.grpc().chat().stream_chat_completion(request).await.unwrap_err();
    assert_eq!(figures(&refused(status).headers)[1], "54", "no stream where one was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_for_another_limit_says_it_too() {
    let (house, _clock) = standing(&[(REQUESTS, "60"), (CONCURRENT, "1")]).await;
    let agent = house.agent().await;
    let stream = house.upstream.will_stream();
    let running = agent.opens(r#"{"model":"gpt-4o","stream":true,"messages":[]}"#).await;
    assert_eq!(figures(running.headers()), ["60", "59", "1s"]);
    for way in WAYS {
        let refused = agent.is_refused(way, "concurrency_limit_exceeded").await;
        assert_eq!(figures(&refused.headers), ["60", "59", "1s"], "{way:?}");
    }
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_there_is_nothing_to_say() {
    let house = House::new().await;
    let agent = house.agent().await;
    for way in WAYS {
        assert_eq!(figures(&agent.asks(way).await.unwrap()), [""; 3], "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_routes_do_not_say_it() {
    let (house, _clock) = standing(&[(REQUESTS, "60")]).await;
    let agent = house.agent().await;
    assert_eq!(figures(&agent.list_keys("").await.headers), [""; 3]);
}
