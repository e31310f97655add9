//! The end of an answer over typed gRPC: which is whole, which is not, and how long one is waited for.

use orqen::proto::v1::StreamChatCompletionRequest as Stream;
use serde_json::json;
use tonic::Status;

use crate::{
    chat::{COMPLETION, House, refusal, typed::asking, usage::recorded},
    support::{
        actors::{Agent, Caller},
        upstream::Reply,
    },
};

const MORE: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n";
const LAST: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";

/// How many chunks come of a stream that the provider answers with this.
async fn streamed(house: &House, agent: &Agent, reply: Reply) -> Result<usize, Status> {
    house.upstream.will(reply);
    let request = Stream { model: "gpt-4o".into(), ..Default::default() };
    let mut chunks = agent.grpc().chat().stream_chat_completion(request).await?.into_inner();
    let mut count = 0;
    while chunks.message().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_whole_when_it_says_so() {
    let house = House::new().await;
    let agent = house.agent().await;
    for (pieces, chunks) in [
        (&[MORE, LAST, "data: [DONE]\n\n"][..], 2),
        (&[MORE, LAST], 2),
        (&[MORE, LAST, ": a comment\n\n"], 2),
        (&[MORE, LAST, "data: [DONE]\n"], 2),
        (&["data: [DONE]\n\n"], 0),
    ] {
        assert_eq!(streamed(&house, &agent, Reply::events(pieces)).await.unwrap(), chunks, "{pieces:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_too_early_or_is_none_is_no_whole_answer() {
    let house = House::new().await;
    let agent = house.agent().await;
    for pieces in [&[MORE][..], &[], &[MORE, LAST, "data: {\"cho"], &[MORE, &LAST[..LAST.len() - 1]]] {
        let status = streamed(&house, &agent, Reply::events(pieces)).await.unwrap_err();
        refusal(&status).refused("upstream_unreachable");
    }
    let status = streamed(&house, &agent, Reply::json(COMPLETION)).await.unwrap_err();
    let outcome = refusal(&status);
    assert!(outcome.refused("upstream_unreachable").1.contains("application/json"), "{outcome:?}");
    // The stream that is none was a whole answer; it was asked for by the wrong call.
    recorded(&agent, json!({"total": 5, "complete": 1, "client": 0, "upstream": 4, "error": 0})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_client_is_told_of_an_end_is_what_the_record_says_through_every_door() {
    let house = House::new().await;
    let agent = house.agent().await;
    house.upstream.will(Reply::events(&[MORE]));
    let got = agent.posts(r#"{"model":"gpt-4o","stream":true}"#).await;
    assert_eq!(got.body, MORE, "the client sees for itself that there is no end");
    house.upstream.will(Reply::events(&[MORE, LAST]));
    agent.calls_raw(r#"{"model":"gpt-4o","stream":true}"#).await.unwrap();
    streamed(&house, &agent, Reply::events(&[MORE, "data: no chunk\n\n"])).await.unwrap_err();
    recorded(&agent, json!({"total": 3, "complete": 1, "client": 0, "upstream": 2, "error": 0})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_end_after_done_holds_nobody_up() {
    let house = House::new().await;
    let agent = house.agent().await;
    let (reply, stream) = Reply::stream();
    stream.send("data: [DONE]\n\n");
    assert_eq!(streamed(&house, &agent, reply).await.unwrap(), 0);
    recorded(&agent, json!({"total": 1, "complete": 1, "client": 0, "upstream": 0, "error": 0})).await;
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_answer_that_falls_silent_ends_with_the_deadline() {
    let house = House::with(|settings| settings.toml("idle_timeout = \"100ms\"")).await;
    let agent = house.agent().await;
    let half = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{\"id\":";
    house.upstream.will(Reply::stalled(half));
    let status = agent.grpc().chat().create_chat_completion(asking(vec![])).await.unwrap_err();
    refusal(&status).refused("upstream_timeout");
    house.upstream.will(Reply::stalled(half));
    let status = agent.calls_raw(r#"{"model":"gpt-4o"}"#).await.unwrap_err();
    refusal(&status).refused("upstream_timeout");
}
