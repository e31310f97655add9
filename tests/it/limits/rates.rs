//! Requests a minute: what passes, what is refused, through which door, and what the refusal says.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn over_the_rate_every_door_says_whose_limit_it_was_and_when_to_come_back() {
    let (house, _clock) = standing(&[(REQUESTS, "2")]).await;
    for way in WAYS {
        let (agent, issued) = house.operator.equip(json!({"name": "agent"})).await;
        let id = issued["id"].as_str().unwrap();
        for _ in 0..2 {
            agent.asks(way).await.unwrap();
        }
        let refused = agent.is_refused(way, "rate_limit_exceeded").await;
        let said = format!("the key {id} may send 2 requests a minute");
        assert!(refused.told.message.starts_with(&said), "{way:?}: {refused:?}");
        assert!(refused.told.message.contains("try again in 30 s"), "{way:?}: {refused:?}");
        assert_eq!(refused.retry_after, Some(Duration::from_secs(30)), "{way:?}");
        assert_eq!(figures(&refused.headers), ["2", "0", "1m0s"], "{way:?}");
        if !matches!(way, Way::Rest | Way::RestStream) {
            assert_eq!(refused.quota, Some((format!("the key {id}"), said)), "{way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_takes_from_the_same_bucket() {
    let (house, _clock) = standing(&[(REQUESTS, "6")]).await;
    let agent = house.agent().await;
    for (taken, way) in WAYS.into_iter().enumerate() {
        let headers = agent.asks(way).await.unwrap();
        assert_eq!(figures(&headers)[1], (5 - taken).to_string(), "{way:?}");
    }
    for way in WAYS {
        agent.is_refused(way, "rate_limit_exceeded").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_thousand_at_once_exactly_a_hundred_pass() {
    let (house, clock) = standing(&[(REQUESTS, "100")]).await;
    let agent = house.agent().await.over_http2();
    let passed = async || {
        let all = join_all((0..1_000).map(|_| agent.asks(Way::Rest))).await;
        let refused = all.iter().filter_map(|asked| asked.as_ref().err());
        assert!(refused.clone().all(|refused| refused.told.code == "rate_limit_exceeded"));
        1_000 - refused.count()
    };
    assert_eq!(passed().await, 100);
    assert_eq!(passed().await, 0, "not one of them gave anything back");
    clock.advance(TimeDelta::milliseconds(600));
    assert_eq!(passed().await, 1, "the refused ones took nothing");
    clock.advance(TimeDelta::minutes(1));
    assert_eq!(passed().await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_call_takes_nothing_and_who_waits_as_told_is_let_in() {
    let (house, clock) = standing(&[(REQUESTS, "4")]).await;
    let agent = house.agent().await;
    for _ in 0..4 {
        agent.asks(Way::Rest).await.unwrap();
    }
    for way in WAYS.iter().cycle().take(30) {
        let refused = agent.is_refused(*way, "rate_limit_exceeded").await;
        assert_eq!(refused.retry_after, Some(Duration::from_secs(15)));
    }
    clock.advance(TimeDelta::seconds(15));
    agent.asks(Way::Typed).await.unwrap();
    agent.is_refused(Way::Rest, "rate_limit_exceeded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_do_not_take_from_each_other() {
    let (house, _clock) = standing(&[(REQUESTS, "1")]).await;
    let (one, other) = (house.agent().await, house.agent().await);
    one.asks(Way::Rest).await.unwrap();
    one.is_refused(Way::Rest, "rate_limit_exceeded").await;
    other.asks(Way::Rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_on_record_as_refused() {
    let house = House::with(|settings| settings.variable(REQUESTS, "1")).await;
    let (agent, issued) = house.operator.equip(json!({"name": "agent"})).await;
    agent.asks(Way::Rest).await.unwrap();
    for way in WAYS {
        agent.is_refused(way, "rate_limit_exceeded").await;
    }
    let expected = json!({"total": 7, "complete": 1, "client": 0, "upstream": 0, "error": 6});
    crate::chat::usage::recorded(&agent, expected).await;
    let path = format!("/v1/requests?status=429&key_id={}", issued["id"].as_str().unwrap());
    let refused = house.operator.rest().get(&path).await.success();
    assert_eq!(refused["requests"].as_array().unwrap().len(), 6, "{refused}");
}
