//! Whether this process should get requests: `/healthz`, `/readyz` and gRPC health say the same.
//!
//! A store that is away for a while does not take a replica out: known keys go on, and a balancer that believed
//! otherwise would take every replica out at once. So `degraded` is still 200, until the cache may no longer be
//! trusted.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use chrono::TimeDelta;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tonic_health::server::HealthReporter;

use crate::{auth::Authenticator, config, proto, rest::Body};

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;
/// Polls that may be missed before one speaks of a degraded store.
const MISSED_POLLS: i32 = 8;

/// What is known of this process's health.
pub(super) struct Health {
    stage: AtomicU8,
    authenticator: Arc<Authenticator>,
    degraded_after: TimeDelta,
    stale_for: TimeDelta,
    reporter: HealthReporter,
}

impl Health {
    pub(super) fn new(authenticator: Arc<Authenticator>, store: &config::Store) -> Self {
        let delta = |duration| TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        Self {
            stage: AtomicU8::new(STARTING),
            authenticator,
            degraded_after: delta(store.poll_every) * MISSED_POLLS + TimeDelta::seconds(1),
            stale_for: delta(store.stale_for),
            reporter: HealthReporter::new(),
        }
    }

    /// Who answers gRPC's health calls.
    pub(super) fn reporter(&self) -> HealthReporter {
        self.reporter.clone()
    }

    /// Requests may come.
    pub(super) async fn ready(&self) {
        self.stage.store(READY, Ordering::SeqCst);
        self.report(tonic_health::ServingStatus::Serving).await;
    }

    /// No more requests, please.
    pub(super) async fn draining(&self) {
        self.stage.store(DRAINING, Ordering::SeqCst);
        self.report(tonic_health::ServingStatus::NotServing).await;
    }

    async fn report(&self, status: tonic_health::ServingStatus) {
        let services = proto::POOL.services().filter(|service| service.package_name() == "orqen.v1");
        for name in services.map(|service| service.full_name().to_owned()).chain([String::new()]) {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// The answer to `/healthz`: the process lives.
    pub(super) fn alive(&self) -> Response<Body> {
        answer(StatusCode::OK, "alive")
    }

    /// The answer to `/readyz`.
    pub(super) fn readiness(&self) -> Response<Body> {
        let stale = self.authenticator.staleness();
        match self.stage.load(Ordering::SeqCst) {
            STARTING => answer(StatusCode::SERVICE_UNAVAILABLE, "starting"),
            DRAINING => answer(StatusCode::SERVICE_UNAVAILABLE, "draining"),
            _ if stale > self.stale_for => answer(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
            _ if stale > self.degraded_after => answer(StatusCode::OK, "degraded"),
            _ => answer(StatusCode::OK, "ready"),
        }
    }
}

fn answer(status: StatusCode, word: &str) -> Response<Body> {
    let body = Full::from(format!("{{\"status\":\"{word}\"}}\n"));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
