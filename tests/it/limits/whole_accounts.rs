//! Limits of an account as a whole: all of its callers take from them, each within its own.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;
use crate::chat::pruning::{PRUNING, asking};

const STREAMING: &str = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_of_an_account_take_from_its_rate_and_the_tighter_limit_is_told() {
    let variables = [(REQUESTS, "4"), ("ORQEN_POLICY__ACCOUNT_REQUESTS_PER_MINUTE", "6")];
    let (house, _clock) = standing(&variables).await;
    let (one, other) = (house.agent().await, house.agent().await);
    for taken in 1..=3 {
        assert_eq!(
            figures(&one.asks(Way::Rest).await.unwrap())[..2],
            ["4".to_owned(), (4 - taken).to_string()]
        );
    }
    assert_eq!(figures(&other.asks(Way::Rest).await.unwrap())[..2], ["6", "2"], "the account's is tighter");
    one.asks(Way::Raw).await.unwrap();
    let refused = one.is_refused(Way::Rest, "rate_limit_exceeded").await;
    assert!(refused.told.message.starts_with("the key "), "it is over its own limit: {refused:?}");
    other.asks(Way::Typed).await.unwrap();
    for way in WAYS {
        let refused = other.is_refused(way, "rate_limit_exceeded").await;
        let said = "the account as a whole may send 6 requests a minute";
        assert!(refused.told.message.starts_with(said), "{way:?}: {refused:?}");
        assert_eq!(figures(&refused.headers)[..2], ["6", "0"], "{way:?}");
        if !matches!(way, Way::Rest | Way::RestStream) {
            assert_eq!(refused.quota, Some(("the account as a whole".to_owned(), said.to_owned())));
        }
    }
    // Another account has its own.
    let foreign = house.operator.create_account("other").await.success();
    let more = json!({"scope": "chat", "account": foreign["id"]});
    let claims = crate::support::issuer::claims(house.server.now(), more);
    house.server.agent(&house.server.issuer().token(&claims)).asks(Way::Rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_by_the_account_takes_nothing_of_its_key() {
    let variables = [(REQUESTS, "2"), ("ORQEN_POLICY__ACCOUNT_REQUESTS_PER_MINUTE", "1")];
    let (house, clock) = standing(&variables).await;
    let (one, other) = (house.agent().await, house.agent().await);
    one.asks(Way::Rest).await.unwrap();
    for _ in 0..10 {
        other.is_refused(Way::Rest, "rate_limit_exceeded").await;
    }
    clock.advance(chrono::TimeDelta::minutes(1));
    let account = house.operator.account_id().await;
    let wider = json!({"account_requests_per_minute": null});
    house.server.operator().update_policy(&account, wider).await.success();
    assert_eq!(figures(&other.asks(Way::Rest).await.unwrap())[..2], ["2", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_keys_of_an_account_share_its_slots() {
    let house =
        House::with(|settings| settings.variable("ORQEN_POLICY__ACCOUNT_CONCURRENT_REQUESTS", "1")).await;
    let (one, other) = (house.agent().await, house.agent().await);
    let stream = house.upstream.will_stream();
    let running = one.opens(STREAMING).await;
    let refused = other.is_refused(Way::Typed, "concurrency_limit_exceeded").await;
    assert!(refused.told.message.starts_with("the account as a whole may have 1 request at"), "{refused:?}");
    stream.end();
    running.into_body().collect().await.unwrap();
    other.asks(Way::Rest).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_key_saved_counts_for_all_and_a_restart_does_not_forget_it() {
    let house = House::with(|settings| {
        with(settings.toml(PRUNING), &[("ORQEN_POLICY__ACCOUNT_WEEKLY_TOKEN_BUDGET", "1")])
    })
    .await;
    let (one, other) = (house.agent().await, house.agent().await);
    let weather = || asking("What is the weather in Oslo?");
    assert_eq!(one.posts(weather()).await.header("x-orqen-routing"), "keyword");
    super::budgets::spends(&one).await.success();
    assert_eq!(other.posts(weather()).await.header("x-orqen-routing"), "limit");
    let House { server, upstream, .. } = house;
    let server = server.restart().await;
    assert_eq!(server.agent(other.secret()).posts(weather()).await.header("x-orqen-routing"), "limit");
    server.stop().await;
    drop(upstream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_shows_and_changes_them() {
    let house = House::new().await;
    let account = house.operator.account_id().await;
    let fields = ["requests_per_minute", "concurrent_requests", "daily_token_budget", "weekly_token_budget"];
    let fields = fields.map(|field| format!("account_{field}"));
    let shown = async || {
        let me = house.operator.me().await.success();
        fields.each_ref().map(|field| me["account"]["policy"][field].clone())
    };
    assert_eq!(shown().await, [const { Value::Null }; 4]);
    for (place, field) in fields.iter().enumerate() {
        house.operator.update_policy(&account, json!({field: 3})).await.success();
        assert_eq!(shown().await[place], json!(3), "{field}");
        let error = house.operator.update_policy(&account, json!({field: -1})).await;
        assert_eq!(error.refused(400, "invalid_request_error")["param"], json!(field));
    }
    house.operator.update_policy(&account, json!({&fields[0]: null})).await.success();
    assert_eq!(shown().await, [json!(null), json!(3), json!(3), json!(3)]);
}
