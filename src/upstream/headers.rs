//! Which headers pass between agent and provider, in both directions.
//!
//! Towards the provider an allowlist, towards the agent a list of what is taken out: an unknown request header may
//! carry a secret of the agent's house, an unknown answer header is something that an SDK may want. The agent's
//! Orqen key never goes upstream, not even in a header that the operator has allowed.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_TYPE, USER_AGENT},
};
use memchr::memmem;

use super::endpoint::Endpoint;
use crate::domain::{secret::SECRET_PREFIX, violation::shown};

const PRODUCT: HeaderValue = HeaderValue::from_static(concat!("orqen/", env!("CARGO_PKG_VERSION")));
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Passed on when the configuration does not say otherwise.
const FORWARDED: [&str; 3] = ["openai-beta", "traceparent", "tracestate"];

/// RFC 9110 section 7.6.1, and `proxy-connection`, which old proxies send: they end at this hop.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-authentication-info",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Credentials of the caller, and what Orqen writes itself.
const NEVER_FORWARDED: [&str; 14] = [
    "authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "accept",
    "accept-encoding",
    "user-agent",
    "expect",
    "http2-settings",
];

/// About the provider's own site and connection, or of a kind that Orqen answers for itself; likewise everything
/// under `grpc-`, which would tell a gRPC client how to read Orqen's own frames.
const NEVER_RETURNED: [&str; 9] = [
    "set-cookie",
    "set-cookie2",
    "alt-svc",
    "strict-transport-security",
    "server",
    "date",
    "via",
    "nel",
    "report-to",
];

/// The client's headers that are passed on, from the configuration.
pub(super) fn forwardable(configured: Option<&[String]>) -> Result<Vec<HeaderName>, String> {
    let Some(configured) = configured else {
        return Ok(FORWARDED.into_iter().map(HeaderName::from_static).collect());
    };
    configured.iter().map(|text| forwardable_name(text)).collect()
}

fn forwardable_name(text: &str) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| format!("has {}, which is no header name", shown(text)))?;
    let lower = name.as_str();
    if HOP_BY_HOP.contains(&lower) || NEVER_FORWARDED.contains(&lower) || lower.starts_with("x-orqen-") {
        return Err(format!("has `{lower}`, which is never passed on to a provider: take it out"));
    }
    Ok(name)
}

/// What is sent to the provider.
pub(super) fn outgoing(endpoint: &Endpoint, stream: bool, client: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    // What the client says is for this hop ends here, whatever the configuration passes on.
    let named = named_in_connection(client);
    let ends_here = |name: &&HeaderName| named.iter().any(|known| known.eq_ignore_ascii_case(name.as_str()));
    for name in endpoint.forward.iter().filter(|name| !ends_here(name)) {
        for value in client.get_all(name) {
            if memmem::find(value.as_bytes(), SECRET_PREFIX.as_bytes()).is_none() {
                headers.append(name, value.clone());
            }
        }
    }
    identify(endpoint, &mut headers);
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(ACCEPT, if stream { EVENTS } else { JSON });
    headers
}

/// What is sent with a request for the list of models.
pub(super) fn listing(endpoint: &Endpoint) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    identify(endpoint, &mut headers);
    headers.insert(ACCEPT, JSON);
    headers
}

/// What is sent with a request for embeddings: nothing of the client's, whose texts are in it among others.
pub(super) fn embedding(endpoint: &Endpoint) -> HeaderMap {
    let mut headers = listing(endpoint);
    headers.insert(CONTENT_TYPE, JSON);
    headers
}

fn identify(endpoint: &Endpoint, headers: &mut HeaderMap) {
    headers.insert(USER_AGENT, PRODUCT);
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    if let Some(credential) = &endpoint.credential {
        headers.insert(AUTHORIZATION, credential.header.clone());
    }
}

/// How many headers an answer gets here: of limits, tools and the request's id.
const ADDED: usize = 12;

/// What of the provider's headers the agent sees. `content-length` stays: whoever changes the body takes it out.
pub(super) fn returned(from: &HeaderMap) -> HeaderMap {
    let named = named_in_connection(from);
    // With room for what is added on the way to the client.
    let mut headers = HeaderMap::with_capacity(from.len() + ADDED);
    for (name, value) in from {
        let text = name.as_str();
        let dropped = HOP_BY_HOP.contains(&text)
            || NEVER_RETURNED.contains(&text)
            || named.iter().any(|known| known.eq_ignore_ascii_case(text))
            || ["x-orqen-", "x-upstream-", "access-control-", "grpc-"]
                .iter()
                .any(|prefix| text.starts_with(prefix));
        if !dropped {
            headers.append(renamed(name), value.clone());
        }
    }
    headers
}

/// `x-request-id` and `x-ratelimit-…` speak of Orqen's own request and limits, so the provider's get another name.
fn renamed(name: &HeaderName) -> HeaderName {
    let text = name.as_str();
    if text != "x-request-id" && !text.starts_with("x-ratelimit-") {
        return name.clone();
    }
    let rest = text.strip_prefix("x-").unwrap_or(text);
    HeaderName::from_bytes(format!("x-upstream-{rest}").as_bytes()).unwrap_or_else(|_| name.clone())
}

fn named_in_connection(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&'static str, &'static str)]) -> HeaderMap {
        entries.iter().map(|&(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn hop_by_hop_and_site_headers_of_the_provider_end_here() {
        let cleaned = returned(&map(&[
            ("connection", "close, x-internal"),
            ("x-internal", "1"),
            ("transfer-encoding", "chunked"),
            ("set-cookie", "a=b"),
            ("x-orqen-tools-input", "9"),
            ("x-upstream-request-id", "forged"),
            ("access-control-allow-origin", "*"),
            ("grpc-encoding", "gzip"),
            ("grpc-status", "13"),
            ("alt-svc", "h3"),
            ("server", "x"),
            ("content-type", "application/json"),
            ("content-length", "2"),
            ("retry-after", "7"),
        ]));
        assert_eq!(
            cleaned,
            map(&[("content-type", "application/json"), ("content-length", "2"), ("retry-after", "7")])
        );
    }

    #[test]
    fn the_names_of_the_connection_header_are_compared_without_case() {
        let cleaned = returned(&map(&[("connection", "X-Internal"), ("x-internal", "1")]));
        assert!(cleaned.is_empty(), "{cleaned:?}");
    }

    #[test]
    fn request_id_and_rate_limits_of_the_provider_get_names_of_their_own() {
        let cleaned = returned(&map(&[("x-request-id", "r1"), ("x-ratelimit-limit-requests", "5")]));
        assert_eq!(
            cleaned,
            map(&[("x-upstream-request-id", "r1"), ("x-upstream-ratelimit-limit-requests", "5")])
        );
    }

    #[test]
    fn credentials_and_hop_by_hop_headers_cannot_be_configured_to_pass() {
        for bad in ["Authorization", "cookie", "Host", "TE", "x-orqen-session-id", "X-Api-Key", "no header"] {
            assert!(forwardable(Some(&[bad.to_owned()])).is_err(), "{bad}");
        }
        assert_eq!(forwardable(Some(&[])).unwrap(), Vec::<HeaderName>::new());
        assert_eq!(forwardable(Some(&["X-Tenant".into()])).unwrap(), ["x-tenant"]);
        assert_eq!(forwardable(None).unwrap(), FORWARDED);
    }
}
