//! Requests whose body comes late: they go by the rights that their caller has once the whole request is there, and
//! none may be held open for ever.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use orqen::proto::v1;
use prost::Message;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};

use crate::support::{
    actors::{Agent, Caller},
    grpc_web::framed,
    rest::{Answer, Rest, Sent},
    server::{Settings, TestServer},
    stores::Place,
};

/// A request that has sent its head and the beginning of its body.
struct Parked {
    rest: mpsc::Sender<Bytes>,
    answer: tokio::task::JoinHandle<Answer>,
}

impl Parked {
    /// Sends the first byte of `body`, and waits until the server has let the request in, which it does by the head.
    async fn send(client: &Rest, path: &str, content_type: &str, body: &Bytes) -> Self {
        let (rest, pieces) = mpsc::channel(1);
        let body_stream: Sent =
            StreamBody::new(ReceiverStream::new(pieces).map(|piece: Bytes| Ok(Frame::data(piece))))
                .boxed_unsync();
        let mut request: Request<()> = client.request(Method::POST, path);
        request.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        let client = client.clone();
        let answer =
            TaskTracker::new().spawn(async move { client.whole(request.map(|()| body_stream)).await });
        rest.send(body.slice(..1)).await.unwrap();
        // Nothing tells a client that it was let in; a fifth of a second is plenty for one look-up.
        tokio::time::sleep(Duration::from_millis(200)).await;
        Self { rest, answer }
    }

    /// Sends what is left of the body.
    async fn finish(self, body: &Bytes) -> Answer {
        self.rest.send(body.slice(1..)).await.unwrap();
        drop(self.rest);
        self.answer.await.unwrap()
    }
}

/// The first key of a server, and an agent whose key is revoked while its request is under way.
async fn revoked_meanwhile(path: &str, content_type: &str, body: Bytes, over_http2: bool) -> Answer {
    let server = TestServer::new().await;
    let operator = server.operator();
    let (agent, issued): (Agent, _) = operator.equip(json!({"name": "agent"})).await;
    let client = Rest::new(server.address()).bearer(agent.secret());
    let client = if over_http2 { client.over_http2() } else { client };
    let parked = Parked::send(&client, path, content_type, &body).await;
    let id = issued["id"].as_str().unwrap();
    operator.rest().delete(&format!("/v1/keys/{id}")).await.success();
    let answer = parked.finish(&body).await;
    let keys = operator.rest().get("/v1/keys").await.success();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "nothing was made");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_revoked_while_its_request_trickles_in_makes_no_key_over_rest() {
    let body = Bytes::from(json!({"name": "heir"}).to_string());
    let answer = Box::pin(revoked_meanwhile("/v1/keys", "application/json", body, false)).await;
    answer.refused(401, "api_key_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_revoked_while_its_request_trickles_in_chats_with_nobody() {
    let body = Bytes::from(
        json!({"model": "orqen/demo", "messages": [{"role": "user", "content": "Hi"}]}).to_string(),
    );
    let answer = Box::pin(revoked_meanwhile("/v1/chat/completions", "application/json", body, false)).await;
    answer.refused(401, "api_key_revoked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_revoked_while_its_request_trickles_in_makes_no_key_over_grpc() {
    let message = v1::CreateKeyRequest { name: "heir".into(), ..Default::default() };
    let body = framed(&message.encode_to_vec());
    let answer =
        Box::pin(revoked_meanwhile("/orqen.v1.KeyService/CreateKey", "application/grpc", body, true)).await;
    assert_eq!(Status::from_header_map(&answer.headers).unwrap().code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_request_that_does_not_arrive_in_time_is_told_so() {
    let settings = Settings::at(&Place::sqlite()).variable("ORQEN_LIMITS__BODY_TIMEOUT", "100ms");
    let server = TestServer::start(settings).await;
    let client = Rest::new(server.address()).bearer(server.first_key().unwrap()).over_http2();
    let body = framed(&v1::CreateKeyRequest::default().encode_to_vec());
    let parked = Parked::send(&client, "/orqen.v1.KeyService/CreateKey", "application/grpc", &body).await;
    let answer = parked.answer.await.unwrap();
    let status = Status::from_header_map(&answer.headers).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
}
