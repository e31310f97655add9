//! Every ending of a request leaves one record, and records, days, keys and summary add up to the same.

use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::{World, added_up, requests};
use crate::support::{
    actors::Caller,
    stores::{Place, on_every_store},
    upstream::Reply,
};

const OFFERING: &str = r#"{"model":"gpt-4o","messages":[],"tools":[{"type":"function","function":{"name":"gone","description":"a tool that nobody may use"}},{"type":"function","function":{"name":"a"}}]}"#;
const STREAMING: &str = r#"{"model":"gpt-4o","stream":true,"messages":[]}"#;

/// The words for how requests ended, and the status that their clients were told.
fn ends(records: &[Value]) -> Vec<(&str, Option<i64>)> {
    records.iter().map(|record| (record["ended"].as_str().unwrap(), record["status"].as_i64())).collect()
}

/// Requests that end in every way, in the order of the list that is given back.
async fn every_ending(world: &World) -> Vec<(&'static str, Option<i64>)> {
    let World { upstream, agent, .. } = world;
    agent.posts(OFFERING).await.success();
    agent.calls_raw(OFFERING).await.unwrap();
    upstream.will(Reply::events(&["data: 1\n\n", "data: [DONE]\n\n"]));
    let leaving = agent.over_http1();
    leaving.opens(STREAMING).await.into_body().collect().await.unwrap();
    drop(leaving);

    upstream.will(Reply::silence());
    let (leaving, place) = (agent.over_http1(), upstream.received().len());
    tokio::select! {
        answer = leaving.opens(STREAMING) => panic!("the provider said nothing, but: {answer:?}"),
        _ = upstream.request(place) => {}
    }
    drop(leaving);
    upstream.last().fate().await;
    let stream = upstream.will_stream();
    let leaving = agent.over_http1();
    let mut answer = leaving.opens(STREAMING).await;
    stream.send("data: 1\n\n");
    answer.frame().await.unwrap().unwrap();
    drop((answer, leaving));
    upstream.last().fate().await;

    upstream.will(Reply::status("500 Internal Server Error", &[], "{}"));
    assert_eq!(agent.posts(OFFERING).await.status, 500);
    upstream.will(Reply::status("401 Unauthorized", &[], "{}"));
    agent.posts(OFFERING).await.refused(502, "upstream_credential_rejected");
    upstream.will(Reply::raw(""));
    agent.posts(OFFERING).await.refused(502, "upstream_unreachable");
    let stream = upstream.will_stream();
    let answer = agent.opens(STREAMING).await;
    stream.send("data: 1\n\n");
    stream.cut();
    answer.into_body().collect().await.unwrap();

    let forced = r#"{"model":"gpt-4o","tools":[{"name":"gone"}],"tool_choice":"required"}"#;
    agent.posts(forced).await.refused(403, "tool_not_allowed");
    agent.posts("{").await.refused(400, "invalid_request_error");
    agent.posts(r#"{"model":"llama"}"#).await.refused(404, "model_not_found");
    vec![
        ("complete", Some(200)),
        ("complete", Some(200)),
        ("complete", Some(200)),
        ("client", None),
        ("client", Some(200)),
        ("upstream", Some(500)),
        ("upstream", Some(502)),
        ("upstream", Some(502)),
        ("upstream", Some(200)),
        ("error", Some(403)),
        ("error", Some(400)),
        ("error", Some(404)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn records_days_keys_and_summary_add_up_after_every_ending_and_a_stop() {
    on_every_store(async |place| {
        let world = World::at(&place).await;
        let expected = every_ending(&world).await;
        // Another key's, which is in the account's figures alone.
        world
            .operator
            .chat(json!({"model": "orqen/demo", "messages": [{"role": "user", "content": "x"}]}))
            .await
            .success();

        let World { server, agent, agent_id, upstream, .. } = world;
        let server = server.restart().await;
        let agent = server.agent(agent.secret());
        let mut records = requests(&agent, &format!("&key_id={agent_id}")).await;
        records.reverse();
        assert_eq!(ends(&records), expected, "{records:#?}");

        let summary = agent.usage_summary().await.success();
        let sums = added_up(&records);
        for (member, figures) in sums.as_object().unwrap() {
            assert_eq!(&summary[member], figures, "{member}: {summary:#}");
        }
        assert!(sums["tokens_saved"]["by_lists"].as_i64() > Some(0), "{sums}");
        let all = requests(&agent, "").await;
        assert_eq!(summary["account"], added_up(&all));
        assert_eq!(all.len(), records.len() + 1);

        let today = &summary["period_start"].as_str().unwrap()[..8];
        let days = agent.rest().get(&format!("/v1/usage/daily?first_day={today}01")).await.success();
        let days = days["days"].as_array().unwrap();
        // Midnight may pass, or the month end, while the test runs; the days before have nothing.
        assert!(days.iter().any(|day| day["usage"] == summary["account"]), "{days:#?}");
        let keys = agent.rest().get("/v1/usage/by-key").await.success();
        let keys = keys["keys"].as_array().unwrap();
        assert_eq!((&keys[0]["key_id"], &keys[0]["name"]), (&json!(agent_id), &json!("agent")));
        assert_eq!((&keys[0]["usage"], keys.len()), (&sums, 2));
        server.stop().await;
        drop(upstream);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_what_was_asked_and_what_came_of_it() {
    let world = World::at(&Place::sqlite()).await;
    let rest = world.agent.rest().with("x-orqen-session-id".parse().unwrap(), "chat 7");
    let answer = rest.send(http::Method::POST, crate::chat::CHAT, OFFERING).await;
    let id = answer.header("x-request-id").to_owned();
    let server = world.server.restart().await;
    let agent = server.agent(world.agent.secret());
    let record = agent.rest().get(&format!("/v1/account/requests/{id}")).await.success();
    for (member, expected) in [
        ("id", json!(id)),
        ("key_id", json!(world.agent_id)),
        ("generation", json!(1)),
        ("model", json!("gpt-4o")),
        ("upstream", json!("scripted")),
        ("streamed", json!(false)),
        ("status", json!(200)),
        ("ended", json!("complete")),
        ("routing", json!("keyword")),
        ("session", json!("chat 7")),
        ("policy_revision", json!(1)),
        ("tokens", json!({"prompt": null, "completion": null, "cached": null})),
        ("tools", json!({"input": 2, "denied": 1, "output": 1, "would_deny": 0, "called": 0})),
    ] {
        assert_eq!(record[member], expected, "{member}: {record:#}");
    }
    let latency = |member: &str| record["latency"][member].as_i64().unwrap();
    assert!(latency("first_byte_us") <= latency("total_us"), "{record:#}");
    assert_eq!(latency("upstream_us") + latency("orqen_us"), latency("total_us"));
    assert!(!record.to_string().contains("nobody may use"), "no text of the request");
    server.stop().await;
}
