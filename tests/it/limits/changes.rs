//! Limits that change: by the policy, at once, and by the key, which can only tighten.

use serde_json::json;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_policy_holds_from_the_next_request_on() {
    let (house, _clock) = standing(&[(REQUESTS, "10")]).await;
    let (agent, account) = (house.agent().await, house.operator.account_id().await);
    let set = async |limit: serde_json::Value| {
        house.operator.update_policy(&account, json!({"requests_per_minute": limit})).await.success();
    };
    for _ in 0..8 {
        agent.asks(Way::Rest).await.unwrap();
    }
    // Eight of ten are 48 s of the minute, whatever the limit: of three a minute, at 20 s each, none is left.
    set(json!(3)).await;
    let refused = agent.is_refused(Way::Raw, "rate_limit_exceeded").await;
    assert!(refused.told.message.contains("may send 3 requests a minute"), "{refused:?}");
    set(json!(100)).await;
    let headers = agent.asks(Way::Rest).await.unwrap();
    assert_eq!(figures(&headers)[0], "100");
    set(json!(null)).await;
    assert_eq!(figures(&agent.asks(Way::Rest).await.unwrap()), [""; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_are_taken_count_against_a_limit_that_comes_later() {
    let house = House::new().await;
    let (agent, account) = (house.agent().await, house.operator.account_id().await);
    let set = async |limit: serde_json::Value| {
        house.operator.update_policy(&account, json!({"concurrent_requests": limit})).await.success();
    };
    set(json!(2)).await;
    let streams = [house.upstream.will_stream(), house.upstream.will_stream()];
    let body = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;
    let running = [agent.opens(body).await, agent.opens(body).await];
    agent.is_refused(Way::Rest, "concurrency_limit_exceeded").await;
    set(json!(3)).await;
    agent.asks(Way::Rest).await.unwrap();
    set(json!(1)).await;
    agent.is_refused(Way::Rest, "concurrency_limit_exceeded").await;
    streams.into_iter().for_each(|stream| stream.end());
    for answer in running {
        http_body_util::BodyExt::collect(answer.into_body()).await.unwrap();
    }
    agent.asks(Way::Rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_own_limit_tightens_and_never_widens() {
    let (house, _clock) = standing(&[(REQUESTS, "50")]).await;
    let account = house.operator.account_id().await;
    let agent = async |own: serde_json::Value| house.agent_with(json!({"rate_limit_rpm": own})).await;
    let (tight, wide, none) = (agent(json!(2)).await, agent(json!(50)).await, agent(json!(null)).await);
    house
        .operator
        .create_key(json!({"name": "x", "rate_limit_rpm": 51}))
        .await
        .refused(403, "privilege_escalation");
    for (policy, holds) in [(50, [2, 50, 50]), (5, [2, 5, 5]), (1, [1, 1, 1]), (100, [2, 50, 100])] {
        house.operator.update_policy(&account, json!({"requests_per_minute": policy})).await.success();
        for (agent, holds) in [&tight, &wide, &none].into_iter().zip(holds) {
            let told = agent.asks(Way::Rest).await;
            let headers = told.unwrap_or_else(|refused| refused.headers);
            assert_eq!(figures(&headers)[0], holds.to_string(), "under {policy}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_without_a_key_share_the_policys_limit() {
    let (house, _clock) = standing(&[(REQUESTS, "2")]).await;
    let account = house.operator.account_id().await;
    let token = |subject: &str| {
        let more = json!({"scope": "chat", "account": account, "sub": subject});
        let claims = crate::support::issuer::claims(house.server.now(), more);
        house.server.agent(&house.server.issuer().token(&claims))
    };
    token("one").asks(Way::Rest).await.unwrap();
    token("other").asks(Way::Raw).await.unwrap();
    let refused = token("one").is_refused(Way::Typed, "rate_limit_exceeded").await;
    assert!(refused.told.message.starts_with("the account's callers without a key"), "{refused:?}");
    house.agent().await.asks(Way::Rest).await.unwrap();
}
