//! Clients that leave at any point: each leaves one record, no slot, and no call to the provider that runs on.

use std::cell::RefCell;

use futures_util::future::join_all;
use http_body_util::BodyExt;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::*;
use crate::{
    chat::usage::recorded,
    support::{
        server::TestServer,
        stores::Place,
        upstream::{Fate, Reply, ScriptedUpstream},
    },
};

/// Agents that ask at the same time, each with a provider of its own.
const AGENTS: usize = 16;

/// Where a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    BeforeTheFirstByte,
    AfterEvents(usize),
    AtTheEnd,
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_clients_that_leave_anywhere_lose_nothing() {
    Box::pin(leaving(320)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: run it after changes of how answers end"]
async fn ten_thousand_clients_that_leave_anywhere_lose_nothing() {
    Box::pin(leaving(10_000)).await;
}

async fn leaving(requests: usize) {
    let upstreams: Vec<_> = join_all((0..AGENTS).map(|_| ScriptedUpstream::start())).await;
    let settings = Settings::at(&Place::sqlite()).variable(CONCURRENT, "1000");
    let settings = upstreams.iter().enumerate().fold(settings, |settings, (at, upstream)| {
        settings.upstream(&format!("u{at}"), &upstream.base_url(), &[&format!("m{at}")])
    });
    let server = TestServer::start(settings).await;
    let operator = server.operator();
    let agent = operator.equip(json!({"name": "agent"})).await.0;
    let ends = RefCell::new([0_usize; 2]);
    let each = requests.div_ceil(AGENTS);
    join_all(upstreams.iter().enumerate().map(async |(at, upstream)| {
        let mut random = StdRng::seed_from_u64(at as u64);
        for place in 0..each {
            let leaves = match random.random_range(0..8) {
                0 | 1 => Leaves::BeforeTheFirstByte,
                2 => Leaves::AtTheEnd,
                _ => Leaves::AfterEvents(random.random_range(0..5)),
            };
            let way = [Way::RestStream, Way::Raw, Way::TypedStream][random.random_range(0..3)];
            Box::pin(one(&agent, (upstream, place), &format!("m{at}"), (way, leaves))).await;
            ends.borrow_mut()[usize::from(leaves == Leaves::AtTheEnd)] += 1;
        }
    }))
    .await;
    let [client, complete] = ends.into_inner();
    let expected = json!({"total": client + complete, "complete": complete, "client": client, "upstream": 0, "error": 0});
    recorded(&agent, expected).await;
    // Not one slot is held: one is enough for whoever comes next.
    let account = operator.account_id().await;
    operator.update_policy(&account, json!({"concurrent_requests": 1})).await.success();
    agent.asks(Way::Rest).await.unwrap();
    let received: usize = upstreams.iter().map(|upstream| upstream.received().len()).sum();
    assert_eq!(received, client + complete);
    server.stop().await;
}

/// One request of `agent`, from which its client leaves; then the provider has seen its end.
async fn one(
    agent: &Agent,
    (upstream, place): (&ScriptedUpstream, usize),
    model: &str,
    (way, leaves): (Way, Leaves),
) {
    // Over connections of its own: to leave is to close one.
    let agent = agent.over_http1();
    let body = json!({"model": model, "stream": true, "messages": []});
    if leaves == Leaves::BeforeTheFirstByte {
        upstream.will(Reply::silence());
        tokio::select! {
            () = reads(&agent, way, &body, usize::MAX) => panic!("the provider said nothing"),
            _ = upstream.request(place) => {}
        }
    } else {
        let stream = upstream.will_stream();
        for number in 0..6 {
            stream.send(&format!("data: {{\"id\":\"{number}\",\"choices\":[]}}\n\n"));
        }
        match leaves {
            Leaves::AfterEvents(events) => reads(&agent, way, &body, events).await,
            _ => {
                stream.send("data: [DONE]\n\n");
                stream.end();
                reads(&agent, way, &body, usize::MAX).await;
            }
        }
    }
    drop(agent);
    let fate = upstream.request(place).await.fate().await;
    let expected = if leaves == Leaves::AtTheEnd { Fate::Answered } else { Fate::CutByGateway };
    assert_eq!(fate, expected, "{way:?} {leaves:?}");
}

/// Asks, and reads so many events of the answer, or all there are. Events that come together may come in one piece.
async fn reads(agent: &Agent, way: Way, body: &Value, events: usize) {
    let in_piece = |piece: &[u8]| piece.windows(2).filter(|two| two == b"\n\n").count();
    let mut seen = 0;
    match way {
        Way::RestStream => {
            let mut answer = agent.opens(body.to_string()).await;
            while seen < events {
                let Some(frame) = answer.frame().await else { return };
                seen += in_piece(frame.unwrap().data_ref().unwrap());
            }
        }
        Way::Raw => {
            let answer = agent.grpc().chat().create_raw_chat_completion(http_body(body.to_string())).await;
            let mut answer = answer.unwrap().into_inner();
            while seen < events {
                let Some(piece) = answer.message().await.unwrap() else { return };
                seen += in_piece(&piece.data);
            }
        }
        _ => {
            let model = body["model"].as_str().unwrap().to_owned();
            let request = v1::StreamChatCompletionRequest { model, ..Default::default() };
            let mut answer = agent.grpc().chat().stream_chat_completion(request).await.unwrap().into_inner();
            while seen < events && answer.message().await.unwrap().is_some() {
                seen += 1;
            }
        }
    }
}
