//! What the transcoder calls: permission, the method itself, and the table of errors. All three belong to higher
//! layers, which hand them in as one `Backend`.

use bytes::Bytes;
use http::request::Parts;
use http_body_util::combinators::UnsyncBoxBody;
use prost_reflect::DynamicMessage;
use tonic::{Status, metadata::MetadataMap};

use super::{
    bindings::Method,
    body::BoxError,
    refusal::{InvalidField, Refusal},
};

/// The body of an answer: at once, or as it comes.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// The answer of a unary call.
#[derive(Debug, Clone, Default)]
pub struct UnaryAnswer {
    /// What became headers in gRPC. Entries that REST has no use for (`grpc-*`, binary) are left out of its
    /// answer.
    pub metadata: MetadataMap,
    /// The encoded message.
    pub message: Bytes,
}

/// The services behind the routes.
pub trait Backend: Send + Sync + 'static {
    /// That a request may call a method.
    type Permit: Send + Sync;

    /// Whether this request may call this method. Asked before a byte of the body is read.
    fn authorize(
        &self,
        method: &Method,
        head: &Parts,
    ) -> impl Future<Output = Result<Self::Permit, Status>> + Send;

    /// Calls a unary method with the encoded request. `head` is there for an allowlist of headers.
    fn unary(
        &self,
        method: &Method,
        permit: Self::Permit,
        head: &Parts,
        message: Bytes,
    ) -> impl Future<Output = Result<UnaryAnswer, Status>> + Send;

    /// Calls a method over `google.api.HttpBody`: the body as it came, within its bounds and declared as JSON,
    /// but not looked into. The answer goes out as it is.
    fn raw(
        &self,
        method: &Method,
        permit: Self::Permit,
        head: &Parts,
        body: Bytes,
    ) -> impl Future<Output = http::Response<Body>> + Send;

    /// What else is wrong with a request of which some fields could not be read: `message` has the others. It is told
    /// with the rest, since all field errors come in one answer.
    fn also_wrong(&self, message: &DynamicMessage) -> Vec<InvalidField> {
        let _ = message;
        Vec::new()
    }

    /// The answer to a call that failed.
    fn refuse_status(&self, status: &Status, head: &Parts) -> http::Response<Body>;

    /// The answer to a request that is no call; `permit` is there once it was authorized.
    fn refuse(&self, refusal: &Refusal, permit: Option<&Self::Permit>, head: &Parts) -> http::Response<Body>;
}
