//! What the process takes of everybody together: beyond it requests are refused at once, and one key leaves room for
//! the others.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, header};
use http_body_util::{BodyExt, Full};
use serde_json::json;

use super::*;
use crate::chat::House;

const STREAMING: &str = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;

/// A house that takes so many requests at once.
async fn house(requests: usize) -> House {
    House::with(|settings| settings.variable("ORQEN_LIMITS__CONCURRENT_REQUESTS", &requests.to_string()))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_too_many_of_all_is_shed_at_every_door_and_probes_are_not() {
    let house = house(1).await;
    let (agent, other) = (house.agent().await, house.agent().await);
    let stream = house.upstream.will_stream();
    let mut answer = agent.opens(STREAMING).await;
    stream.send("data: 1\n\n");
    answer.frame().await.unwrap().unwrap();
    for way in WAYS {
        let refused = other.is_refused(way, "overloaded").await;
        assert_eq!(refused.retry_after, Some(Duration::from_secs(1)), "{way:?}");
    }
    assert_eq!(other.rest().get("/v1/account/me").await.status, 503);
    for probe in ["/healthz", "/readyz"] {
        assert_eq!(other.rest().get(probe).await.status, 200, "{probe}");
    }
    let metrics = String::from_utf8(other.rest().get("/metrics").await.body.to_vec()).unwrap();
    assert!(metrics.contains("\norqen_requests_under_way 1"), "{metrics}");
    let shed = WAYS.len() + 1;
    assert!(metrics.contains(&format!("orqen_refusals_total{{limit=\"load\"}} {shed}")), "{metrics}");
    stream.send("data: [DONE]\n\n");
    stream.end();
    answer.into_body().collect().await.unwrap();
    other.asks(Way::Rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_crowd_a_key_that_has_its_share_is_refused_and_another_is_not() {
    let house = house(16).await;
    let (greedy, other) = (house.agent().await, house.agent().await);
    let mut open = Vec::new();
    for _ in 0..8 {
        let stream = house.upstream.will_stream();
        let mut answer = greedy.opens(STREAMING).await;
        stream.send("data: 1\n\n");
        answer.frame().await.unwrap().unwrap();
        open.push((stream, answer));
    }
    let refused = greedy.is_refused(Way::Rest, "overloaded").await;
    assert!(refused.told.message.contains("an eighth"), "{refused:?}");
    other.asks(Way::Rest).await.unwrap();
    for (stream, answer) in open {
        stream.send("data: [DONE]\n\n");
        stream.end();
        answer.into_body().collect().await.unwrap();
    }
    greedy.asks(Way::Rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_have_room_together_until_they_are_sent_on() {
    let house = House::with(|settings| {
        settings.variable("ORQEN_LIMITS__CHAT_BODY", "65536").variable("ORQEN_LIMITS__BODY_MEMORY", "65536")
    })
    .await;
    let agent = house.agent().await;
    let text = "x".repeat(40_000);
    let body =
        Bytes::from(json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}).to_string());
    // Held by a provider that does not answer: it is sent on, but nobody knows yet whether it will be wanted again.
    house.upstream.will(crate::support::upstream::Reply::silence());
    let held = agent.over_http1();
    let sending = async {
        let request = held.rest().request(Method::POST, "/v1/chat/completions");
        let request =
            request.map(|()| Full::new(body.clone()).map_err(|never| match never {}).boxed_unsync());
        held.rest().open(request).await
    };
    let crowded = async {
        house.upstream.request(0).await;
        let refused = agent.rest().send(Method::POST, "/v1/chat/completions", body.clone()).await;
        refused.refused(503, "overloaded");
        assert_eq!(refused.header(header::RETRY_AFTER.as_str()), "1");
    };
    tokio::select! {
        _ = sending => panic!("the provider said nothing"),
        () = crowded => {}
    }
    drop(held);
    for _ in 0..100 {
        let answer = agent.rest().send(Method::POST, "/v1/chat/completions", body.clone()).await;
        if answer.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the room did not come back");
}
