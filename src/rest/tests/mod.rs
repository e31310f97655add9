//! REST against a scripted backend: our own descriptors for what the routes promise, and a made-up package for
//! the types and rules that no route of ours has yet.

mod answers;
mod bodies;
mod fields;
mod headers;
mod kinds;
mod laws;
mod routing;
mod start;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::json;
use tonic::Status;

use super::{Backend, Body, Method, Options, Refusal, Transcoder, UnaryAnswer};
use crate::proto::POOL;

/// Permits, answers and remembers as told.
#[derive(Default)]
struct Scripted {
    denies: Mutex<Option<Status>>,
    answer: Mutex<Option<Result<UnaryAnswer, Status>>>,
    calls: Mutex<Vec<(String, Bytes)>>,
    asked: Mutex<usize>,
    refused: Mutex<Vec<Refusal>>,
}

fn full(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

impl Backend for Arc<Scripted> {
    type Permit = ();

    async fn authorize(&self, _method: &Method, _head: &Parts) -> Result<(), Status> {
        *self.asked.lock().unwrap() += 1;
        self.denies.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    async fn unary(
        &self,
        method: &Method,
        (): (),
        _head: &Parts,
        message: Bytes,
    ) -> Result<UnaryAnswer, Status> {
        self.calls.lock().unwrap().push((method.grpc_path.clone(), message));
        self.answer.lock().unwrap().clone().unwrap_or_else(|| Ok(UnaryAnswer::default()))
    }

    async fn raw(&self, method: &Method, (): (), _head: &Parts, body: Bytes) -> Response<Body> {
        self.calls.lock().unwrap().push((method.grpc_path.clone(), body.clone()));
        full(StatusCode::OK, body)
    }

    fn refuse_status(&self, status: &Status, _head: &Parts) -> Response<Body> {
        let code = match status.code() {
            tonic::Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        full(code, status.message().to_owned())
    }

    fn refuse(&self, refusal: &Refusal, _permit: Option<&()>, _head: &Parts) -> Response<Body> {
        self.refused.lock().unwrap().push(refusal.clone());
        let status = match refusal {
            Refusal::RouteNotFound { .. } => 404,
            Refusal::MethodNotAllowed { .. } => 405,
            Refusal::UnsupportedMediaType { .. } | Refusal::UnsupportedEncoding { .. } => 415,
            Refusal::TooLarge { .. } => 413,
            Refusal::BodyTimeout { .. } => 408,
            Refusal::Crowded => 503,
            Refusal::BodyUnreadable | Refusal::InvalidJson { .. } | Refusal::InvalidFields(_) => 400,
        };
        full(StatusCode::from_u16(status).unwrap(), refusal.to_string())
    }
}

struct Rest {
    transcoder: Transcoder<Arc<Scripted>>,
    backend: Arc<Scripted>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

fn names(package: &str) -> super::Names {
    super::Names {
        package: package.to_owned(),
        access_option: "orqen.v1.access".to_owned(),
        header_option: "orqen.v1.header".to_owned(),
        bounds_option: "orqen.v1.bounds".to_owned(),
    }
}

fn options(package: &str) -> Options {
    Options {
        names: names(package),
        account_body: 1 << 20,
        chat_body: 32 << 20,
        json_depth: 128,
        body_timeout: Duration::from_secs(10),
    }
}

impl Rest {
    fn orqen() -> Self {
        Self::over(&POOL, options("orqen.v1"))
    }

    fn made_up(messages: serde_json::Value, methods: serde_json::Value) -> Self {
        Self::over(&made_up(messages, methods), options("test"))
    }

    fn over(pool: &DescriptorPool, options: Options) -> Self {
        let backend = Arc::new(Scripted::default());
        Self { transcoder: Transcoder::new(pool, options, Arc::clone(&backend)).unwrap(), backend }
    }

    fn answers(&self, message: &impl Message) {
        let message = message.encode_to_vec().into();
        *self.backend.answer.lock().unwrap() = Some(Ok(UnaryAnswer { message, ..UnaryAnswer::default() }));
    }

    async fn handle<R>(&self, request: Request<R>) -> Response<Body>
    where
        R: http_body::Body<Data = Bytes> + Send,
        R::Error: Into<crate::rest::BoxError>,
    {
        let (head, body) = request.into_parts();
        let mut body = std::pin::pin!(body);
        self.transcoder.handle(&head, &mut body).await
    }

    async fn send(&self, request: Request<impl Into<Bytes>>) -> Answer {
        let response = self.handle(request.map(|body| Full::new(body.into()))).await;
        let (head, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, text }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body("").unwrap()).await
    }

    /// With curl's header.
    async fn json(&self, verb: &str, uri: &str, body: impl Into<Bytes>) -> Answer {
        let request = Request::builder().method(verb).uri(uri).header("content-type", "application/json");
        self.send(request.body(body).unwrap()).await
    }

    /// The last call that came through.
    fn called<M: Message + Default>(&self) -> M {
        M::decode(self.backend.calls.lock().unwrap().last().expect("a call came through").1.clone()).unwrap()
    }

    fn path_called(&self) -> Option<String> {
        self.backend.calls.lock().unwrap().last().map(|(path, _)| path.clone())
    }

    /// The fields that the last refusal names.
    fn fields_refused(&self) -> Vec<(String, String)> {
        match self.backend.refused.lock().unwrap().last() {
            Some(Refusal::InvalidFields(all)) => {
                all.fields.iter().map(|one| (one.field.clone(), one.message.clone())).collect()
            }
            other => panic!("expected invalid fields, got {other:?}"),
        }
    }
}

/// A pool with the package `test` beside ours: its messages and the methods of one service, as JSON of
/// `DescriptorProto` and `MethodDescriptorProto`.
fn made_up(messages: serde_json::Value, methods: serde_json::Value) -> DescriptorPool {
    let file = json!({
        "name": "test.proto", "package": "test", "syntax": "proto3",
        "dependency": [
            "google/api/annotations.proto", "google/api/httpbody.proto", "google/protobuf/timestamp.proto",
            "google/protobuf/struct.proto", "google/protobuf/field_mask.proto", "google/protobuf/any.proto",
            "orqen/v1/access.proto", "orqen/v1/header.proto",
        ],
        "messageType": messages,
        "service": [{"name": "Test", "method": methods}],
    });
    let of = POOL.get_message_by_name("google.protobuf.FileDescriptorProto").unwrap();
    let file = DynamicMessage::deserialize(of, file).unwrap();
    let mut pool = POOL.clone();
    pool.decode_file_descriptor_proto(file.encode_to_vec().as_slice()).unwrap();
    pool
}

/// A method with a rule and an access option.
fn method(name: &str, input: &str, output: &str, rule: serde_json::Value) -> serde_json::Value {
    json!({
        "name": name, "inputType": input, "outputType": output,
        "options": {"[google.api.http]": rule, "[orqen.v1.access]": {"requires": "REQUIREMENT_ANY"}},
    })
}

fn field(name: &str, number: u32, kind: &str) -> serde_json::Value {
    let label = if kind.starts_with('*') { "LABEL_REPEATED" } else { "LABEL_OPTIONAL" };
    let kind = kind.trim_start_matches('*');
    match kind.strip_prefix('.') {
        Some(_) => {
            json!({"name": name, "number": number, "label": label, "type": "TYPE_MESSAGE", "typeName": kind})
        }
        None => json!({"name": name, "number": number, "label": label, "type": kind}),
    }
}
