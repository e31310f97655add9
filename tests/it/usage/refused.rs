//! What is refused, or left, between the guard and the pipeline leaves one record too; what was never let in leaves none.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use orqen::proto::v1;
use serde_json::{Value, json};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

use super::requests;
use crate::{
    chat::{CHAT, House, http_body},
    support::{
        actors::{Agent, Caller},
        grpc_web,
        rest::Sent,
    },
};

const ASKING: &str = r#"{"model":"gpt-4o","messages":[]}"#;
const TYPED: &str = "/orqen.v1.ChatService/CreateChatCompletion";

/// The records of the agent's requests so far, oldest first, once there are as many as expected.
async fn records(agent: &Agent, expected: usize) -> Vec<Value> {
    for _ in 0..400 {
        let mut records = requests(agent, "").await;
        if records.len() >= expected {
            records.reverse();
            return records;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("there are {} records and not {expected}", requests(agent, "").await.len());
}

/// How the records ended, and with which status.
fn ends(records: &[Value]) -> Vec<(&str, Option<i64>)> {
    records.iter().map(|record| (record["ended"].as_str().unwrap(), record["status"].as_i64())).collect()
}

/// Everything that is refused once a caller was let in, and before its request is read as one.
async fn early_refusals(agent: &Agent) -> Vec<i64> {
    let rest = agent.rest();
    let of = |name, value: &str| rest.with(name, value);
    let post = async |rest: &crate::support::rest::Rest, body: String| {
        rest.send(Method::POST, CHAT, body).await.status.as_u16()
    };
    assert_eq!(post(&of(header::CONTENT_TYPE, "text/plain"), ASKING.into()).await, 415);
    assert_eq!(post(&of(header::CONTENT_ENCODING, "gzip"), ASKING.into()).await, 415);
    assert_eq!(post(rest, "a".repeat(5_000)).await, 413);

    let mut chat = agent.grpc().chat();
    let mut odd = http_body(ASKING);
    odd.content_type = "text/plain".into();
    chat.create_raw_chat_completion(odd).await.unwrap_err();
    chat.create_raw_chat_completion(http_body("a".repeat(5_000))).await.unwrap_err();
    let unwritable = || v1::CreateChatCompletionRequest { temperature: Some(f64::NAN), ..Default::default() };
    chat.create_chat_completion(unwritable()).await.unwrap_err();
    let streaming = v1::StreamChatCompletionRequest { temperature: Some(f64::NAN), ..Default::default() };
    chat.stream_chat_completion(streaming).await.unwrap_err();
    for body in [vec![0x0a, 0x7f, b'x'], vec![0x0f, 0x01], b"{}".to_vec()] {
        let web = agent.grpc_web();
        grpc_web::read(&web.send(TYPED, grpc_web::framed(&body)).await).unwrap_err();
    }
    vec![415, 415, 413, 415, 413, 400, 400, 400, 400, 400]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_before_it_is_read_as_a_request_leaves_one_record_by_every_door() {
    let house = House::with(|settings| settings.variable("ORQEN_LIMITS__CHAT_BODY", "4096")).await;
    let agent = house.agent().await;
    let statuses = early_refusals(&agent).await;
    agent.posts(ASKING).await.success();
    let records = records(&agent, statuses.len() + 1).await;
    let mut expected: Vec<_> = statuses.into_iter().map(|status| ("error", Some(status))).collect();
    expected.push(("complete", Some(200)));
    assert_eq!(ends(&records), expected, "{records:#?}");
    for record in &records {
        assert_eq!((&record["generation"], &record["policy_revision"]), (&json!(1), &json!(1)), "{record:#}");
    }
    assert_eq!(house.upstream.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_within_its_body_leaves_a_record() {
    let house = House::new().await;
    let agent = house.agent().await;
    let (pieces, waiting) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body: Sent =
        StreamBody::new(ReceiverStream::new(waiting).map(|piece| Ok(Frame::data(piece)))).boxed_unsync();
    let leaving = agent.over_http1();
    let request = leaving.rest().request(Method::POST, CHAT).map(|()| body);
    pieces.send(Bytes::from_static(b"{")).await.unwrap();
    let asked = tokio::time::timeout(Duration::from_millis(300), leaving.rest().open(request)).await;
    assert!(asked.is_err(), "it waits for the rest of the body");
    drop((pieces, leaving));
    assert_eq!(ends(&records(&agent, 1).await), [("client", None)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_revoked_within_its_body_leaves_a_record_and_a_stranger_none() {
    let house = House::new().await;
    let (agent, issued) = house.operator.equip(json!({"name": "agent"})).await;
    let (pieces, waiting) = tokio::sync::mpsc::channel::<Bytes>(1);
    let body: Sent =
        StreamBody::new(ReceiverStream::new(waiting).map(|piece| Ok(Frame::data(piece)))).boxed_unsync();
    let request = agent.rest().request(Method::POST, CHAT).map(|()| body);
    let revoking = async {
        pieces.send(Bytes::from_static(b"{")).await.unwrap();
        // Nothing tells a client that it was let in; a fifth of a second is plenty for one look-up.
        tokio::time::sleep(Duration::from_millis(200)).await;
        house.operator.revoke_key(issued["id"].as_str().unwrap()).await.success();
        drop(pieces);
    };
    let (answer, ()) = tokio::join!(agent.rest().whole(request), revoking);
    answer.refused(401, "api_key_revoked");
    agent.posts(ASKING).await.refused(401, "api_key_revoked");
    house.server.anonymous().rest().send(Method::POST, CHAT, ASKING).await.refused(401, "invalid_api_key");
    let other = house.agent().await;
    other.posts(ASKING).await.success();
    assert_eq!(ends(&records(&other, 2).await), [("error", Some(401)), ("complete", Some(200))]);
}
