//! Whether a key was ever there must not be told by how long its refusal takes.
//!
//! Coarse, so that it holds on any machine: medians of turns taken one after the other, within a factor that only
//! another way of looking, such as a second trip to the store for one of the two, would exceed.

use std::time::{Duration, Instant};

use orqen::domain::secret::PlainSecret;
use serde_json::json;

use crate::support::{
    actors::{Agent, Caller},
    server::TestServer,
};

/// How many times as long the one may take as the other.
const FACTOR: u32 = 8;
const TURNS: usize = 41;

async fn takes(agent: &Agent, code: &str) -> Duration {
    let began = Instant::now();
    agent.list_keys("").await.refused(401, code);
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_refused_about_as_quickly_as_a_revoked_one() {
    let server = TestServer::new().await;
    let operator = server.operator();
    let (mut unknown, mut revoked) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        // Each for the first time, so that no cache answers.
        let (agent, issued) = operator.equip(json!({"name": "short-lived"})).await;
        operator.revoke_key(issued["id"].as_str().unwrap()).await.success();
        let stranger = server.agent(PlainSecret::generate(&mut rand::rng()).expose());
        for agent in [&agent, &stranger] {
            // The connection is there.
            agent.rest().get("/healthz").await;
        }
        unknown.push(takes(&stranger, "invalid_api_key").await);
        revoked.push(takes(&agent, "api_key_revoked").await);
    }
    let (unknown, revoked) = (median(unknown), median(revoked));
    let floor = Duration::from_millis(1);
    assert!(
        unknown < FACTOR * revoked.max(floor) && revoked < FACTOR * unknown.max(floor),
        "unknown {unknown:?}, revoked {revoked:?}"
    );
    server.stop().await;
}
