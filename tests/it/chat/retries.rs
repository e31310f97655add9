//! Asked again only before the first byte, and only when nothing can have been billed.
//!
//! That connecting is tried twice is proven in `src/upstream`, against a provider whose handshake fails.

use std::time::{Duration, Instant};

use crate::{chat::House, support::upstream::Reply};

const ASKING: &str = r#"{"model":"gpt-4o","messages":[]}"#;

fn busy(status: &str, after: Option<&str>) -> Reply {
    let headers: Vec<_> = after.map(|after| ("retry-after", after)).into_iter().collect();
    Reply::status(status, &headers, r#"{"error":"busy"}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_wait_that_the_provider_asks_for_is_waited_once() {
    let house = House::new().await;
    let agent = house.agent().await;
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let before = house.upstream.received().len();
        house.upstream.will(busy(status, Some("1")));
        house.upstream.will(Reply::json(r#"{"ok":true}"#));
        let began = Instant::now();
        assert_eq!(agent.posts(ASKING).await.body, r#"{"ok":true}"#);
        assert!(began.elapsed() >= Duration::from_secs(1));
        let received = house.upstream.received();
        assert_eq!(received.len(), before + 2);
        assert_eq!(received[before].body, received[before + 1].body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_stays_busy_is_believed_the_second_time() {
    let house = House::new().await;
    let agent = house.agent().await;
    house.upstream.will(busy("429 Too Many Requests", Some("0")));
    house.upstream.will(busy("429 Too Many Requests", Some("0")));
    let answer = agent.posts(ASKING).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "0"));
    assert_eq!(answer.body, r#"{"error":"busy"}"#);
    assert_eq!(house.upstream.received().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_asked_once() {
    let house = House::new().await;
    let agent = house.agent().await;
    for (status, after) in [
        ("429 Too Many Requests", None),
        ("429 Too Many Requests", Some("3")),
        ("429 Too Many Requests", Some("soon")),
        ("503 Service Unavailable", None),
        ("503 Service Unavailable", Some("60")),
        ("500 Internal Server Error", Some("0")),
        ("502 Bad Gateway", Some("0")),
        ("504 Gateway Timeout", Some("0")),
        ("400 Bad Request", Some("0")),
    ] {
        let before = house.upstream.received().len();
        house.upstream.will(busy(status, after));
        assert_eq!(agent.posts(ASKING).await.status.as_str(), &status[..3]);
        assert_eq!(house.upstream.received().len(), before + 1, "{status}, {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_broke_with_the_request_on_it_is_not_tried_again() {
    let house = House::new().await;
    let agent = house.agent().await;
    for broken in ["", "HTTP/1.1 200 OK\r\ncontent-", "SSH-2.0-OpenSSH_9.6\r\n\r\n"] {
        let before = house.upstream.received().len();
        house.upstream.will(Reply::raw(broken));
        agent.posts(ASKING).await.refused(502, "upstream_unreachable");
        assert_eq!(house.upstream.received().len(), before + 1, "{broken:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_not_followed_and_says_what_to_set() {
    let house = House::new().await;
    let agent = house.agent().await;
    let elsewhere = crate::support::upstream::ScriptedUpstream::start().await;
    let location = format!("{}/chat/completions?token=secret", elsewhere.base_url());
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        house.upstream.will(Reply::status(status, &[("location", &location)], ""));
        let error = agent.posts(ASKING).await.refused(502, "upstream_unreachable");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("redirects") && message.contains("base_url"), "{message}");
        // Where to stands in the log: agents need not know a provider's addresses.
        assert!(!message.contains(&elsewhere.base_url()) && !message.contains("secret"), "{message}");
    }
    assert_eq!(elsewhere.connections(), 0);
    assert_eq!(house.upstream.received().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_used_again() {
    let house = House::new().await;
    let agent = house.agent().await;
    for _ in 0..20 {
        agent.posts(ASKING).await.success();
    }
    // An agent may be quicker than the pool, which gets a connection back after the answer's last byte.
    assert!(house.upstream.connections() <= 5, "{}", house.upstream.connections());
}
