//! What a call to a provider gives: an answer whose headers are clean, or why there is none.
//!
//! The codes and statuses that these errors become are chosen in `service/status`; here is only what happened, in
//! words that name the upstream and hold no secret.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

/// The body of an answer. Dropping it cancels the upstream call. A failure on the way is its error, once; the body
/// is then at its end.
pub type UpstreamBody = UnsyncBoxBody<Bytes, UpstreamError>;

/// A provider's answer, its own errors included.
#[derive(Debug)]
pub struct UpstreamResponse {
    /// Its status: never 1xx, 3xx, 401 or 403.
    pub status: StatusCode,
    /// Its headers, less those that end at this hop. `content-length` is there when the provider sent one: whoever
    /// changes the body takes it out.
    pub headers: HeaderMap,
    /// Its body.
    pub body: UpstreamBody,
    /// Whether it is a stream of server-sent events.
    is_event_stream: bool,
}

impl UpstreamResponse {
    /// An answer of this kind.
    pub fn new(status: StatusCode, headers: HeaderMap, body: UpstreamBody) -> Self {
        let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = value.split(';').next().unwrap_or_default().trim();
        let is_event_stream = media.eq_ignore_ascii_case("text/event-stream");
        Self { status, headers, body, is_event_stream }
    }

    /// Whether it is a stream of server-sent events.
    pub fn is_event_stream(&self) -> bool {
        self.is_event_stream
    }

    /// An answer made here.
    pub(super) fn local<B>(status: StatusCode, headers: HeaderMap, body: B) -> Self
    where
        B: http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
    {
        Self::new(status, headers, body.map_err(|never| match never {}).boxed_unsync())
    }
}

/// Why there is no answer, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// No connection, a broken one, or an answer that is none. 502 `upstream_unreachable`.
    #[error("{message}")]
    Unreachable {
        /// A sentence that names the upstream and the cause.
        message: String,
    },
    /// A deadline passed. 504 `upstream_timeout`.
    #[error("{what}")]
    Timeout {
        /// A sentence that names the upstream, the deadline and its setting.
        what: String,
    },
    /// The provider refused Orqen's own credential (401 or 403). 502 `upstream_credential_rejected`; what the
    /// provider wrote is in the log, redacted.
    #[error(
        "the upstream `{upstream}` refused the credential that Orqen is configured with (status {status}): its \
         operator has to look at it"
    )]
    CredentialRejected {
        /// Which upstream.
        upstream: String,
        /// 401 or 403.
        status: u16,
    },
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http_body_util::Empty;

    use super::*;

    #[test]
    fn an_event_stream_is_known_by_its_media_type() {
        for (value, expected) in [
            ("text/event-stream", true),
            ("Text/Event-Stream; charset=utf-8", true),
            ("application/json", false),
            ("text/event-stream-x", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            let response = UpstreamResponse::local(StatusCode::OK, headers, Empty::new());
            assert_eq!(response.is_event_stream(), expected, "{value}");
        }
    }
}
