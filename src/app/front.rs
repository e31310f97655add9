//! The front door: gives each request its id, decides by content type whether it is gRPC, gRPC-Web or REST, and
//! writes its line in the log when it is over.
//!
//! By content type and first of all, because a gRPC router answers an unknown path with 200.

use std::{
    convert::Infallible, future::Future, net::SocketAddr, panic::AssertUnwindSafe, pin::Pin, sync::Arc,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, Response, header, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tonic::body::Body as GrpcBody;
use tonic_web::GrpcWebLayer;
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::CorsLayer;

use crate::{
    app::{
        cors,
        figures::Figures,
        grpc::Grpc,
        health::Health,
        linger::{self, Sent},
        logged::Logged,
    },
    auth::Source,
    boxed::boxed,
    clock::SharedClock,
    config,
    limits::{Load, LoadBounds, Place},
    rest::{Body, Crowded, Transcoder},
    service::{self, Backend, Failure, Reason, Visit},
    telemetry::{Protocol, RequestId, RequestLog},
};

/// Where operators have their figures; to anybody else there is no such route.
const METRICS: &str = "/metrics";
/// Where the REST routes are described.
const OPENAPI: &str = "/openapi.json";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// What stands behind the port.
pub(super) struct Front {
    rest: Transcoder<Backend>,
    grpc: Grpc,
    health: Arc<Health>,
    figures: Figures,
    /// What is under way, and apart from it what the probes and operators ask.
    load: Arc<Load>,
    aside: Arc<Load>,
    clock: SharedClock,
    cors: Option<CorsLayer>,
    /// The description of the REST routes.
    openapi: Bytes,
    // With a port of their own, operators' services are not on the main one at all.
    operators_on_loopback: bool,
}

impl Front {
    pub(super) fn new(
        rest: Transcoder<Backend>,
        grpc: Grpc,
        (health, figures): (Arc<Health>, Figures),
        clock: SharedClock,
        config: &config::Server,
    ) -> anyhow::Result<Self> {
        let load = Arc::clone(&figures.load);
        let aside = Load::new(LoadBounds { requests: usize::MAX, body_bytes: usize::MAX });
        let cors = cors::layer(&config.cors_origins)?;
        let operators_on_loopback = config.admin_listen.is_none();
        let openapi = serde_json::to_vec(&service::openapi()?)?.into();
        Ok(Self { rest, grpc, health, figures, load, aside, clock, cors, openapi, operators_on_loopback })
    }

    /// The handler of the main port.
    pub(super) fn handler(
        self: Arc<Self>,
    ) -> Arc<impl Fn(Request<Incoming>, SocketAddr) -> Answer + Send + Sync + 'static> {
        Arc::new(move |request: Request<Incoming>, peer: SocketAddr| -> Answer {
            let operator = self.operators_on_loopback && peer.ip().is_loopback();
            boxed(|| Arc::clone(&self).answer(request, peer, operator))
        })
    }

    /// The handler of the port for operators: the same, with reflection and `/metrics` for whoever can reach it.
    pub(super) fn admin_handler(
        self: Arc<Self>,
    ) -> Arc<impl Fn(Request<Incoming>, SocketAddr) -> Answer + Send + Sync + 'static> {
        Arc::new(move |request: Request<Incoming>, peer: SocketAddr| -> Answer {
            boxed(|| Arc::clone(&self).answer(request, peer, true))
        })
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
        operator: bool,
    ) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        let protocol = protocol(&head);
        let id = RequestId::generate(self.clock.now(), &mut rand::rng());
        let mut log = RequestLog::begin(id, protocol, &head.method, &head.uri);
        let place = self.place(head.uri.path());
        let mut response = match place.clone() {
            Some(place) => {
                let (log, source) = (log.caller(), Source(peer.ip()));
                head.extensions.insert(Visit { id, log, source, place: place.clone() });
                let body = Sent::new(body, place.clone());
                let response = match protocol {
                    Protocol::Rest => self.rest(&head, body, operator).await,
                    // Boxed: the future of every request is as large as the largest way that one may take, and is moved
                    // more than once.
                    Protocol::Grpc | Protocol::GrpcWeb => {
                        Box::pin(self.grpc(Request::from_parts(head, body), protocol, operator)).await
                    }
                };
                place.has_sent();
                response
            }
            None => shed(protocol),
        };
        if let Ok(id) = HeaderValue::from_str(id.as_str()) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        log.status(response.status().as_u16());
        self.figures.metrics.answered(protocol, response.status().as_u16());
        response.map(|body| Logged::new(body, log, place).boxed_unsync())
    }

    /// A place for a request to this path, if there is one. A probe that is refused in a crowd would have a server
    /// restarted that works.
    fn place(&self, path: &str) -> Option<Place> {
        match path {
            "/healthz" | "/readyz" | METRICS => self.aside.enter(),
            _ => self.load.enter(),
        }
    }

    /// The answer to a REST request that has its place.
    async fn rest(&self, head: &Parts, mut body: Sent, operator: bool) -> Response<Body> {
        let mut response = match &self.cors {
            None => self.route_safely(head, &mut body, operator).await,
            Some(cors) => Box::pin(self.rest_across(cors, head, &mut body, operator)).await,
        };
        if !body.discard(head).await {
            closes(&mut response);
        }
        response
    }

    /// The same with what a browser needs to know of it. The layer sees the head alone.
    async fn rest_across(
        &self,
        cors: &CorsLayer,
        head: &Parts,
        body: &mut Sent,
        operator: bool,
    ) -> Response<Body> {
        let mut body = Some(body);
        let inner = service_fn(move |_: Request<()>| {
            let body = body.take();
            async move {
                Ok::<_, Infallible>(match body {
                    Some(body) => self.route_safely(head, body, operator).await,
                    None => service::respond(Failure::internal("a request was routed twice")),
                })
            }
        });
        let asked = Request::from_parts(head.clone(), ());
        cors.layer(inner).oneshot(asked).await.unwrap_or_else(|never| match never {})
    }

    /// `route`, in which a panic costs one request and not the connection with all that it carries.
    async fn route_safely(&self, head: &Parts, body: &mut Sent, operator: bool) -> Response<Body> {
        AssertUnwindSafe(self.route(head, body, operator))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| told(panicked(), Protocol::Rest))
    }

    async fn route(&self, head: &Parts, body: &mut Sent, operator: bool) -> Response<Body> {
        match (&head.method, head.uri.path()) {
            (&Method::GET | &Method::HEAD, "/healthz") => self.health.alive(),
            (&Method::GET | &Method::HEAD, "/readyz") => self.health.readiness(),
            (&Method::GET | &Method::HEAD, OPENAPI) => self.described(),
            (&Method::GET | &Method::HEAD, METRICS) if operator => self.figures.answer(),
            (verb, path @ ("/healthz" | "/readyz" | OPENAPI)) => only_get(path, verb),
            (verb, METRICS) if operator => only_get(METRICS, verb),
            _ => self.rest.handle(head, body).await,
        }
    }

    /// The answer to a gRPC or gRPC-Web request that has its place.
    async fn grpc(&self, request: Request<Sent>, protocol: Protocol, operator: bool) -> Response<Body> {
        let (request, remainder) = linger::watched(request);
        let inner = service_fn(move |request: Request<Sent>| async move {
            let answer = AssertUnwindSafe(self.call(request, protocol, operator)).catch_unwind().await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|_| told(panicked(), protocol)))
        });
        let answer = match &self.cors {
            None => inner.oneshot(request).await,
            Some(cors) => cors.layer(inner).oneshot(request).await,
        };
        let mut response = answer.unwrap_or_else(|never| match never {});
        if !remainder.discard().await {
            closes(&mut response);
        }
        response
    }

    async fn call(&self, request: Request<Sent>, protocol: Protocol, operator: bool) -> Response<Body> {
        if protocol == Protocol::Grpc {
            return plain(self.grpc.call(request.map(as_grpc), operator).await);
        }
        let grpc = self.grpc.clone();
        let inner = service_fn(move |request: Request<GrpcBody>| {
            let grpc = grpc.clone();
            async move { Ok::<_, Infallible>(grpc.call(request, operator).await) }
        });
        let answer = GrpcWebLayer::new().layer(inner).oneshot(request).await;
        plain(answer.unwrap_or_else(|never| match never {}))
    }
}

impl Front {
    /// The description of the routes, for whoever asks: it says nothing of the account or the configuration.
    fn described(&self) -> Response<Body> {
        let body = Full::new(self.openapi.clone()).map_err(|never| match never {});
        let mut response = Response::new(body.boxed_unsync());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

/// Tells the client that the connection takes no other request.
fn closes(response: &mut Response<Body>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

fn panicked() -> Failure {
    Failure::internal("a request panicked; the message and place stand above")
}

/// A failure, as the protocol tells it.
fn told(failure: Failure, protocol: Protocol) -> Response<Body> {
    match protocol {
        Protocol::Rest => service::respond(failure),
        Protocol::Grpc | Protocol::GrpcWeb => plain(tonic::Status::from(failure).into_http()),
    }
}

/// The answer to a request that there is no place for. Its body is not read: a crowd is no time to be polite.
fn shed(protocol: Protocol) -> Response<Body> {
    let message = "this server has as many requests under way as it takes (`limits.concurrent_requests`): try again in a second";
    let mut response = told(Failure::new(Reason::Overloaded, message), protocol);
    if protocol == Protocol::Rest {
        closes(&mut response);
    }
    response
}

/// A body for tonic, which knows our own errors by their status.
fn as_grpc(body: Sent) -> GrpcBody {
    GrpcBody::new(body.map_err(|error| match error.is::<Crowded>() {
        true => tonic::Status::from(Failure::new(Reason::Overloaded, error.to_string())).into(),
        false => error,
    }))
}

fn only_get(path: &str, verb: &Method) -> Response<Body> {
    let message = format!("{path} does not take {verb}: ask it with GET");
    service::respond(
        Failure::new(Reason::MethodNotAllowed, message).allowing(vec![Method::GET, Method::HEAD]),
    )
}

/// What the request speaks, by its content type.
fn protocol(head: &Parts) -> Protocol {
    let content_type = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let is = |prefix: &[u8]| {
        content_type.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    if is(b"application/grpc-web") {
        Protocol::GrpcWeb
    } else if is(b"application/grpc") {
        Protocol::Grpc
    } else {
        Protocol::Rest
    }
}

fn plain(answer: Response<GrpcBody>) -> Response<Body> {
    answer.map(|body| body.map_err(Into::into).boxed_unsync())
}
