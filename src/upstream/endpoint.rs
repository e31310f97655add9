//! One provider as the rest of the crate sees it, and what it takes to call it.
//!
//! An `Upstream` is either an HTTP endpoint or the demo model: an enum rather than a trait, since there will never
//! be a third that the crate does not know. The credential is held twice, as a secret (to find it again in what a
//! provider echoes) and as the header it is sent in, marked sensitive; neither shows in `Debug`.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use secrecy::SecretString;

use super::{models::Listing, pattern::ModelPattern, transport::Transport};
use crate::domain::chat_request::ToolMember;

/// A provider, or the demo model.
#[derive(Debug)]
pub struct Upstream {
    pub(super) name: Arc<str>,
    pub(super) tool_members: Vec<ToolMember>,
    /// The names it serves; empty: those with its prefix only.
    pub(super) models: Vec<ModelPattern>,
    pub(super) tells_usage: bool,
    pub(super) kind: Kind,
}

/// The two kinds of upstream.
#[derive(Debug)]
pub(super) enum Kind {
    Http(Box<Endpoint>),
    Demo,
}

impl Upstream {
    /// The in-process model.
    pub(super) fn demo() -> Self {
        Self {
            name: "orqen".into(),
            tool_members: Vec::new(),
            models: Vec::new(),
            tells_usage: true,
            kind: Kind::Demo,
        }
    }

    /// Its name in the configuration; `orqen` for the demo.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same, for whoever keeps it.
    pub fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    /// The top-level request members that are tools here, beside `web_search_options`, which is one everywhere.
    pub fn tool_members(&self) -> &[ToolMember] {
        &self.tool_members
    }

    /// Whether it may be asked for the usage of a stream.
    pub fn tells_usage(&self) -> bool {
        self.tells_usage
    }

    /// Whether its own list of names has `model`.
    pub(super) fn serves(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| pattern.matches(model))
    }
}

/// A provider that is called over HTTP.
pub(super) struct Endpoint {
    pub(super) chat: Uri,
    pub(super) models: Uri,
    pub(super) embeddings: Uri,
    pub(super) credential: Option<Credential>,
    /// The client's headers that are passed on.
    pub(super) forward: Vec<HeaderName>,
    pub(super) connect_timeout: Duration,
    pub(super) first_byte_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) transport: Transport,
    pub(super) listing: Listing,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("chat", &self.chat)
            .field("credential", &self.credential)
            .field("forward", &self.forward)
            .finish_non_exhaustive()
    }
}

/// What Orqen identifies itself with to a provider.
pub(super) struct Credential {
    pub(super) secret: SecretString,
    pub(super) header: HeaderValue,
}

impl Credential {
    /// `None` when the text cannot stand in a header: it must be visible ASCII.
    pub(super) fn new(text: &str) -> Option<Self> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        Some(Self { secret: text.into(), header })
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(…)")
    }
}
