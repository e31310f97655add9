//! From `[[upstreams]]` to an `Upstream`: every value is checked, and every credential read, at the start.
//!
//! A wrong address or a missing key should be one sentence on the operator's terminal, not the first agent's 502.
//! Messages name the upstream, the field and the way out; they never hold a credential, nor an address that has
//! one in it.

use std::{io, sync::Arc};

use http::Uri;
use rustls::ClientConfig;

use super::{
    endpoint::{Credential, Endpoint, Kind, Upstream},
    headers,
    models::Listing,
    pattern::ModelPattern,
    transport::Transport,
};
use crate::{
    config,
    domain::{chat_request::ToolMember, violation::shown},
};

/// The environment as it is handed in: the value of a variable.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The prefix of Orqen's own models, which no upstream may be named.
const RESERVED: &str = "orqen";
const CHAT_PATH: &str = "/chat/completions";

/// Why the configured upstreams cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A value of the configuration is wrong.
    #[error("upstream {upstream}: `{field}` {problem}")]
    Invalid {
        /// Which upstream, quoted.
        upstream: String,
        /// The field of `[[upstreams]]`.
        field: &'static str,
        /// What is wrong, and the way out.
        problem: String,
    },
    /// The credential is not there or cannot be sent.
    #[error("upstream {upstream}: no credential: {problem}")]
    Credential {
        /// Which upstream, quoted.
        upstream: String,
        /// Where it was looked for, and the way out.
        problem: String,
    },
    /// An upstream is `https` and nothing is there to check its certificate against.
    #[error(
        "the system's root certificates cannot be read, without which no `https` upstream can be trusted: install \
         them (`ca-certificates` in most distributions) or point SSL_CERT_FILE to a bundle"
    )]
    Roots(#[source] io::Error),
}

/// Builds one upstream.
pub(super) fn upstream(
    settings: &config::Upstream,
    environment: Environment<'_>,
    tls: &Arc<ClientConfig>,
) -> Result<Upstream, CatalogError> {
    let label = shown(&settings.name);
    let invalid = |field, problem: String| CatalogError::Invalid { upstream: label.clone(), field, problem };
    check_name(&settings.name).map_err(|problem| invalid("name", problem))?;
    let [chat, models, embeddings] =
        addresses(&settings.base_url).map_err(|problem| invalid("base_url", problem))?;
    let forward = headers::forwardable(settings.forward_headers.as_deref())
        .map_err(|problem| invalid("forward_headers", problem))?;
    for (field, duration) in [
        ("connect_timeout", settings.connect_timeout),
        ("first_byte_timeout", settings.first_byte_timeout),
        ("idle_timeout", settings.idle_timeout),
    ] {
        if duration.is_zero() {
            return Err(invalid(field, "is 0, so that every call would fail: give it some time".into()));
        }
    }
    let credential = credential(settings, environment)
        .map_err(|problem| CatalogError::Credential { upstream: label.clone(), problem })?;
    let timeouts = [settings.connect_timeout, settings.first_byte_timeout];
    let transport = Transport::new(&chat, timeouts, Arc::clone(tls));
    let endpoint = Endpoint {
        chat,
        models,
        embeddings,
        credential,
        forward,
        connect_timeout: settings.connect_timeout,
        first_byte_timeout: settings.first_byte_timeout,
        idle_timeout: settings.idle_timeout,
        transport,
        listing: Listing::default(),
    };
    Ok(Upstream {
        name: settings.name.as_str().into(),
        tool_members: tool_members(settings).map_err(|problem| invalid("tool_members", problem))?,
        models: patterns(&settings.models).map_err(|problem| invalid("models", problem))?,
        tells_usage: settings.stream_usage,
        kind: Kind::Http(Box::new(endpoint)),
    })
}

/// Whether the address needs TLS. Only looks at the scheme: `upstream` says what else is wrong with it.
pub(super) fn is_https(settings: &config::Upstream) -> bool {
    settings.base_url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
}

fn check_name(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
        return Err("must be 1 to 64 of `a-z`, `0-9`, `_` and `-`: it is the prefix of `name/model`".into());
    }
    if name == RESERVED {
        return Err("is Orqen's own, as in `orqen/demo`: choose another".into());
    }
    Ok(())
}

/// The addresses for chat, for the list of models and for embeddings.
fn addresses(base_url: &str) -> Result<[Uri; 3], String> {
    const EXAMPLE: &str = "write it like `https://api.openai.com/v1`";
    // Before anything else: an address with a password in it must not come back in a message.
    if base_url.contains('@') {
        return Err("has a user or password in it: use `api_key_env` or `api_key_file`".into());
    }
    if base_url.contains(['?', '#']) {
        return Err(format!("has a query or fragment, which cannot be kept: {EXAMPLE}"));
    }
    let uri: Uri = base_url.parse().map_err(|_| format!("{} is no URL: {EXAMPLE}", shown(base_url)))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
        return Err(format!("{} is no http or https URL: {EXAMPLE}", shown(base_url)));
    }
    let base = base_url.trim_end_matches('/');
    if let Some(root) = base.strip_suffix(CHAT_PATH) {
        return Err(format!("ends in `{CHAT_PATH}`, which Orqen adds itself: write {}", shown(root)));
    }
    let at =
        |path: &str| format!("{base}{path}").parse::<Uri>().map_err(|_| format!("is too long: {EXAMPLE}"));
    Ok([at(CHAT_PATH)?, at("/models")?, at("/embeddings")?])
}

fn patterns(models: &[String]) -> Result<Vec<ModelPattern>, String> {
    let pattern = |text: &String| {
        if text.is_empty() || text.trim() != text || text.chars().any(char::is_control) {
            return Err(format!("has {}, which is empty or has white space at its ends", shown(text)));
        }
        Ok(ModelPattern::new(text.clone()))
    };
    models.iter().map(pattern).collect()
}

fn tool_members(settings: &config::Upstream) -> Result<Vec<ToolMember>, String> {
    let member = |(member, tool): (&String, &String)| {
        if member.is_empty() || tool.is_empty() {
            return Err("has an empty name: write `member = \"tool\"`".to_owned());
        }
        Ok(ToolMember { member: member.clone(), tool: tool.clone() })
    };
    settings.tool_members.iter().map(member).collect()
}

fn credential(
    settings: &config::Upstream,
    environment: Environment<'_>,
) -> Result<Option<Credential>, String> {
    let (text, place) = match (&settings.api_key_env, &settings.api_key_file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err("both `api_key_env` and `api_key_file` are set: keep one".into()),
        (Some(variable), None) => {
            let place = format!("the environment variable {variable}");
            let text = environment(variable).ok_or_else(|| {
                format!("{place} is not set: set it, or take `api_key_env` out if the provider needs no key")
            })?;
            (text, place)
        }
        (None, Some(path)) => {
            let place = format!("the file {}", path.display());
            let text = std::fs::read_to_string(path).map_err(|error| {
                format!("{place} cannot be read ({error}): correct `api_key_file` or the file's rights")
            })?;
            (text, place)
        }
    };
    Credential::new(text.trim()).map(Some).ok_or_else(|| {
        format!("{place} is empty or has characters that no key has: it must hold the key and nothing else")
    })
}
