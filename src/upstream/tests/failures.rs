//! Deadlines, refusals and broken providers.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use http_body_util::BodyExt;
use tokio::net::TcpListener;

use super::{
    super::{Upstream, UpstreamError, settings as reading, transport},
    BODY, client, environment, prepared,
    provider::{Provider, Reply, STREAM, answer},
    settings, upstream,
};

async fn failure(upstream: &Upstream) -> UpstreamError {
    client().send(upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap_err()
}

/// An `https` upstream that trusts nobody: the handshake never succeeds.
fn distrustful(base_url: &str) -> Upstream {
    let mut settings = settings("openai", &base_url.replace("http://", "https://"));
    settings.connect_timeout = Duration::from_millis(50);
    reading::upstream(&settings, &environment, &transport::tls(false).unwrap()).unwrap()
}

#[tokio::test]
async fn a_refused_connection_says_so_and_names_the_upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let upstream = Arc::clone(&super::catalog(&[settings("local", &base_url)]).upstreams[0]);
    let error = failure(&upstream).await;
    assert!(matches!(error, UpstreamError::Unreachable { .. }));
    let text = error.to_string();
    assert!(text.contains("`local`") && text.contains("refused"), "{text}");
}

#[tokio::test]
async fn connecting_is_tried_twice() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = distrustful(&format!("http://{}", listener.local_addr().unwrap()));
    let accepting = async {
        for _ in 0..2 {
            drop(listener.accept().await.unwrap());
        }
        listener.accept().await
    };
    tokio::select! {
        error = failure(&upstream) => assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error}"),
        _ = accepting => panic!("a third connection"),
    }
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_a_connect_timeout() {
    let provider = Provider::start([]).await;
    let error = failure(&distrustful(&provider.base_url())).await;
    assert!(matches!(&error, UpstreamError::Timeout { what } if what.contains("connect_timeout")), "{error}");
    assert_eq!(provider.connections(), 2);
}

#[tokio::test]
async fn no_status_line_in_time_is_a_timeout_and_ends_the_call() {
    let provider = Provider::start([Reply::Hold(String::new())]).await;
    let upstream = upstream(&provider, |settings| settings.first_byte_timeout = Duration::from_millis(50));
    let error = failure(&upstream).await;
    assert!(
        matches!(&error, UpstreamError::Timeout { what } if what.contains("first_byte_timeout")),
        "{error}"
    );
    provider.client_hung_up().await;
    assert_eq!(provider.received().len(), 1);
}

#[tokio::test]
async fn a_request_on_a_connection_that_waited_has_all_of_its_time() {
    let provider = Provider::start([answer("200 OK", "", "{}"), Reply::Hold(String::new())]).await;
    let time = Duration::from_millis(300);
    let upstream = upstream(&provider, |settings| settings.first_byte_timeout = time);
    let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
    response.body.collect().await.unwrap();
    tokio::time::sleep(time * 2 / 3).await;
    let began = tokio::time::Instant::now();
    let error = failure(&upstream).await;
    assert!(matches!(error, UpstreamError::Timeout { .. }), "{error}");
    assert!(began.elapsed() >= time, "{:?}: less than it was given", began.elapsed());
    assert_eq!(provider.connections(), 1);
}

#[tokio::test]
async fn silence_in_an_answer_ends_it_with_a_timeout() {
    let provider = Provider::start([Reply::Hold(STREAM.into())]).await;
    let upstream = upstream(&provider, |settings| settings.idle_timeout = Duration::from_millis(50));
    let mut response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
    response.body.frame().await.unwrap().unwrap();
    let error = response.body.frame().await.unwrap().unwrap_err();
    assert!(matches!(&error, UpstreamError::Timeout { what } if what.contains("idle_timeout")), "{error}");
    assert!(response.body.frame().await.is_none());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error_and_not_an_end() {
    let provider = Provider::start([Reply::HangUp(STREAM.into())]).await;
    let upstream = upstream(&provider, |_| ());
    let response = client().send(&upstream, &prepared(BODY), &HeaderMap::new()).await.unwrap();
    let error = response.body.collect().await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_refused_credential_is_ours_to_answer_for() {
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let body = "Incorrect API key provided: sk-provider-0123456789. ".repeat(1_000);
        let provider = Provider::start([answer(status, "", &body)]).await;
        let error = failure(&upstream(&provider, |_| ())).await;
        let expected = UpstreamError::CredentialRejected {
            upstream: "openai".into(),
            status: status[..3].parse().unwrap(),
        };
        assert_eq!(error, expected);
        assert!(!format!("{error} {error:?}").contains("0123456789"));
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_says_what_to_configure() {
    let location = "location: https://user:pw@eu.example.com/v1/chat/completions?sig=1\r\n";
    let provider = Provider::start([answer("308 Permanent Redirect", location, "")]).await;
    let text = failure(&upstream(&provider, |_| ())).await.to_string();
    assert!(text.contains("redirects (status 308)") && text.contains("`base_url`"), "{text}");
    assert!(!text.contains("eu.example") && !text.contains("pw") && !text.contains("sig"), "{text}");
}

#[tokio::test]
async fn what_is_no_http_is_unreachable() {
    let provider = Provider::start([Reply::HangUp("SSH-2.0-OpenSSH\r\n\r\n".into())]).await;
    let error = failure(&upstream(&provider, |_| ())).await;
    assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn no_credential_is_in_any_debug_text() {
    let provider = Provider::start([]).await;
    let upstream = upstream(&provider, |_| ());
    let text = format!("{upstream:?} {:#?} {:?}", upstream, super::catalog(&[]));
    assert!(text.contains("openai") && !text.contains("0123456789"), "{text}");
}
