//! Chat: what a scripted provider receives of what an agent sends, and what the agent gets of its answer.
//!
//! A `House` is a server with one upstream, `scripted`, that serves `gpt-*` and `o*`; an agent speaks to it through
//! one of the doors that take bytes, or with typed messages.

mod corpus;
mod demo;
mod embeddings;
mod errors;
mod explain;
mod fidelity;
mod headers;
pub(crate) mod pruning;
mod retries;
pub(crate) mod spellings;
mod stop;
mod streams;
mod toolchoice;
pub(crate) mod toollists;
pub(crate) mod typed;
mod typed_streams;
pub(crate) mod usage;
mod withheld;
mod withheld_streams;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use orqen::proto::google::api::HttpBody;
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::{
    actors::{Agent, Caller, Operator},
    rest::Answer,
    server::{Settings, TestServer},
    stores::Place,
    upstream::ScriptedUpstream,
};

/// The path of the chat route.
pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A whole answer of a provider, in its own odd spelling.
pub(crate) const COMPLETION: &str = "{ \"id\":\"chatcmpl-1\",\n\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"gpt-4o-2024-08-06\",\"choices\":[ {\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"caf\\u00e9\",\"x-more\":[]},\"finish_reason\":\"stop\",\"logprobs\":null}],\"usage\":{\"prompt_tokens\":12345678901234567890,\"completion_tokens\":1,\"total_tokens\":2}, \"system_fingerprint\":\"fp_1\" ,\"x\":1.0}\n";

/// A server, and the upstream behind it.
pub(crate) struct House {
    pub(crate) upstream: ScriptedUpstream,
    pub(crate) server: TestServer,
    pub(crate) operator: Operator,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    /// With more settings; text of `orqen.toml` goes on in the table of the upstream.
    pub(crate) async fn with(change: impl FnOnce(Settings) -> Settings) -> Self {
        let upstream = ScriptedUpstream::start().await;
        let settings = Settings::at(&Place::sqlite())
            .toml("policy.requests_per_minute = \"unlimited\"")
            .upstream("scripted", &upstream.base_url(), &["gpt-*", "o*"]);
        let server = TestServer::start(change(settings)).await;
        let operator = server.operator();
        Self { upstream, server, operator }
    }

    /// An agent that may use every tool.
    pub(crate) async fn agent(&self) -> Agent {
        self.agent_with(json!({})).await
    }

    /// An agent whose key was made with these fields.
    pub(crate) async fn agent_with(&self, mut fields: Value) -> Agent {
        fields["name"] = json!("agent");
        self.operator.equip(fields).await.0
    }

    /// An agent that may not use these tools.
    pub(crate) async fn denied(&self, tools: &[&str]) -> Agent {
        self.agent_with(json!({"denied_tools": tools})).await
    }
}

/// A way in for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Rest,
    Grpc,
}

/// All of them.
pub(crate) const DOORS: [Door; 2] = [Door::Rest, Door::Grpc];

/// What came of a request, whichever door it took.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// An answer of the provider.
    Answered { headers: HeaderMap, body: Bytes },
    /// Orqen's own refusal: its code, in lower case, the parameter and the sentence.
    Refused { code: String, param: Option<String>, message: String },
}

impl Outcome {
    /// The headers of a success.
    #[track_caller]
    pub(crate) fn headers(&self) -> &HeaderMap {
        match self {
            Self::Answered { headers, .. } => headers,
            Self::Refused { .. } => panic!("{self:?}"),
        }
    }

    /// A header of a success, as text.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name).map(|value| value.to_str().unwrap())
    }

    /// The parameter and sentence of a refusal with this code.
    #[track_caller]
    pub(crate) fn refused(&self, expected: &str) -> (&str, &str) {
        match self {
            Self::Refused { code, param, message } if code == expected => {
                (param.as_deref().unwrap_or_default(), message)
            }
            _ => panic!("not {expected}: {self:?}"),
        }
    }
}

impl Agent {
    /// Sends these bytes over REST and waits for the whole answer.
    pub(crate) async fn posts(&self, body: impl Into<Bytes>) -> Answer {
        self.rest().send(Method::POST, CHAT, body).await
    }

    /// Sends these bytes over REST and returns with the head of the answer.
    pub(crate) async fn opens(&self, body: impl Into<Bytes>) -> Response<Incoming> {
        let mut request = self.rest().request(Method::POST, CHAT);
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        self.rest().open(request.map(|()| Full::new(body.into()).boxed_unsync())).await
    }

    /// Sends these bytes over gRPC: the metadata and every piece of the answer.
    pub(crate) async fn calls_raw(
        &self,
        body: impl Into<Bytes>,
    ) -> Result<(HeaderMap, Vec<HttpBody>), Status> {
        let answer = self.grpc().chat().create_raw_chat_completion(http_body(body)).await?;
        let headers = answer.metadata().clone().into_headers();
        let mut pieces = Vec::new();
        let mut stream = answer.into_inner();
        while let Some(piece) = stream.message().await? {
            pieces.push(piece);
        }
        Ok((headers, pieces))
    }

    /// Sends these bytes through a door, and checks that a refusal has the status that its code demands.
    pub(crate) async fn enters(&self, door: Door, body: impl Into<Bytes>) -> Outcome {
        match door {
            Door::Rest => {
                let answer = self.posts(body).await;
                if answer.status.is_success() {
                    return Outcome::Answered { headers: answer.headers, body: answer.body };
                }
                let error = answer.json()["error"].clone();
                let code = error["code"].as_str().unwrap().to_owned();
                assert_eq!(i32::from(answer.status.as_u16()), statuses(&code).0, "{answer:?}");
                let message = error["message"].as_str().unwrap().to_owned();
                Outcome::Refused { code, param: error["param"].as_str().map(str::to_owned), message }
            }
            Door::Grpc => match self.calls_raw(body).await {
                Ok((headers, pieces)) => {
                    let whole = pieces.into_iter().fold(BytesMut::new(), |mut whole, piece| {
                        whole.extend_from_slice(&piece.data);
                        whole
                    });
                    Outcome::Answered { headers, body: whole.freeze() }
                }
                Err(status) => refusal(&status),
            },
        }
    }
}

/// A gRPC status of Orqen's own as an outcome.
pub(crate) fn refusal(status: &Status) -> Outcome {
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    let code = info.reason.to_lowercase();
    assert_eq!(status.code(), statuses(&code).1, "{status:?}");
    let param = info.metadata.get("param").cloned();
    Outcome::Refused { code, param, message: status.message().to_owned() }
}

/// The contract's table of errors, as far as chat goes.
fn statuses(code: &str) -> (i32, Code) {
    match code {
        "invalid_request_error" => (400, Code::InvalidArgument),
        "tool_not_allowed" => (403, Code::PermissionDenied),
        "model_not_found" => (404, Code::NotFound),
        "request_too_large" => (413, Code::ResourceExhausted),
        "unsupported_media_type" => (415, Code::InvalidArgument),
        "upstream_unreachable" | "upstream_credential_rejected" => (502, Code::Unavailable),
        "upstream_timeout" => (504, Code::DeadlineExceeded),
        "internal_error" => (500, Code::Internal),
        other => panic!("a code that chat has no use for: {other}"),
    }
}

/// A raw request.
pub(crate) fn http_body(body: impl Into<Bytes>) -> HttpBody {
    HttpBody { content_type: "application/json".into(), data: body.into(), extensions: Vec::new() }
}
