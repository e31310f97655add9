//! Usage: the records of requests, their sums by day and by key, and the summary say the same, whatever happened.

mod endings;
mod killed;
mod panics;
mod refused;
mod requests;

use serde_json::{Value, json};

use crate::support::{
    actors::{Agent, Caller, Operator},
    server::{Settings, TestServer},
    stores::Place,
    upstream::ScriptedUpstream,
};

/// A server with an upstream, `scripted`, that serves `gpt-*`, and an agent that may not use the tool `gone`.
struct World {
    upstream: ScriptedUpstream,
    server: TestServer,
    operator: Operator,
    agent: Agent,
    agent_id: String,
}

impl World {
    async fn at(place: &Place) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let settings = Settings::at(place).toml("policy.requests_per_minute = \"unlimited\"").upstream(
            "scripted",
            &upstream.base_url(),
            &["gpt-*"],
        );
        let server = TestServer::start(settings).await;
        let operator = server.operator();
        let (agent, issued) = operator.equip(json!({"name": "agent", "denied_tools": ["gone"]})).await;
        let agent_id = issued["id"].as_str().unwrap().to_owned();
        Self { upstream, server, operator, agent, agent_id }
    }
}

/// All requests that fit the query, newest first, in pages of three.
async fn requests(caller: &impl Caller, query: &str) -> Vec<Value> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/requests?page_size=3&page_token={token}{query}");
        let page = caller.rest().get(&path).await.success();
        all.extend(page["requests"].as_array().unwrap().iter().cloned());
        token = page["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            return all;
        }
    }
}

/// What records add up to, in the form of the summary.
fn added_up(records: &[Value]) -> Value {
    let of = |path: &str| -> i64 {
        records.iter().map(|record| record.pointer(path).and_then(Value::as_i64).unwrap_or(0)).sum()
    };
    let ended = |word: &str| records.iter().filter(|record| record["ended"] == word).count();
    let (by_pruning, by_lists) = (of("/tokens_saved/by_pruning"), of("/tokens_saved/by_lists"));
    json!({
        "requests": {
            "total": records.len(),
            "complete": ended("complete"),
            "client": ended("client"),
            "upstream": ended("upstream"),
            "error": ended("error"),
        },
        "tools": {
            "input": of("/tools/input"),
            "denied": of("/tools/denied"),
            "output": of("/tools/output"),
            "would_deny": of("/tools/would_deny"),
            "called": of("/tools/called"),
        },
        "estimated_tokens_saved": by_pruning + by_lists,
        "tokens": {
            "prompt": of("/tokens/prompt"),
            "completion": of("/tokens/completion"),
            "cached": of("/tokens/cached"),
        },
        "tokens_saved": {"by_pruning": by_pruning, "by_lists": by_lists},
        "recall_misses": of("/recall_misses"),
    })
}
