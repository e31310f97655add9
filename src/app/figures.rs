//! `/metrics`: reads what the parts of this process count for themselves, and answers with it and what requests added
//! up to.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, Full};

use crate::{
    auth::Authenticator,
    chat::ChatPipeline,
    limits::Load,
    rest::Body,
    service::Guard,
    telemetry::{Metrics, Readings, metrics::CONTENT_TYPE, otel::LostSpans},
};

/// Where figures come from.
pub(super) struct Figures {
    pub(super) metrics: Arc<Metrics>,
    pub(super) authenticator: Arc<Authenticator>,
    pub(super) chat: Arc<ChatPipeline>,
    pub(super) guard: Arc<Guard>,
    pub(super) load: Arc<Load>,
    pub(super) lost_spans: LostSpans,
    pub(super) started_at: DateTime<Utc>,
}

impl Figures {
    /// The answer to `/metrics`.
    pub(super) fn answer(&self) -> Response<Body> {
        let body = Full::from(self.metrics.text(&self.read()));
        let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    fn read(&self) -> Readings {
        let ChatPipeline { recorder, limiter, pruner, embedder, withheld, .. } = &*self.chat;
        let (waiting, most) = recorder.waiting();
        let (keys, limits) = (self.authenticator.stats(), limiter.stats());
        let vectors = embedder.as_ref().map(|embedder| embedder.counts()).unwrap_or_default();
        Readings {
            queue_depth: waiting as u64,
            queue_capacity: most as u64,
            records_dropped: recorder.dropped(),
            records_unlisted: recorder.unlisted(),
            records_uncounted: recorder.uncounted(),
            key_cache_hits: keys.hits,
            key_cache_misses: keys.misses,
            key_cache_entries: keys.entries,
            issuer_fetches: [("ok", keys.issuer_fetches), ("failed", keys.issuer_fetches_failed)],
            changes_applied: keys.changes_applied,
            listening: keys.listening,
            store_staleness: self.authenticator.staleness().as_seconds_f64(),
            refusals: vec![
                ("requests", limits.refused.requests),
                ("concurrent_requests", limits.refused.concurrent),
                ("saved_tokens", limits.refused.spent),
                ("account_routes", self.guard.refused()),
                ("load", self.load.shed()),
                ("failed_authentications", keys.refused),
            ],
            limiter_subjects: limits.subjects as u64,
            limiter_away: limits.away,
            limiter_outages: limits.outages,
            limiter_counted_apart: limits.counted_apart,
            limiter_releases_lost: limits.releases_lost,
            limiter_seeds_failed: limits.seeds_failed,
            skips: pruner.skips().map(|(skipped, count)| (skipped.as_str(), count)).collect(),
            embeddings: [("hit", vectors.hits), ("wait", vectors.waits), ("without", vectors.without)],
            embedding_failures: vectors.failures,
            calls_withheld: [("removed", withheld.calls_removed()), ("observed", withheld.calls_observed())],
            answers_refused: withheld.answers_refused(),
            refusals_unwritten: self.guard.refusals_unwritten(),
            requests_under_way: self.load.requests() as u64,
            spans_lost: self.lost_spans.count(),
            started_at: self.started_at.timestamp_micros() as f64 / 1e6,
        }
    }
}
