//! REST over gRPC methods, transcoded as their `google.api.http` rules say. It knows descriptors and HTTP, and
//! nothing of the services: what it calls is handed in as a `Backend`.
//!
//! The order of a request is: route, permission, headers of the body, body, fields, call. Permission comes
//! before anything about the body, so that a stranger can neither make the server read 32 MiB nor learn from
//! its field errors. 404 and 405 come first, since they say nothing that the API description does not.
//!
//! Not prost-reflect's JSON mapping: see `request` and `response` for what it cannot say.

mod backend;
mod base64;
mod bindings;
mod body;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod headers;
mod json;
mod names;
mod openapi;
mod percent;
mod query;
mod refusal;
mod request;
mod response;
mod router;
mod scalar;
mod shape;
mod template;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method as Verb, Response, header, request::Parts};
use http_body_util::{BodyExt, Empty, Full};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage};
use tonic::Status;

pub use self::{
    backend::{Backend, Body, UnaryAnswer},
    bindings::{Binding, BindingError, BindingProblem, BodyRule, Method},
    body::{BoxError, Crowded},
    headers::HeaderField,
    openapi::{About, document as openapi},
    refusal::{InvalidField, InvalidFields, Refusal},
};
use self::{
    json::Json,
    names::{Taken, field_named},
    refusal::Findings,
    request::BodyReader,
    router::Router,
};

/// The deepest JSON that can be configured: the readers recurse, and a worker's stack is 2 MiB.
const DEEPEST_JSON: usize = 512;

/// By which names what the protos say of the routes is found.
#[derive(Debug, Clone)]
pub struct Names {
    /// The package whose methods are bound: `orqen.v1`.
    pub package: String,
    /// The full name of the method option that says who may call, a message with the fields `grpc_only` and
    /// `chat_body`: `orqen.v1.access`.
    pub access_option: String,
    /// The full name of the field option that names a header: `orqen.v1.header`.
    pub header_option: String,
    /// The full name of the field option that says which values a field takes, for the description alone:
    /// `orqen.v1.bounds`.
    pub bounds_option: String,
}

/// Where the rules stand and what requests may cost.
#[derive(Debug, Clone)]
pub struct Options {
    /// By which names the rules are found.
    pub names: Names,
    /// The largest body, in bytes.
    pub account_body: usize,
    /// The largest body of methods with `chat_body`, in bytes.
    pub chat_body: usize,
    /// How deep JSON may be nested; at most 512.
    pub json_depth: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}

/// Turns HTTP requests into calls, and answers back into JSON.
#[derive(Debug)]
pub struct Transcoder<B> {
    router: Router,
    options: Options,
    backend: B,
}

/// Every binding of the package's methods: each rule and each of its aliases, in the order of the descriptors.
/// Errors name the first method that cannot be served.
pub fn bindings(pool: &DescriptorPool, names: &Names) -> Result<Vec<Binding>, BindingError> {
    bindings::read(pool, names)
}

impl<B: Backend> Transcoder<B> {
    /// Reads the rules of every method in the package. Errors name the first method that cannot be served.
    pub fn new(pool: &DescriptorPool, options: Options, backend: B) -> Result<Self, BindingError> {
        let bindings = bindings::read(pool, &options.names)?;
        Ok(Self { router: Router::new(bindings)?, options, backend })
    }

    /// Every route: each rule and each of its aliases, in the order of the descriptors.
    pub fn bindings(&self) -> &[Binding] {
        self.router.bindings()
    }

    /// Answers one request. `HEAD` is answered like `GET`, without the body.
    ///
    /// What of the body is not read, of a request that is refused, stays with the caller. Head and body are lent, since a
    /// head is some 250 bytes that would be copied at each step.
    pub async fn handle<R>(&self, head: &Parts, body: &mut R) -> Response<Body>
    where
        R: http_body::Body<Data = Bytes> + Send + Unpin,
        R::Error: Into<BoxError>,
    {
        let answer = self.answer(head, body).await;
        if head.method == Verb::HEAD { without_body(answer) } else { answer }
    }

    async fn answer<R>(&self, head: &Parts, body: &mut R) -> Response<Body>
    where
        R: http_body::Body<Data = Bytes> + Send + Unpin,
        R::Error: Into<BoxError>,
    {
        let (binding, values) = match self.router.find(&head.method, head.uri.path()) {
            Ok(found) => found,
            Err(refusal) => return self.refuse(&refusal, None, head),
        };
        let method = &*binding.method;
        let permit = match self.backend.authorize(method, head).await {
            Ok(permit) => permit,
            Err(status) => return self.backend.refuse_status(&status, head),
        };
        let body = match self.read_body(binding, head, body).await {
            Ok(body) => body,
            Err(refusal) => return self.refuse(&refusal, Some(&permit), head),
        };
        if method.raw {
            return self.backend.raw(method, permit, head, body).await;
        }
        let message = match self.message(binding, &values, head, &body) {
            Ok(message) => message,
            Err(refusal) => return self.refuse(&refusal, Some(&permit), head),
        };
        // Boxed, so that the requests whose bytes go through need not carry its future with them.
        match Box::pin(self.backend.unary(method, permit, head, message.encode_to_vec().into())).await {
            Ok(answer) => self.json(binding, answer, head),
            Err(status) => self.backend.refuse_status(&status, head),
        }
    }

    /// The body where the binding takes one; elsewhere it is not even read.
    async fn read_body<R>(&self, binding: &Binding, head: &Parts, body: &mut R) -> Result<Bytes, Refusal>
    where
        R: http_body::Body<Data = Bytes> + Send + Unpin,
        R::Error: Into<BoxError>,
    {
        if binding.body == BodyRule::None {
            return Ok(Bytes::new());
        }
        body::check_headers(&head.headers)?;
        let limit = match binding.method.chat_body {
            true => self.options.chat_body,
            false => self.options.account_body,
        };
        body::read(body, &head.headers, limit, self.options.body_timeout).await
    }

    /// The request message, or everything that is wrong with it.
    fn message(
        &self,
        binding: &Binding,
        values: &[String],
        head: &Parts,
        body: &Bytes,
    ) -> Result<DynamicMessage, Refusal> {
        let query = head.uri.query().unwrap_or_default();
        let mut message = DynamicMessage::new(binding.method.descriptor.input());
        let mut findings = Findings::default();
        query::fill_path(&mut message, &binding.by_path, values, &mut findings);
        headers::fill(&mut message, &binding.by_header, &head.headers, &mut findings);
        let mut taken = Taken::of(binding);
        match &binding.body {
            BodyRule::None => query::fill(&mut message, query, &taken, &mut findings),
            BodyRule::Whole => {
                query::refuse_all(query, &mut findings);
                let members = match self.parse(body, &mut findings)? {
                    // A body that was lost on its way must not be answered as done.
                    None if binding.mask.is_some() => {
                        let message =
                            "it is empty, and says nothing about what to change; to change nothing, send {}";
                        return Err(Refusal::InvalidJson { message: message.into() });
                    }
                    None => Vec::new(),
                    Some(Json::Object(members)) => members,
                    Some(other) => {
                        let message = format!("expected an object, got {}", other.shown());
                        return Err(Refusal::InvalidJson { message });
                    }
                };
                BodyReader::new(&mut findings).fill(&mut message, &members, &taken);
            }
            BodyRule::Field(field) => {
                taken.by_body = Some(field);
                query::fill(&mut message, query, &taken, &mut findings);
                if let Some(json) = self.parse(body, &mut findings)? {
                    BodyReader::new(&mut findings).fill_field(&mut message, field, &json);
                }
            }
            BodyRule::Bytes(field) => {
                taken.by_body = Some(field);
                query::fill(&mut message, query, &taken, &mut findings);
                request::fill_bytes(&mut message, field, body.clone());
            }
        }
        if !findings.is_empty() {
            let is_named = |field: &str, name: &str| {
                field_named(&message.descriptor(), name).is_some_and(|named| named.name() == field)
            };
            findings.add_others(self.backend.also_wrong(&message), is_named);
        }
        findings.into_result().map(|()| message)
    }

    /// The JSON of a body; `None` for an empty one.
    fn parse<'a>(&self, body: &'a [u8], findings: &mut Findings) -> Result<Option<Json<'a>>, Refusal> {
        if body.trim_ascii().is_empty() {
            return Ok(None);
        }
        let depth = self.options.json_depth.min(DEEPEST_JSON);
        json::parse(body, depth, findings).map(Some).map_err(|message| Refusal::InvalidJson { message })
    }

    fn json(&self, binding: &Binding, answer: UnaryAnswer, head: &Parts) -> Response<Body> {
        let decoded = DynamicMessage::decode(binding.method.descriptor.output(), answer.message);
        let Ok(message) = decoded else {
            let status = Status::internal("the answer does not fit its descriptor");
            return self.backend.refuse_status(&status, head);
        };
        let text = response::text(&message, binding.response_body.as_ref());
        let mut response =
            Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
        *response.headers_mut() = as_headers(answer.metadata.into_headers());
        headers::write(&message, binding, response.headers_mut());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }

    fn refuse(&self, refusal: &Refusal, permit: Option<&B::Permit>, head: &Parts) -> Response<Body> {
        let mut response = self.backend.refuse(refusal, permit, head);
        if let Refusal::MethodNotAllowed { allow, .. } = refusal {
            let verbs = allow.iter().map(Verb::as_str).collect::<Vec<_>>().join(", ");
            let verbs = HeaderValue::try_from(verbs).expect("verbs are header text");
            response.headers_mut().insert(header::ALLOW, verbs);
        }
        response
    }
}

/// The metadata that are headers in REST too: text, and neither gRPC's own nor about the connection or body.
fn as_headers(metadata: HeaderMap) -> HeaderMap {
    const NOT_OURS: [&str; 6] =
        ["content-type", "content-length", "connection", "transfer-encoding", "te", "trailer"];
    let mut headers = HeaderMap::with_capacity(metadata.len() + 1);
    let mut name = None;
    for (next, value) in metadata {
        name = next.or(name);
        if let Some(name) = &name {
            let text = name.as_str();
            if !text.starts_with("grpc-") && !text.ends_with("-bin") && !NOT_OURS.contains(&text) {
                headers.append(name.clone(), value);
            }
        }
    }
    headers
}

/// The answer to `HEAD`: every header of `GET`, its length included.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = http_body::Body::size_hint(&body).exact() {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    Response::from_parts(head, Empty::new().map_err(|never| match never {}).boxed_unsync())
}
