//! What REST calls: the same guard and the same gRPC routes, in this process, without a socket.
//!
//! A unary call is framed as gRPC and goes through tonic's own router, so that REST can do nothing that gRPC
//! cannot and no method is named a second time. The chat route is the exception that the descriptor marks: its
//! bytes go to the pipeline as they are, behind the same guard.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Response, header, request};
use http_body_util::{BodyExt, Full};
use prost_reflect::DynamicMessage;
use tonic::{Status, metadata::MetadataMap};
use tower::ServiceExt;

use crate::{
    domain::violation::Violations,
    rest::{self, Body, InvalidField, Method, Refusal, UnaryAnswer},
    service::{Failure, Guard, Reason, Services, admitted::Admitted, chat::RAW, fields},
};

/// The services, as the transcoder calls them.
pub struct Backend {
    guard: Arc<Guard>,
    services: Services,
}

impl Backend {
    /// The services behind the guard.
    pub fn new(guard: Arc<Guard>, services: Services) -> Self {
        Self { guard, services }
    }
}

impl rest::Backend for Backend {
    type Permit = Admitted;

    async fn authorize(&self, method: &Method, head: &request::Parts) -> Result<Admitted, Status> {
        self.guard
            .admit(method.grpc_path.as_str(), &head.headers, &head.extensions)
            .await
            .map_err(Status::from)
    }

    async fn unary(
        &self,
        method: &Method,
        admitted: Admitted,
        _head: &request::Parts,
        message: Bytes,
    ) -> Result<UnaryAnswer, Status> {
        // No header of the client's goes along: metadata that a service trusts must not come from a browser's form.
        let mut request = http::Request::new(Full::new(framed(&message)));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = http::Uri::from_maybe_shared(Bytes::from(method.grpc_path.as_str().to_owned()))
            .map_err(Failure::internal)?;
        *request.version_mut() = http::Version::HTTP_2;
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        request.headers_mut().insert(header::TE, HeaderValue::from_static("trailers"));
        request.extensions_mut().insert(admitted);

        let routes = if method.chat_body { &self.services.chat_routes } else { &self.services.routes };
        let answer = match routes.clone().oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        };
        let (parts, body) = answer.into_parts();
        let collected = body.collect().await?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        for headers in [&parts.headers, &trailers] {
            match Status::from_header_map(headers) {
                Some(status) if status.code() != tonic::Code::Ok => return Err(status),
                _ => {}
            }
        }
        let message = unframed(collected.to_bytes())?;
        Ok(UnaryAnswer { metadata: MetadataMap::from_headers(parts.headers), message })
    }

    async fn raw(
        &self,
        method: &Method,
        admitted: Admitted,
        head: &request::Parts,
        body: Bytes,
    ) -> Response<Body> {
        if method.grpc_path.as_str() != RAW {
            return respond(Failure::internal("a raw method has no native handler"));
        }
        match self.services.chat.native(&admitted, body, head).await {
            Ok(answer) => answer.map(|body| body.map_err(Into::into).boxed_unsync()),
            Err(failure) => {
                admitted.refused(|| failure.reason());
                respond(failure)
            }
        }
    }

    fn also_wrong(&self, message: &DynamicMessage) -> Vec<InvalidField> {
        let violations = fields::problems(message, self.services.clock.now());
        let told = violations.as_slice().iter();
        told.map(|one| InvalidField { field: one.field.clone(), message: one.message.clone() }).collect()
    }

    fn refuse_status(&self, status: &Status, _head: &request::Parts) -> Response<Body> {
        respond(Failure::from_status(status))
    }

    fn refuse(
        &self,
        refusal: &Refusal,
        admitted: Option<&Admitted>,
        _head: &request::Parts,
    ) -> Response<Body> {
        let failure = refused(refusal);
        // Whose connection broke has left, and reads no refusal: the record says so by itself.
        if let (Some(admitted), false) = (admitted, matches!(refusal, Refusal::BodyUnreadable)) {
            admitted.refused(|| failure.reason());
        }
        respond(failure)
    }
}

/// An answer that tells a failure.
pub fn respond(failure: Failure) -> Response<Body> {
    failure.into_http().map(|body| Full::new(body).map_err(|never| match never {}).boxed_unsync())
}

fn refused(refusal: &Refusal) -> Failure {
    let message = refusal.to_string();
    match refusal {
        Refusal::RouteNotFound { .. } => Failure::new(
            Reason::RouteNotFound,
            format!("{message}: the routes are in the README and in /v1's protos"),
        ),
        Refusal::MethodNotAllowed { allow, .. } => {
            Failure::new(Reason::MethodNotAllowed, message).allowing(allow.clone())
        }
        Refusal::UnsupportedMediaType { .. } | Refusal::UnsupportedEncoding { .. } => {
            Failure::new(Reason::UnsupportedMediaType, message)
        }
        Refusal::TooLarge { .. } => Failure::new(Reason::RequestTooLarge, message),
        Refusal::Crowded => Failure::new(Reason::Overloaded, message),
        Refusal::BodyTimeout { .. } => Failure::new(Reason::RequestTimeout, message),
        Refusal::BodyUnreadable | Refusal::InvalidJson { .. } => {
            Failure::new(Reason::InvalidRequest, message)
        }
        Refusal::InvalidFields(invalid) => {
            let mut violations = Violations::new();
            for field in &invalid.fields {
                violations.add(&field.field, &field.message);
            }
            Failure::fields(violations).and_more(invalid.left_out)
        }
    }
}

/// A gRPC frame: not compressed, its length, the message.
fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(5 + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(message);
    frame.freeze()
}

fn unframed(frame: Bytes) -> Result<Bytes, Failure> {
    if frame.len() < 5 || frame[0] != 0 {
        return Err(Failure::internal("a service's answer is no gRPC frame"));
    }
    Ok(frame.slice(5..))
}
