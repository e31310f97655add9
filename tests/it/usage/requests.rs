//! Requests one by one: filters, pages, and whose they are.

use serde_json::{Value, json};

use super::{World, requests};
use crate::support::{
    actors::Caller,
    issuer::claims,
    server::{Settings, TestServer},
    stores::{Place, on_every_store},
    upstream::{Reply, ScriptedUpstream},
};

fn ids(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_find_what_they_say_and_pages_leave_nothing_out() {
    on_every_store(async |place| {
        let world = World::at(&place).await;
        let World { upstream, agent, operator, .. } = &world;
        let in_session = agent.rest().with("x-orqen-session-id".parse().unwrap(), "s&1");
        let mut sent = Vec::new();
        for place in 0..8 {
            let (rest, model) = match place {
                0..4 => (agent.rest(), "gpt-4o"),
                4..6 => (&in_session, "gpt-4o"),
                _ => (operator.rest(), "gpt-5"),
            };
            if place % 2 == 1 {
                upstream.will(Reply::status("500 Internal Server Error", &[], "{}"));
            }
            let answer = rest.post(crate::chat::CHAT, &json!({"model": model, "messages": []})).await;
            sent.push(answer.header("x-request-id").to_owned());
        }
        let World { server, agent, agent_id, .. } = world;
        let server = server.restart().await;
        let agent = server.agent(agent.secret());
        let all = requests(&agent, "").await;
        let newest_first: Vec<&str> = sent.iter().rev().map(String::as_str).collect();
        assert_eq!(ids(&all), newest_first);

        let of = |places: &[usize]| places.iter().map(|place| sent[*place].as_str()).collect::<Vec<_>>();
        let since = all[5]["started_at"].as_str().unwrap();
        let until = all[2]["started_at"].as_str().unwrap();
        for (query, expected) in [
            (format!("&key_id={agent_id}"), of(&[5, 4, 3, 2, 1, 0])),
            ("&model=gpt-5".into(), of(&[7, 6])),
            ("&status=500".into(), of(&[7, 5, 3, 1])),
            ("&session=s%261".into(), of(&[5, 4])),
            (format!("&since={since}&until={until}"), of(&[4, 3, 2])),
            (format!("&status=200&key_id={agent_id}&model=gpt-4o&since={since}"), of(&[4, 2])),
            ("&model=".into(), of(&[])),
        ] {
            assert_eq!(ids(&requests(&agent, &query).await), expected, "{query}");
        }
        for (query, param) in [
            ("status=abc", "status"),
            ("since=yesterday", "since"),
            ("keys=x", "keys"),
            ("page_token=AAAA", "page_token"),
        ] {
            let error = agent.rest().get(&format!("/v1/requests?{query}")).await;
            assert_eq!(error.refused(400, "invalid_request_error")["param"], param);
        }
        server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_request_cannot_be_told_from_one_that_never_was() {
    let world = World::at(&Place::sqlite()).await;
    let answer = world.agent.posts(r#"{"model":"gpt-4o","messages":[]}"#).await;
    let id = answer.header("x-request-id").to_owned();
    let other = world.operator.create_account("other").await.success();
    let server = world.server.restart().await;
    let more = json!({"scope": "usage", "account": other["id"]});
    let token = server.issuer().token(&claims(server.now(), more));
    let stranger = server.anonymous().rest().bearer(&token);
    let mut messages = Vec::new();
    for id in [id.as_str(), "req_00000000000000000000000000000000", "req_", "x"] {
        let error = stranger.get(&format!("/v1/requests/{id}")).await.refused(404, "request_not_found");
        assert_eq!(error["param"], "request_id");
        messages.push(error["message"].as_str().unwrap().replace(&format!("{id:?}"), "…"));
    }
    assert!(messages.iter().all(|message| *message == messages[0]), "{messages:#?}");
    let page = stranger.get(&format!("/v1/requests?key_id={}", world.agent_id)).await.success();
    assert_eq!(page["requests"], json!([]));
    server.agent(world.agent.secret()).rest().get(&format!("/v1/requests/{id}")).await.success();
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_keeps_no_records_keeps_the_sums() {
    on_every_store(async |place| {
        let upstream = ScriptedUpstream::start().await;
        let settings = Settings::at(&place).toml("usage.records = false").upstream(
            "scripted",
            &upstream.base_url(),
            &["gpt-*"],
        );
        let server = TestServer::start(settings).await;
        let (agent, _) = server.operator().equip(json!({"name": "unrecorded"})).await;
        let answer = agent.rest().post(crate::chat::CHAT, &json!({"model": "gpt-4o", "messages": []})).await;
        let id = answer.header("x-request-id").to_owned();
        answer.success();
        let server = server.restart().await;
        let agent = server.agent(agent.secret());
        assert_eq!(requests(&agent, "").await, Vec::<Value>::new());
        let missing = agent.rest().get(&format!("/v1/requests/{id}")).await.refused(404, "request_not_found");
        assert!(missing["message"].as_str().unwrap().contains("`usage.records`"), "{missing}");
        let summary = agent.rest().get("/v1/usage/summary").await.success();
        assert_eq!(summary["requests"]["complete"], 1);
    })
    .await;
}
