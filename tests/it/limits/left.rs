//! What is left of each limit, in the summary of usage: asking for it takes nothing.

use serde_json::{Value, json};

use super::*;
use crate::chat::pruning::{PRUNING, asking};

fn no_limit() -> Value {
    json!({"value": null, "used": null, "remaining": null, "resets_at": null})
}

fn left(value: i64, used: i64, resets_at: impl Into<Value>) -> Value {
    let remaining = (value - used).max(0);
    json!({"value": value, "used": used, "remaining": remaining, "resets_at": resets_at.into()})
}

#[tokio::test(flavor = "multi_thread")]
async fn without_limits_there_is_nothing_to_be_left() {
    let house = House::new().await;
    let summary = house.agent().await.usage_summary().await.success();
    let none = json!({
        "requests_per_minute": no_limit(),
        "concurrent_requests": no_limit(),
        "daily_token_budget": no_limit(),
        "weekly_token_budget": no_limit(),
    });
    assert_eq!((&summary["limits"], &summary["account_limits"]), (&none, &none));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_limit_of_key_and_account_is_told_and_asking_takes_nothing() {
    let variables = [
        (REQUESTS, "4"),
        (CONCURRENT, "3"),
        ("ORQEN_POLICY__DAILY_TOKEN_BUDGET", "1000"),
        ("ORQEN_POLICY__ACCOUNT_REQUESTS_PER_MINUTE", "60"),
        ("ORQEN_POLICY__ACCOUNT_CONCURRENT_REQUESTS", "30"),
        ("ORQEN_POLICY__ACCOUNT_WEEKLY_TOKEN_BUDGET", "9000"),
    ];
    let (house, clock) = standing(&variables).await;
    let (agent, other) = (house.agent().await, house.agent().await);
    let narrow = house.agent_with(json!({"scopes": ["chat"]})).await;
    other.asks(Way::Rest).await.unwrap();
    agent.asks(Way::Rest).await.unwrap();
    let stream = house.upstream.will_stream();
    let running = agent.opens(r#"{"model":"gpt-4o","stream":true,"messages":[]}"#).await;
    for _ in 0..5 {
        let summary = agent.usage_summary().await.success();
        let expected = json!({
            "requests_per_minute": left(4, 2, "2026-03-11T09:27:23Z"),
            "concurrent_requests": left(3, 1, Value::Null),
            "daily_token_budget": left(1_000, 0, "2026-03-12T00:00:00Z"),
            "weekly_token_budget": no_limit(),
        });
        assert_eq!(summary["limits"], expected);
        let expected = json!({
            "requests_per_minute": left(60, 3, "2026-03-11T09:26:56Z"),
            "concurrent_requests": left(30, 1, Value::Null),
            "daily_token_budget": no_limit(),
            "weekly_token_budget": left(9_000, 0, "2026-03-16T00:00:00Z"),
        });
        assert_eq!(summary["account_limits"], expected);
    }
    let summary = narrow.usage_summary().await.success();
    assert_eq!(summary["limits"]["requests_per_minute"], left(4, 0, "2026-03-11T09:26:53Z"));
    assert_eq!(summary["account_limits"], Value::Null, "it may not see the account's");
    drop((running, stream));
    clock.advance(chrono::TimeDelta::minutes(1));
    let summary = agent.usage_summary().await.success();
    assert_eq!(summary["limits"]["requests_per_minute"], left(4, 0, "2026-03-11T09:27:53Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_shows_what_was_spent_and_a_restart_remembers_it() {
    let budget = [("ORQEN_POLICY__WEEKLY_TOKEN_BUDGET", "1")];
    let house = House::with(|settings| with(settings.toml(PRUNING), &budget)).await;
    let agent = house.agent().await;
    assert_eq!(
        agent.posts(asking("What is the weather in Oslo?")).await.header("x-orqen-routing"),
        "keyword"
    );
    super::budgets::spends(&agent).await.success();
    let House { server, upstream, .. } = house;
    let server = server.restart().await;
    let agent = server.agent(agent.secret());
    let summary = agent.usage_summary().await.success();
    let week = &summary["limits"]["weekly_token_budget"];
    assert_eq!(week["used"], summary["tokens_saved"]["by_pruning"], "{summary}");
    assert!(week["used"].as_i64() > Some(1) && week["remaining"] == 0, "{summary}");
    server.stop().await;
    drop(upstream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_key_sees_what_is_left_to_all_of_them() {
    let (house, _clock) = standing(&[(REQUESTS, "4")]).await;
    let account = house.operator.account_id().await;
    let more = json!({"scope": "chat usage", "account": account});
    let claims = crate::support::issuer::claims(house.server.now(), more);
    let caller = house.server.agent(&house.server.issuer().token(&claims));
    caller.asks(Way::Rest).await.unwrap();
    let summary = caller.usage_summary().await.success();
    assert_eq!(summary["limits"]["requests_per_minute"], left(4, 1, "2026-03-11T09:27:08Z"));
}
