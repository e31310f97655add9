//! The way from a request to a message for the fuzz targets, without a server: route, fields, and the way back.

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Empty};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use tonic::Status;

use super::{
    Backend, Binding, BindingError, Body, BodyRule, Method, Options, Refusal, Transcoder, UnaryAnswer,
    json::{self, Json},
    names::Taken,
    refusal::Findings,
    request::BodyReader,
    response,
};

/// The routes, without anything behind them.
pub(crate) struct Reader(Transcoder<Nobody>);

/// A request that was taken.
pub(crate) struct Taking {
    /// What a method would be called with.
    pub(crate) message: DynamicMessage,
    /// Whether the body was read as JSON.
    pub(crate) json: bool,
}

impl Reader {
    /// Reads the routes of a pool.
    pub(crate) fn new(pool: &DescriptorPool, options: Options) -> Result<Self, BindingError> {
        Transcoder::new(pool, options, Nobody).map(Self)
    }

    /// The message of a request; `None` where it is refused, and where its bytes would go on as they are.
    pub(crate) fn take(&self, request: Request<Bytes>) -> Option<Taking> {
        let (head, body) = request.into_parts();
        let (binding, values) = self.0.router.find(&head.method, head.uri.path()).ok()?;
        if binding.method.raw {
            return None;
        }
        let mut message = self.0.message(binding, &values, &head, &body).ok()?;
        without_bytes_and_mask(&mut message, binding);
        Some(Taking { message, json: matches!(binding.body, BodyRule::Whole | BodyRule::Field(_)) })
    }
}

/// What has no JSON of its own: the body as it is, and the names of its members.
fn without_bytes_and_mask(message: &mut DynamicMessage, binding: &Binding) {
    if let BodyRule::Bytes(field) = &binding.body {
        message.clear_field(field);
    }
    binding.mask.iter().for_each(|mask| message.clear_field(mask));
}

/// A message as an answer would have it.
pub(crate) fn text(message: &DynamicMessage) -> Vec<u8> {
    response::text(message, None)
}

/// A message out of the JSON of one, or what is wrong with that.
pub(crate) fn read(of: MessageDescriptor, text: &[u8]) -> Result<DynamicMessage, String> {
    let mut findings = Findings::default();
    let json = json::parse(text, super::DEEPEST_JSON, &mut findings)?;
    let Json::Object(members) = json else { return Err("it is no object".to_owned()) };
    let mut message = DynamicMessage::new(of);
    BodyReader::new(&mut findings).fill(&mut message, &members, &Taken::NOTHING);
    findings.into_result().map(|()| message).map_err(|refusal| refusal.to_string())
}

/// Nothing that could be called: requests are read, and go nowhere.
struct Nobody;

impl Backend for Nobody {
    type Permit = ();

    async fn authorize(&self, _method: &Method, _head: &Parts) -> Result<(), Status> {
        Ok(())
    }

    async fn unary(&self, _: &Method, (): (), _: &Parts, _: Bytes) -> Result<UnaryAnswer, Status> {
        Ok(UnaryAnswer::default())
    }

    async fn raw(&self, _method: &Method, (): (), _head: &Parts, _body: Bytes) -> Response<Body> {
        nothing()
    }

    fn refuse_status(&self, _status: &Status, _head: &Parts) -> Response<Body> {
        nothing()
    }

    fn refuse(&self, _refusal: &Refusal, _permit: Option<&()>, _head: &Parts) -> Response<Body> {
        nothing()
    }
}

fn nothing() -> Response<Body> {
    Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync())
}
