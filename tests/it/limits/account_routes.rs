//! The account routes have a limit of their own, and strangers have theirs by where they come from.

use std::time::Duration;

use chrono::TimeDelta;
use orqen::{domain::secret::PlainSecret, proto::v1};
use serde_json::json;

use super::*;

const ROUTES: &str = "ORQEN_LIMITS__ACCOUNT_REQUESTS_PER_MINUTE";
const FAILURES: &str = "ORQEN_LIMITS__FAILED_AUTH_PER_MINUTE";

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_agent_does_not_lock_out_the_management_of_its_key() {
    let (house, _clock) = standing(&[(REQUESTS, "2"), (ROUTES, "20")]).await;
    let (agent, issued) = house.operator.equip(json!({"name": "agent"})).await;
    for _ in 0..2 {
        agent.asks(Way::Rest).await.unwrap();
    }
    agent.is_refused(Way::Rest, "rate_limit_exceeded").await;
    agent.me().await.success();
    agent.list_keys("").await.success();
    agent.usage_summary().await.success();
    agent.update_key(issued["id"].as_str().unwrap(), json!({"disabled": false})).await.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_manager_does_not_lock_out_its_chat() {
    let (house, clock) = standing(&[(REQUESTS, "10"), (ROUTES, "6")]).await;
    let (agent, issued) = house.operator.equip(json!({"name": "agent"})).await;
    let id = issued["id"].as_str().unwrap();
    agent.list_keys("").await.success();
    agent.rest().get("/v1/keys").await.success();
    agent.key(id).await.success();
    agent.usage_summary().await.success();
    agent.grpc().keys().list_keys(v1::ListKeysRequest::default()).await.unwrap();
    agent.me().await.success();
    let answer = agent.rest().get("/v1/keys").await;
    let error = answer.refused(429, "rate_limit_exceeded");
    let said = format!("the key {id} may send 6 requests a minute to the account routes");
    assert!(error["message"].as_str().unwrap().starts_with(&said), "{error}");
    assert!(!error["message"].as_str().unwrap().contains("policy"), "it is not the policy's limit: {error}");
    assert_eq!(answer.header("retry-after"), "10");
    let by_grpc = refused(agent.grpc().keys().list_keys(v1::ListKeysRequest::default()).await.unwrap_err());
    assert_eq!(
        (by_grpc.told.code.as_str(), by_grpc.retry_after),
        ("rate_limit_exceeded", Some(Duration::from_secs(10)))
    );
    assert_eq!(by_grpc.quota, Some((format!("the key {id}"), said)));
    agent.asks(Way::Rest).await.unwrap();
    house.operator.list_keys("").await.success();
    clock.advance(TimeDelta::seconds(10));
    agent.list_keys("").await.success();
    agent.list_keys("").await.refused(429, "rate_limit_exceeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_credentials_are_limited_by_where_they_come_from_and_known_ones_go_on() {
    let (house, clock) = standing(&[(FAILURES, "3")]).await;
    let agent = house.agent().await;
    // Known here from now on: one that was never seen before has to be looked up like any other.
    agent.asks(Way::Rest).await.unwrap();
    let stranger = || house.server.agent(PlainSecret::generate(&mut rand::rng()).expose());
    for _ in 0..3 {
        stranger().me().await.refused(401, "invalid_api_key");
    }
    let answer = stranger().me().await;
    answer.refused(429, "rate_limit_exceeded");
    assert_eq!(answer.header("retry-after"), "20");
    for way in WAYS {
        let refused = stranger().is_refused(way, "rate_limit_exceeded").await;
        assert_eq!(refused.retry_after, Some(Duration::from_secs(20)), "{way:?}");
    }
    agent.asks(Way::Rest).await.unwrap();
    clock.advance(TimeDelta::seconds(20));
    stranger().me().await.refused(401, "invalid_api_key");
    stranger().me().await.refused(429, "rate_limit_exceeded");
}
