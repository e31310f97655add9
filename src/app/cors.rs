//! Which browsers may call, and what their scripts may read of an answer.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// Headers of answers that a browser's script may read.
const EXPOSED: [HeaderName; 17] = [
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
    HeaderName::from_static("x-orqen-tokens-saved"),
    HeaderName::from_static("x-orqen-tools-input"),
    HeaderName::from_static("x-orqen-tools-denied"),
    HeaderName::from_static("x-orqen-tools-output"),
    HeaderName::from_static("x-orqen-tools-would-deny"),
    HeaderName::from_static("x-orqen-routing"),
    HeaderName::from_static("x-orqen-prune-ratio"),
    HeaderName::from_static("x-orqen-prune-skipped"),
    header::RETRY_AFTER,
    header::ETAG,
];
/// How long a browser may remember what it was allowed.
const PREFLIGHT: Duration = Duration::from_secs(600);

/// What answers browsers at these origins, `*` for all of them; `None` where there are none.
pub(super) fn layer(origins: &[String]) -> anyhow::Result<Option<CorsLayer>> {
    let allowed = if origins.is_empty() {
        return Ok(None);
    } else if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let origins = origins.iter().map(|origin| origin.parse()).collect::<Result<Vec<HeaderValue>, _>>();
        AllowOrigin::list(origins?)
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(EXPOSED)
        .max_age(PREFLIGHT);
    Ok(Some(layer))
}
