//! The gRPC services of the port: ours behind the guard, health for anyone, reflection for those who may have it.
//!
//! tonic answers some requests before any service sees them (a message too large, bytes that are no message). Those
//! answers are told by the same table of errors as all others.

use std::{sync::Arc, time::Duration};

use http::{Request, Response};
use http_body_util::BodyExt;
use tonic::{Status, body::Body, service::Routes};
use tonic_health::{pb::health_server::HealthServer, server::HealthService};
use tower::{Layer, ServiceExt};

use crate::{
    app::{health::Health, timely::Timely},
    proto,
    service::{Failure, Guard, GuardLayer, Reason, guard::Guarded},
};

/// The methods behind the guard.
const OURS: &str = "/orqen.v1.";

/// The gRPC services of the port.
#[derive(Clone)]
pub(super) struct Grpc {
    guarded: Guarded<Routes>,
    health: Routes,
    reflection: Routes,
    body_timeout: Duration,
}

impl Grpc {
    pub(super) fn new(
        guard: Arc<Guard>,
        services: Routes,
        health: &Health,
        body_timeout: Duration,
    ) -> anyhow::Result<Self> {
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let health = HealthServer::new(HealthService::from_health_reporter(health.reporter()));
        Ok(Self {
            guarded: GuardLayer(guard).layer(services),
            health: Routes::new(health).prepare(),
            reflection: Routes::new(reflection().build_v1()?)
                .add_service(reflection().build_v1alpha()?)
                .prepare(),
            body_timeout,
        })
    }

    /// Answers one call. `operator` says whether it came from where reflection may be asked for.
    pub(super) async fn call(&self, request: Request<Body>, operator: bool) -> Response<Body> {
        let path = request.uri().path();
        let answer = if path.starts_with(OURS) {
            let request = request.map(|body| Body::new(Timely::new(body, self.body_timeout)));
            return finished(
                self.guarded.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
            );
        } else if path.starts_with("/grpc.health.v1.") {
            self.health.clone().oneshot(request).await
        } else if operator && path.starts_with("/grpc.reflection.") {
            self.reflection.clone().oneshot(request).await
        } else {
            let failure = Failure::new(Reason::RouteNotFound, format!("there is no method {path}"));
            return Status::from(failure).into_http();
        };
        answer.unwrap_or_else(|never| match never {}).map(|body| Body::new(body.map_err(Status::from)))
    }
}

/// An answer whose errors all carry their details.
fn finished(answer: Response<Body>) -> Response<Body> {
    if answer.headers().contains_key(Status::GRPC_STATUS_DETAILS) {
        return answer;
    }
    match Status::from_header_map(answer.headers()) {
        Some(status) if status.code() != tonic::Code::Ok => {
            Status::from(Failure::from_status(&status)).into_http()
        }
        _ => answer,
    }
}
