//! One chat call: its headers, its deadlines, its retries, and what the provider's answer means.
//!
//! A call is made again only before the first byte and only when nothing can have been billed: a connection that
//! did not come about, or a 429 or 503 that asks for a short wait, each once. A connection that broke once the
//! request was on it is not retried: the provider may have worked, and charged, for it.

use std::{pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::{
    body::ProviderBody,
    connection::Answer,
    demo,
    endpoint::{Endpoint, Kind, Upstream},
    gather::Gathered,
    headers,
    redact::redacted,
    response::{UpstreamError, UpstreamResponse},
    transport::Broken,
};
use crate::{
    clock::SharedClock,
    domain::{chat_request::PreparedRequest, violation::shown},
};

/// The longest `Retry-After` that is waited for; beyond it the agent decides.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How much of a refused credential's answer is logged, and how long it is waited for.
const LOGGED_BYTES: usize = 4 * 1024;
const LOGGED_WITHIN: Duration = Duration::from_secs(2);

/// Sends requests to upstreams.
#[derive(Debug, Clone)]
pub struct UpstreamClient {
    clock: SharedClock,
}

impl UpstreamClient {
    /// A client that reads dates by `clock`.
    pub fn new(clock: SharedClock) -> Self {
        Self { clock }
    }

    /// Sends a request and waits for the status line and headers of its answer. A provider's own errors are
    /// answers, but for 401 and 403, which speak of Orqen's credential, and redirects, which are not followed: the
    /// credential would go wherever they point. Dropping the future, or later the body, cancels the call.
    pub async fn send(
        &self,
        upstream: &Upstream,
        request: &PreparedRequest,
        client_headers: &HeaderMap,
    ) -> Result<UpstreamResponse, UpstreamError> {
        match &upstream.kind {
            Kind::Demo => Ok(demo::answer(request.body(), self.clock.now())),
            Kind::Http(endpoint) => {
                let call = Call { name: &upstream.name, endpoint, clock: &self.clock };
                call.run(request.body(), || headers::outgoing(endpoint, request.stream(), client_headers))
                    .await
            }
        }
    }
}

struct Call<'a> {
    name: &'a Arc<str>,
    endpoint: &'a Endpoint,
    clock: &'a SharedClock,
}

impl Call<'_> {
    async fn run(
        &self,
        body: &Bytes,
        headers: impl Fn() -> HeaderMap,
    ) -> Result<UpstreamResponse, UpstreamError> {
        let (mut may_reconnect, mut may_repeat) = (true, true);
        loop {
            match self.attempt(body, headers()).await {
                Err(Attempt::NotConnected(error)) if may_reconnect => {
                    tracing::debug!(upstream = &**self.name, %error, "connecting once more");
                    may_reconnect = false;
                }
                Err(Attempt::NotConnected(error) | Attempt::Failed(error)) => return Err(error),
                Ok(response) => match self.wait_asked_for(&response).filter(|_| may_repeat) {
                    Some(wait) => {
                        tracing::debug!(upstream = &**self.name, status = %response.status(), ?wait, "asked to wait");
                        may_repeat = false;
                        drop(response);
                        tokio::time::sleep(wait).await;
                    }
                    None => return self.receive(response).await,
                },
            }
        }
    }

    async fn attempt(&self, body: &Bytes, headers: HeaderMap) -> Result<Response<Answer>, Attempt> {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.endpoint.chat.clone();
        *request.headers_mut() = headers;
        let (name, within) = (self.name, self.endpoint.first_byte_timeout);
        // Pinned here: a future that is handed on is copied at each step.
        let call = pin!(self.endpoint.transport.call(request));
        match call.await {
            Ok(response) => Ok(response),
            Err(Broken::Connect(cause)) => Err(Attempt::NotConnected(UpstreamError::Unreachable {
                message: format!("the upstream `{name}` could not be connected to: {cause}"),
            })),
            Err(Broken::ConnectTimeout) => Err(Attempt::NotConnected(UpstreamError::Timeout {
                what: format!(
                    "the upstream `{name}` could not be connected to within {:?} (`connect_timeout`)",
                    self.endpoint.connect_timeout
                ),
            })),
            Err(Broken::Sent(cause)) => Err(Attempt::Failed(UpstreamError::Unreachable {
                message: format!(
                    "the connection to the upstream `{name}` broke before it answered: {cause}; not retried, since \
                     the provider may have done the work"
                ),
            })),
            Err(Broken::Silent) => Err(Attempt::Failed(UpstreamError::Timeout {
                what: format!(
                    "the upstream `{name}` did not answer within {within:?} (`first_byte_timeout`)"
                ),
            })),
        }
    }

    /// How long the provider wants us to wait before the same request again, when that is worth it.
    fn wait_asked_for(&self, response: &Response<Answer>) -> Option<Duration> {
        if !matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return None;
        }
        let value = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
        retry_after(value, self.clock.now()).filter(|wait| *wait <= LONGEST_WAIT)
    }

    async fn receive(&self, response: Response<Answer>) -> Result<UpstreamResponse, UpstreamError> {
        let (parts, body) = response.into_parts();
        match parts.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Box::pin(self.log_refusal(parts.status, body)).await;
                Err(UpstreamError::CredentialRejected {
                    upstream: self.name.to_string(),
                    status: parts.status.as_u16(),
                })
            }
            status if status.is_redirection() || status.is_informational() => {
                Err(UpstreamError::Unreachable { message: self.redirect(status, &parts.headers) })
            }
            status => {
                let body = ProviderBody::new(body, self.name, self.endpoint.idle_timeout);
                let body = Gathered::new(body).boxed_unsync();
                Ok(UpstreamResponse::new(status, headers::returned(&parts.headers), body))
            }
        }
    }

    async fn log_refusal(&self, status: StatusCode, body: Answer) {
        let text = beginning(body).await;
        let credential =
            self.endpoint.credential.as_ref().map(|credential| credential.secret.expose_secret());
        tracing::warn!(
            upstream = &**self.name,
            status = status.as_u16(),
            answer = redacted(&String::from_utf8_lossy(&text), credential),
            "the upstream refused Orqen's credential: check `api_key_env` or `api_key_file`, and the key's rights"
        );
    }

    fn redirect(&self, status: StatusCode, headers: &HeaderMap) -> String {
        let name = self.name;
        let place = headers.get(header::LOCATION).and_then(|value| value.to_str().ok()).and_then(base_of);
        match place {
            // Where to is for the operator: agents need not know the provider's addresses.
            Some(base) => {
                tracing::warn!(
                    upstream = &**name,
                    base_url = shown(&base),
                    "the upstream redirects: set its base_url to this"
                );
                format!(
                    "the upstream `{name}` redirects (status {}), which is not followed: have its `base_url` set to \
                     where it leads, which stands in the log",
                    status.as_u16(),
                )
            }
            None => format!(
                "the upstream `{name}` answered with status {}, which is no answer to a chat request: check its \
                 `base_url`",
                status.as_u16()
            ),
        }
    }
}

/// Why an attempt gave no answer.
enum Attempt {
    /// Nothing was sent.
    NotConnected(UpstreamError),
    /// Something may have been sent.
    Failed(UpstreamError),
}

/// The first bytes of a body, as far as they come in time.
async fn beginning(mut body: Answer) -> Vec<u8> {
    let mut text = Vec::new();
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            text.extend_from_slice(
                frame.data_ref().map_or(&[], |data| &data[..data.len().min(LOGGED_BYTES)]),
            );
            if text.len() >= LOGGED_BYTES {
                break;
            }
        }
    };
    // What came before the deadline is as good as we get; a silent provider must not hold the agent up for a log.
    let _ = timeout(LOGGED_WITHIN, reading).await;
    text.truncate(LOGGED_BYTES);
    text
}

/// `Retry-After`, in either of its forms (RFC 9110 section 10.2.3). A date that has passed means now.
fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTime::parse_from_rfc2822(value).ok()?;
    Some((date.to_utc() - now).to_std().unwrap_or_default())
}

/// The base URL that a redirect of the chat route points at: without user, password, query and our own path.
fn base_of(location: &str) -> Option<String> {
    let uri: Uri = location.parse().ok()?;
    let (scheme, host) = (uri.scheme_str()?, uri.host()?);
    let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
    let path = uri.path().trim_end_matches('/');
    Some(format!("{scheme}://{host}{port}{}", path.strip_suffix("/chat/completions").unwrap_or(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let now: DateTime<Utc> = "1994-11-06T08:49:36Z".parse().unwrap();
        for (value, expected) in [
            ("0", Some(0)),
            (" 2 ", Some(2)),
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(1)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
        }
    }

    #[test]
    fn a_redirect_is_shown_as_the_base_url_to_set() {
        let location = "https://user:secret@eu.example.com:8443/v1/chat/completions?token=secret";
        assert_eq!(base_of(location).unwrap(), "https://eu.example.com:8443/v1");
        assert_eq!(base_of("/login"), None);
    }
}
