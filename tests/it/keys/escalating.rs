//! A restricted key that tries to come to more, also by detours: each step is refused and leaves everything as it was.

use orqen::domain::audit::Actor;
use serde_json::{Value, json};

use crate::{
    keys::{id, with_an_operator},
    support::{
        actors::{Agent, Caller, Operator},
        server::{Settings, TestServer},
        stores::{Place, on_every_store},
    },
};

/// All keys of the account, as they are.
async fn everything(operator: &Operator) -> Value {
    let mut all = operator.list_keys("?include_revoked=true&page_size=1000").await.success();
    for key in all["keys"].as_array_mut().unwrap() {
        key["last_used_at"] = json!(null);
        for secret in key["generations"].as_array_mut().unwrap() {
            secret["last_used_at"] = json!(null);
        }
    }
    all
}

async fn equipped(agent: &Agent, operator: &Operator, body: Value) -> (Agent, Value) {
    let issued = agent.create_key(body).await.success();
    (operator.agent(&issued), issued)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_detour_over_other_keys_leads_to_more() {
    with_an_operator(async |_, operator| {
        let (agent, own) = operator
            .equip(
                json!({"name": "own", "allowed_tools": ["a*"], "denied_tools": ["ab"], "rate_limit_rpm": 9}),
            )
            .await;
        let free = operator.create_key(json!({"name": "free"})).await.success();
        let (child, made) =
            equipped(&agent, operator, json!({"name": "child", "allowed_tools": ["aa*"]})).await;
        let (grandchild, last) =
            equipped(&child, operator, json!({"name": "last", "rate_limit_rpm": 5})).await;
        let before = everything(operator).await;
        let lists =
            |allowed: &[&str], denied: Value| json!({"allowed_tools": allowed, "denied_tools": denied});
        for (who, caller) in [("agent", &agent), ("child", &child), ("grandchild", &grandchild)] {
            for key in [&own, &made, &last, &free] {
                for wider in [
                    lists(&["a*"], json!(null)),
                    lists(&["*"], json!(["ab"])),
                    lists(&["a*", "b"], json!(["ab"])),
                    lists(&["a*"], json!(["abc"])),
                    json!({"denied_tools": []}),
                    json!({"allowed_tools": null}),
                ] {
                    let answer = caller.set_toollist(id(key), wider.clone()).await;
                    assert_eq!(answer.status, 403, "{who} {wider}: {answer:?}");
                    answer.refused(403, "privilege_escalation");
                }
                for wider in [
                    json!({"rate_limit_rpm": 10}),
                    json!({"rate_limit_rpm": null}),
                    json!({"tool_mode": "observe"}),
                    json!({"name": "ok", "rate_limit_rpm": null}),
                ] {
                    caller.update_key(id(key), wider).await.refused(403, "privilege_escalation");
                }
            }
            // A secret of a freer key is that key.
            caller.rotate_key(id(&free), json!({})).await.refused(403, "privilege_escalation");
            let wider = json!({"name": "more", "allowed_tools": ["a*"], "denied_tools": []});
            caller.create_key(wider).await.refused(403, "privilege_escalation");
        }
        // Up the line, where whoever was narrowed by its maker wants back what the maker has.
        for key in [&own, &made] {
            grandchild
                .update_key(id(key), json!({"name": "mine"}))
                .await
                .refused(403, "privilege_escalation");
            grandchild.rotate_key(id(key), json!({})).await.refused(403, "privilege_escalation");
        }
        child.rotate_key(id(&own), json!({"overlap_seconds": 60})).await.refused(403, "privilege_escalation");
        child
            .set_toollist(id(&made), lists(&["a*"], json!(["ab"])))
            .await
            .refused(403, "privilege_escalation");
        assert_eq!(everything(operator).await, before);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_took_away_is_not_handed_on_before_this_one_has_heard_of_it() {
    on_every_store(async |place: Place| {
        // As late as can be, so that this process hears of it after the test has asked.
        let server = TestServer::start(Settings::at(&place).variable("ORQEN_STORE__POLL_EVERY", "1s")).await;
        let operator = server.operator();
        let (agent, own) = operator.equip(json!({"name": "own", "allowed_tools": ["a", "b"]})).await;
        let (other, sibling) = operator.equip(json!({"name": "sibling", "allowed_tools": ["a"]})).await;
        agent.me().await.success();
        other.me().await.success();
        let keys = server.other_process().await;
        let account = orqen::domain::key::AccountId(operator.account_id().await.parse().unwrap());
        let key = orqen::domain::key::KeyId(id(&own).parse().unwrap());
        let narrow = |key: &mut orqen::domain::key::Key| {
            key.toollist = key.toollist.replaced(Some(Some(vec!["a".to_owned()])), None)?;
            Ok::<_, orqen::domain::violation::Violations>(())
        };
        keys.keys().update(&Actor::cli(), account, key, narrow).await.unwrap();

        let back = json!({"allowed_tools": ["a", "b"]});
        agent.set_toollist(id(&own), back.clone()).await.refused(403, "privilege_escalation");
        agent.set_toollist(id(&sibling), back).await.refused(403, "privilege_escalation");
        let wider = json!({"name": "child", "allowed_tools": ["b"]});
        agent.create_key(wider).await.refused(403, "privilege_escalation");
        let free = operator.create_key(json!({"name": "free", "allowed_tools": ["b"]})).await.success();
        agent.rotate_key(id(&free), json!({})).await.refused(403, "privilege_escalation");
        let child = agent.create_key(json!({"name": "child"})).await.success();
        assert_eq!(child["allowed_tools"], json!(["a"]));
        keys.keys().revoke(&Actor::cli(), account, key).await.unwrap();
        agent.create_key(json!({"name": "late"})).await.refused(401, "api_key_revoked");
        agent.update_key(id(&sibling), json!({"name": "late"})).await.refused(401, "api_key_revoked");
        agent.rotate_key(id(&sibling), json!({})).await.refused(401, "api_key_revoked");
        keys.close().await;
        server.stop().await;
    })
    .await;
}
