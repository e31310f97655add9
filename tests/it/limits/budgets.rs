//! Budgets of saved tokens: once one is spent nothing is pruned, and the lists go on.

use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::*;
use crate::chat::pruning::{PRUNING, asking, received_names};

const DAILY: &str = "ORQEN_POLICY__DAILY_TOKEN_BUDGET";
const WEEKLY: &str = "ORQEN_POLICY__WEEKLY_TOKEN_BUDGET";
/// A Wednesday.
const WEDNESDAY: &str = "2026-03-11T22:00:00Z";

async fn house(variables: &[(&str, &str)]) -> (House, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(WEDNESDAY.parse().unwrap()));
    let house = House::with(|settings| with(settings.toml(PRUNING), variables).clock(&clock)).await;
    (house, clock)
}

fn weather() -> String {
    asking("What is the weather in Oslo?")
}

/// Asks until the budget is spent: what a request saved is counted a moment after its end, and for the first one once
/// the vocabulary has been read. The answer that says so.
pub(super) async fn spends(agent: &Agent) -> crate::support::rest::Answer {
    for _ in 0..2_400 {
        let answer = agent.posts(weather()).await;
        if answer.status != 200 || answer.header("x-orqen-routing") == "limit" {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("the budget is never spent");
}

#[tokio::test(flavor = "multi_thread")]
async fn once_it_is_spent_every_permitted_tool_goes_and_the_denied_ones_do_not() {
    let (house, _clock) = house(&[(DAILY, "1")]).await;
    let agent = house.denied(&["*_lamp"]).await;
    let answer = agent.posts(weather()).await;
    assert_eq!(answer.header("x-orqen-routing"), "keyword", "{answer:?}");
    spends(&agent).await.success();
    for door in crate::chat::DOORS {
        let outcome = agent.enters(door, weather()).await;
        assert_eq!(outcome.header("x-orqen-routing"), Some("limit"));
        assert_eq!(outcome.header("x-orqen-prune-ratio"), Some("54/54"));
        assert_eq!(outcome.header("x-orqen-tools-denied"), Some("6"));
        assert_eq!(outcome.header("x-orqen-prune-skipped"), None);
        let names = received_names(&house.upstream);
        assert!(names.len() == 54 && !names.iter().any(|name| name.ends_with("_lamp")), "{names:?}");
    }
    let other = house.agent().await;
    assert_eq!(other.posts(weather()).await.header("x-orqen-routing"), "keyword", "each key has its own");
    assert_eq!(agent.posts(DEMO).await.header("x-orqen-routing"), "", "there is nothing to prune");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_may_refuse_instead() {
    let variables = [(DAILY, "1"), ("ORQEN_LIMITS__SAVED_TOKENS_EXCEEDED", "reject"), (REQUESTS, "1000000")];
    let (house, clock) = house(&variables).await;
    let agent = house.agent().await;
    let answer = spends(&agent).await;
    let error = answer.refused(429, "saved_token_limit_exceeded");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("may have 1 tokens saved a day") && message.contains("2026-03-12T00:00:00Z"),
        "{error}"
    );
    assert_eq!(answer.header("retry-after"), "7200");
    assert_eq!(figures(&answer.headers)[0], "1000000");
    let received = house.upstream.received().len();
    for way in WAYS {
        let refused = agent.is_refused(way, "saved_token_limit_exceeded").await;
        assert_eq!(refused.retry_after, Some(Duration::from_secs(7_200)), "{way:?}");
        assert_eq!(refused.quota.is_some(), !matches!(way, Way::Rest | Way::RestStream));
    }
    assert_eq!(house.upstream.received().len(), received);
    clock.advance(TimeDelta::hours(2));
    agent.asks(Way::Rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_gives_a_new_budget_and_a_week_takes_longer() {
    let (house, clock) = house(&[(DAILY, "1")]).await;
    let agent = house.agent().await;
    spends(&agent).await.success();
    clock.advance(TimeDelta::hours(2) - TimeDelta::microseconds(1));
    assert_eq!(agent.posts(weather()).await.header("x-orqen-routing"), "limit");
    clock.advance(TimeDelta::microseconds(1));
    assert_eq!(agent.posts(weather()).await.header("x-orqen-routing"), "keyword");

    // With a token of this day.
    let operator = house.server.operator();
    let account = operator.account_id().await;
    let weekly = json!({"daily_token_budget": null, "weekly_token_budget": 1});
    operator.update_policy(&account, weekly).await.success();
    spends(&agent).await.success();
    // Thursday to Sunday.
    for _ in 0..3 {
        clock.advance(TimeDelta::days(1));
        assert_eq!(agent.posts(weather()).await.header("x-orqen-routing"), "limit");
    }
    clock.advance(TimeDelta::days(1));
    assert_eq!(agent.posts(weather()).await.header("x-orqen-routing"), "keyword");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_gives_nobody_a_second_budget() {
    let (house, clock) = house(&[(DAILY, "1"), (WEEKLY, "1")]).await;
    let agent = house.agent().await;
    spends(&agent).await.success();
    let House { server, upstream, .. } = house;
    let server = server.restart().await;
    let agent = server.agent(agent.secret());
    assert_eq!(agent.posts(weather()).await.header("x-orqen-routing"), "limit");
    clock.advance(TimeDelta::days(1));
    let server = server.restart().await;
    let agent = server.agent(agent.secret());
    assert_eq!(agent.posts(weather()).await.header("x-orqen-routing"), "limit", "the week's");
    clock.advance(TimeDelta::days(4));
    let server = server.restart().await;
    assert_eq!(server.agent(agent.secret()).posts(weather()).await.header("x-orqen-routing"), "keyword");
    server.stop().await;
    drop(upstream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_own_budget_and_a_budget_of_nothing_hold_at_once() {
    let (house, _clock) = house(&[]).await;
    let agent = house.agent().await;
    let routing = async || {
        let answer = agent.posts(weather()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.header("x-orqen-routing").to_owned()
    };
    assert_eq!(routing().await, "keyword");
    let account = house.operator.account_id().await;
    let set = async |budget: Value| {
        house.operator.update_policy(&account, json!({"weekly_token_budget": budget})).await.success();
    };
    set(json!(0)).await;
    assert_eq!(routing().await, "limit");
    set(json!(1_000_000_000)).await;
    assert_eq!(routing().await, "keyword");
    let own = house.agent_with(json!({"daily_token_budget": 0})).await;
    assert_eq!(own.posts(weather()).await.header("x-orqen-routing"), "limit");
    assert_eq!(routing().await, "keyword");
}
