//! Nobody hands out more than they hold, and no account has more than its policy grants.

use serde_json::{Value, json};

use crate::{
    keys::{id, shown, with_an_operator},
    support::{
        actors::Caller,
        issuer::claims,
        server::{Settings, TestServer},
        stores::Place,
    },
};

/// A key that is bound in every way.
fn bound() -> Value {
    json!({
        "name": "bound",
        "expires_at": "2098-01-01T00:00:00Z",
        "scopes": ["chat", "keys"],
        "rate_limit_rpm": 10,
        "daily_token_budget": 100,
        "weekly_token_budget": 200,
        "k_target_override": 8,
        "allowed_tools": ["a", "github_*"],
        "denied_tools": ["github_delete", "rm*"],
        "tool_mode": "block",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_key_makes_only_keys_within_its_own_bounds() {
    with_an_operator(async |_, operator| {
        let (agent, _) = operator.equip(bound()).await;
        for wider in [
            json!({"expires_at": "2098-01-01T00:00:01Z"}),
            json!({"scopes": ["chat", "keys", "usage"]}),
            json!({"scopes": ["usage"]}),
            json!({"rate_limit_rpm": 11}),
            json!({"daily_token_budget": 101}),
            json!({"weekly_token_budget": 201}),
            json!({"k_target_override": 9}),
            json!({"allowed_tools": ["a", "b"]}),
            json!({"allowed_tools": ["*"]}),
            json!({"allowed_tools": ["git*"]}),
            json!({"denied_tools": []}),
            json!({"denied_tools": ["github_delete"]}),
            json!({"tool_mode": "filter"}),
            json!({"tool_mode": "observe"}),
        ] {
            let mut body = wider.clone();
            body["name"] = json!("wider");
            let refused = agent.create_key(body).await;
            refused.refused(403, "privilege_escalation");
        }
        for narrower in [
            json!({"expires_at": "2098-01-01T00:00:00Z"}),
            json!({"scopes": ["chat"]}),
            json!({"rate_limit_rpm": 10, "daily_token_budget": 0, "weekly_token_budget": 199, "k_target_override": 1}),
            json!({"allowed_tools": ["github_issues_*", "a"]}),
            json!({"allowed_tools": []}),
            json!({"denied_tools": ["rm*", "github_delete", "more"]}),
            json!({"denied_tools": ["r*", "GitHub_*"]}),
        ] {
            let mut body = narrower.clone();
            body["name"] = json!("narrower");
            let answer = agent.create_key(body).await;
            assert_eq!(answer.status, 200, "{narrower}: {answer:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_key_cannot_lift_its_own_bounds_nor_touch_a_freer_sibling() {
    with_an_operator(async |_, operator| {
        let (agent, own) = operator.equip(bound()).await;
        let free = operator.create_key(json!({"name": "free"})).await.success();
        for lists in [
            json!({"allowed_tools": null}),
            json!({"allowed_tools": ["*"]}),
            json!({"denied_tools": null}),
            json!({"denied_tools": ["rm*"]}),
        ] {
            agent.set_toollist(id(&own), lists).await.refused(403, "privilege_escalation");
        }
        for change in [
            json!({"expires_at": null}),
            json!({"expires_at": "2099-01-01T00:00:00Z"}),
            json!({"scopes": ["chat", "keys", "usage"]}),
            json!({"scopes": ["usage"]}),
            json!({"tool_mode": "filter"}),
            json!({"tool_mode": "observe"}),
            json!({"rate_limit_rpm": 11}),
            json!({"rate_limit_rpm": null}),
            json!({"daily_token_budget": null}),
            json!({"weekly_token_budget": 201}),
            json!({"k_target_override": null}),
        ] {
            agent.update_key(id(&own), change).await.refused(403, "privilege_escalation");
        }
        // Also what would tighten it, or only rename it: the key was outside of its bounds before.
        let tighten = json!({"allowed_tools": ["a"], "denied_tools": ["github_delete", "rm*"]});
        agent.set_toollist(id(&free), tighten).await.refused(403, "privilege_escalation");
        agent.update_key(id(&free), json!({"name": "mine"})).await.refused(403, "privilege_escalation");
        assert_eq!(operator.key(id(&own)).await.success()["revision"], 1);
        let mut untouched = operator.key(id(&free)).await.success();
        assert_eq!(untouched, shown(&free));

        agent.set_toollist(id(&own), json!({"allowed_tools": ["a"]})).await.success();
        agent
            .set_toollist(id(&own), json!({"allowed_tools": ["a", "github_*"]}))
            .await
            .refused(403, "privilege_escalation");
        for narrower in [
            json!({"expires_at": "2097-01-01T00:00:00Z"}),
            json!({"rate_limit_rpm": 9, "daily_token_budget": 0, "k_target_override": 1}),
        ] {
            agent.update_key(id(&own), narrower).await.success();
        }
        agent.revoke_key(id(&free)).await.success();
        untouched = operator.key(id(&free)).await.success();
        assert_eq!(untouched["status"], "revoked", "revoking is always allowed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_limit_can_only_tighten_the_policy() {
    let server = TestServer::start(Settings::at(&Place::sqlite()).with_delivered_limits()).await;
    let operator = server.operator();
    let body = json!({"name": "greedy", "rate_limit_rpm": 61});
    let refused = operator.create_key(body).await.refused(403, "privilege_escalation");
    assert_eq!(refused["param"], "rate_limit_rpm");
    let modest = operator.create_key(json!({"name": "modest", "rate_limit_rpm": 60})).await.success();
    for (rpm, status) in [(61, 403), (59, 200), (60, 200)] {
        let answer = operator.update_key(id(&modest), json!({"rate_limit_rpm": rpm})).await;
        assert_eq!(answer.status, status, "{rpm}: {answer:?}");
    }
    // What was in order when it was set is no offence of whoever changes something else.
    let account = operator.account_id().await;
    operator.update_policy(&account, json!({"requests_per_minute": 20})).await.success();
    let renamed = json!({"name": "renamed", "rate_limit_rpm": 60});
    assert_eq!(
        operator.update_key(id(&modest), renamed).await.success()["limits"]["rate_limit_rpm"]["value"],
        20
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_is_for_operators_to_set() {
    let server = TestServer::new().await;
    let operator = server.operator();
    let body = json!({"name": "watched", "tool_mode": "observe"});
    operator.create_key(body.clone()).await.refused(403, "privilege_escalation");
    let more = json!({"scope": "operator keys", "account": operator.account_id().await});
    let token = server.issuer().token(&claims(server.now(), more));
    let issued = server.anonymous().rest().bearer(&token).post("/v1/keys", &body).await.success();
    assert_eq!(issued["tool_mode"], "observe");
    assert_eq!(issued["created_by"], "jwt:tester");

    let plain = operator.create_key(json!({"name": "plain"})).await.success();
    let observe = json!({"tool_mode": "observe"});
    operator.update_key(id(&plain), observe.clone()).await.refused(403, "privilege_escalation");
    let patched = server.anonymous().rest().bearer(&token);
    let patched = patched.patch(&format!("/v1/keys/{}", id(&plain)), &observe).await.success();
    assert_eq!(patched["tool_mode"], "observe");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_has_as_many_keys_as_its_policy_grants() {
    with_an_operator(async |_, operator| {
        let account = operator.account_id().await;
        operator.update_policy(&account, json!({"max_keys": 3})).await.success();
        let gone = operator.create_key(json!({"name": "two"})).await.success();
        operator.create_key(json!({"name": "three"})).await.success();
        let refused = operator.create_key(json!({"name": "four"})).await.refused(429, "key_limit_exceeded");
        assert_eq!(refused["type"], "rate_limit_error");
        operator.revoke_key(id(&gone)).await.success();
        operator.create_key(json!({"name": "four"})).await.success();
        operator.update_policy(&account, json!({"max_keys": null})).await.success();
        operator.create_key(json!({"name": "five"})).await.success();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_policy_reaches_the_keys_at_once() {
    with_an_operator(async |_, operator| {
        let account = operator.account_id().await;
        let (agent, issued) = operator.equip(json!({"name": "agent", "rate_limit_rpm": 20})).await;
        assert_eq!(issued["limits"]["rate_limit_rpm"], json!({"value": 20, "source": "key"}));
        let policy = json!({"requests_per_minute": 10, "concurrent_requests": 3, "daily_token_budget": 0});
        let changed = operator.update_policy(&account, policy).await.success();
        assert_eq!(changed["policy"]["revision"], 2);
        assert_eq!(changed["policy"]["max_keys"], 1000, "what is left out stays");
        let me = agent.me().await.success();
        assert_eq!(me["account"], changed);
        let limits = &me["key"]["limits"];
        assert_eq!(limits["rate_limit_rpm"], json!({"value": 10, "source": "policy"}));
        assert_eq!(limits["concurrent_requests"], json!({"value": 3, "source": "policy"}));
        assert_eq!(limits["daily_token_budget"], json!({"value": 0, "source": "policy"}));

        operator.update_policy(&account, json!({"requests_per_minute": null})).await.success();
        let me = agent.me().await.success();
        assert_eq!(me["key"]["limits"]["rate_limit_rpm"], json!({"value": 20, "source": "key"}));
        assert_eq!(me["account"]["policy"]["requests_per_minute"], json!(null));
        let refused = operator.rest().patch(&format!("/v1/accounts/{account}/policy"), &json!({})).await;
        refused.refused(403, "insufficient_scope");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_was_lowered_stops_nobody_from_making_a_key_by_name_alone() {
    with_an_operator(async |_, operator| {
        let account = operator.account_id().await;
        operator
            .update_policy(&account, json!({"requests_per_minute": 60, "daily_token_budget": 1000}))
            .await
            .success();
        let held = json!({"name": "before", "rate_limit_rpm": 50, "daily_token_budget": 900});
        let (agent, _) = operator.equip(held).await;
        operator
            .update_policy(&account, json!({"requests_per_minute": 20, "daily_token_budget": 900}))
            .await
            .success();
        let child = agent.create_key(json!({"name": "after"})).await.success();
        assert_eq!(child["limits"]["rate_limit_rpm"]["value"], 20);
        assert_eq!(child["limits"]["daily_token_budget"]["value"], 900);
        let asked = agent.create_key(json!({"name": "after", "rate_limit_rpm": 21})).await;
        asked.refused(403, "privilege_escalation");
        // What was handed on then does not grow with the policy.
        operator.update_policy(&account, json!({"requests_per_minute": 60})).await.success();
        let later = operator.key(id(&child)).await.success();
        assert_eq!(later["limits"]["rate_limit_rpm"], json!({"value": 20, "source": "key"}));
    })
    .await;
}
