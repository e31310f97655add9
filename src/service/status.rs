//! A failure, told: as OpenAI's error object over HTTP, as a status with `ErrorInfo` over gRPC, and back.
//!
//! The core says what happened in its own enums; they become a `Failure` last (`failures`), by a word of the one
//! table (`reason`).

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
use serde::Serialize;
use tonic::{Code, Status, metadata::MetadataMap};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    domain::{
        secret,
        violation::{Violation, Violations},
    },
    limits::Requests,
    service::{Reason, number::number},
};

/// How long the sentence of a gRPC status, and again its fields together, may be, in bytes. Both travel as headers,
/// of which clients commonly take 8 KiB, encoded at up to three bytes for one; beyond that they see no status at all.
const MOST_DETAIL: usize = 2 * 1024;
/// The `domain` of our `ErrorInfo`.
const DOMAIN: &str = "orqen";

/// A refusal or failure, ready to be told.
#[derive(Debug, Clone)]
pub struct Failure {
    reason: Reason,
    message: String,
    param: Option<String>,
    fields: Vec<Violation>,
    retry_after: Option<Duration>,
    /// Boxed: few failures have it, and all are moved around.
    more: Option<Box<More>>,
}

/// What few failures say.
#[derive(Debug, Clone, Default)]
struct More {
    allow: Vec<Method>,
    requests: Option<Requests>,
    /// Whose limit was reached, and how that is said.
    quota: Option<(String, String)>,
}

impl Failure {
    /// A failure with a sentence for people.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            param: None,
            fields: Vec::new(),
            retry_after: matches!(reason, Reason::StoreUnavailable | Reason::Overloaded)
                .then_some(Duration::from_secs(1)),
            more: None,
        }
    }

    /// Our fault: `what` goes to the log, nothing of the inside to the caller.
    pub fn internal(what: impl std::fmt::Display) -> Self {
        tracing::error!(error = %what, "internal error");
        Self::new(
            Reason::Internal,
            "Orqen failed; this is not your request's fault. Try again, and report the x-request-id of this answer",
        )
    }

    /// Fields that cannot be taken, all at once.
    pub fn fields(violations: Violations) -> Self {
        let mut failure = Self::new(Reason::InvalidRequest, violations.to_string());
        failure.param = violations.as_slice().first().map(|violation| violation.field.clone());
        failure.fields = violations.as_slice().to_vec();
        failure
    }

    /// The same failure, which so many fields more are to blame for.
    #[must_use]
    pub fn and_more(mut self, fields: usize) -> Self {
        if fields > 0 {
            self.message.push_str(&format!("; and {fields} more"));
        }
        self
    }

    /// The same failure, about this parameter.
    #[must_use]
    pub fn about(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The same failure, with the methods that the path takes.
    #[must_use]
    pub fn allowing(mut self, methods: Vec<Method>) -> Self {
        self.more.get_or_insert_default().allow = methods;
        self
    }

    /// The same failure, after which another attempt makes sense.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The same failure, of a limit of `subject`.
    #[must_use]
    pub fn of_quota(mut self, subject: String, description: String) -> Self {
        self.more.get_or_insert_default().quota = Some((subject, description));
        self
    }

    /// The same failure, with where the limit of requests stands.
    #[must_use]
    pub fn with_requests(mut self, requests: Option<Requests>) -> Self {
        if requests.is_some() || self.more.is_some() {
            self.more.get_or_insert_default().requests = requests;
        }
        self
    }

    /// What went wrong.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The field that it is about.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// Reads back what `Status::from` wrote; a status of tonic's own is given its reason by its code.
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info();
        let reason = info
            .and_then(|info| {
                Reason::ALL.iter().copied().find(|reason| reason.code().eq_ignore_ascii_case(&info.reason))
            })
            .unwrap_or_else(|| foreign(status));
        let mut failure = Self::new(reason, status.message());
        failure.param = info.and_then(|info| info.metadata.get("param").cloned());
        failure.fields = details.bad_request().map_or_else(Vec::new, |bad| {
            bad.field_violations
                .iter()
                .map(|one| Violation { field: one.field.clone(), message: one.description.clone() })
                .collect()
        });
        if let Some(delay) = details.retry_info().and_then(|info| info.retry_delay) {
            failure.retry_after = Some(delay);
        }
        failure
    }

    /// The same failure without the secrets that a message repeats because a caller sent them in the wrong place.
    fn masked(mut self) -> Self {
        let mask = |text: &mut String| {
            if let Cow::Owned(masked) = secret::masked(text) {
                *text = masked;
            }
        };
        mask(&mut self.message);
        self.param.iter_mut().for_each(mask);
        for violation in &mut self.fields {
            mask(&mut violation.field);
            mask(&mut violation.message);
        }
        self
    }

    /// OpenAI's error object, with the headers that belong to it.
    pub fn into_http(self) -> Response<Bytes> {
        let this = self.masked();
        let body = ErrorBody {
            error: ErrorObject {
                message: &this.message,
                kind: this.reason.kind(),
                param: this.param.as_deref(),
                code: this.reason.code(),
            },
        };
        let body = serde_json::to_vec(&body).expect("four texts are always JSON");
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = this.reason.http();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(delay) = this.retry_after {
            // Rounded up: whoever comes back earlier is refused again.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(delay.as_millis().div_ceil(1000) as u64));
        }
        let more = this.more.unwrap_or_default();
        request_headers(more.requests, headers);
        if this.reason == Reason::InvalidApiKey {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let allow = more.allow.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        if let (false, Ok(allow)) = (allow.is_empty(), HeaderValue::from_str(&allow)) {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

/// OpenAI's error object: what its SDKs read.
#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorObject<'a>,
}

#[derive(Serialize)]
struct ErrorObject<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: &'a str,
}

/// What tonic, which calls them internal, says of frames that its client got wrong.
const UNFRAMED: [&str; 4] = [
    "Missing request message",
    "Unexpected EOF decoding stream",
    "invalid compression flag",
    "no grpc-encoding was specified",
];

/// The reason behind a status that is not of our making: tonic's, for requests that never reached a service.
fn foreign(status: &Status) -> Reason {
    let message = status.message();
    match status.code() {
        Code::OutOfRange if message.contains("message length too large") => Reason::RequestTooLarge,
        Code::ResourceExhausted => Reason::RequestTooLarge,
        Code::Internal
            if message.contains("decode") || UNFRAMED.iter().any(|known| message.contains(known)) =>
        {
            Reason::InvalidRequest
        }
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => Reason::InvalidRequest,
        Code::Unimplemented if message.contains("compressed") || message.contains("encoding") => {
            Reason::UnsupportedMediaType
        }
        Code::Unimplemented | Code::NotFound => Reason::RouteNotFound,
        Code::Unauthenticated => Reason::InvalidApiKey,
        Code::PermissionDenied => Reason::InsufficientScope,
        Code::Aborted | Code::AlreadyExists => Reason::Conflict,
        Code::Unavailable => Reason::Overloaded,
        Code::Cancelled | Code::DeadlineExceeded => Reason::RequestTimeout,
        _ => Reason::Internal,
    }
}

/// Where the limit of requests stands, as OpenAI says it.
pub(super) fn request_headers(requests: Option<Requests>, headers: &mut HeaderMap) {
    let Some(requests) = requests else { return };
    headers.insert(LIMIT, number(requests.limit));
    headers.insert(REMAINING, number(requests.remaining));
    // Far from its limit nobody has to wait.
    let reset = match requests.reset {
        Duration::ZERO => HeaderValue::from_static("0ms"),
        reset => HeaderValue::try_from(spoken(reset)).expect("digits and units"),
    };
    headers.insert(RESET, reset);
}

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit-requests");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining-requests");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset-requests");

/// A time as OpenAI's headers have it: `120ms`, `6s`, `1m30s`.
fn spoken(time: Duration) -> String {
    let millis = time.as_millis();
    let (minutes, seconds) = (millis / 60_000, millis % 60_000 / 1000);
    match (minutes, seconds, millis % 1000) {
        (0, 0, millis) => format!("{millis}ms"),
        (0, seconds, 0) => format!("{seconds}s"),
        (0, seconds, millis) => format!("{seconds}.{millis:03}s"),
        (minutes, seconds, _) => format!("{minutes}m{seconds}s"),
    }
}

/// A sentence that fits a header.
fn bounded(mut message: String) -> String {
    if message.len() > MOST_DETAIL {
        message.truncate(message.floor_char_boundary(MOST_DETAIL));
        message.push('…');
    }
    message
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let failure = failure.masked();
        let mut details = ErrorDetails::new();
        let metadata = failure.param.iter().map(|param| ("param".to_owned(), param.clone()));
        details.set_error_info(
            failure.reason.code().to_uppercase(),
            DOMAIN,
            metadata.collect::<std::collections::HashMap<_, _>>(),
        );
        let mut left = MOST_DETAIL;
        for Violation { field, message } in failure.fields {
            match left.checked_sub(field.len() + message.len()) {
                None => break,
                Some(less) => left = less,
            }
            details.add_bad_request_violation(field, message);
        }
        if let Some(delay) = failure.retry_after {
            details.set_retry_info(Some(delay));
        }
        let mut headers = HeaderMap::new();
        if let Some(more) = failure.more {
            request_headers(more.requests, &mut headers);
            if let Some((subject, description)) = more.quota {
                details.add_quota_failure_violation(subject, description);
            }
        }
        Status::with_error_details_and_metadata(
            failure.reason.grpc(),
            bounded(failure.message),
            details,
            MetadataMap::from_headers(headers),
        )
    }
}

impl From<Violations> for Failure {
    fn from(violations: Violations) -> Self {
        Self::fields(violations)
    }
}
