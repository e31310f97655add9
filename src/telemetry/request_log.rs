//! One line a request, written when the request ends and however it ends: a `RequestLog` that is dropped before
//! anybody said how it went belongs to a client that hung up. It takes no headers and no bodies, so that it
//! cannot show one; of a path it shows no query, and no secret that somebody put in the place of a key's id.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Instant,
};

use http::{Method, Uri};
use uuid::{Uuid, fmt::Hyphenated};

use crate::{
    domain::{
        key::{AccountId, Key},
        secret::{SECRET_PREFIX, SHOWN_LENGTH},
        usage::Ended,
    },
    telemetry::RequestId,
};

/// The longest path that is shown; the rest is cut.
const PATH_MAX: usize = 256;

/// The longest method that is shown; methods are ASCII.
const METHOD_MAX: usize = 16;

/// How a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/JSON.
    Rest,
    /// gRPC.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
}

impl Protocol {
    /// The word for it in logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Rest => "rest",
            Protocol::Grpc => "grpc",
            Protocol::GrpcWeb => "grpc-web",
        }
    }
}

/// Who called, as far as logs say it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoggedCaller {
    /// The account.
    pub account: Option<AccountId>,
    /// The key, if it came with one.
    pub key: Option<Arc<Key>>,
    /// The id of the token of that key that it came with, if it did.
    pub token: Option<Uuid>,
}

/// Where the one who authenticates a request says who called; the log reads it at the end. A handle, cheap to
/// clone, so that the log itself can stay with whoever sees the last byte.
#[derive(Debug, Clone, Default)]
pub struct CallerSlot(Arc<OnceLock<LoggedCaller>>);

impl CallerSlot {
    /// Says who called. The first to say it is believed.
    pub fn fill(&self, caller: LoggedCaller) {
        let _ = self.0.set(caller);
    }
}

/// The line of one request, written when it is finished or dropped.
#[derive(Debug)]
pub struct RequestLog {
    id: RequestId,
    protocol: Protocol,
    method: Method,
    // Shared with the request, and looked at when the line is written, if it is.
    target: Uri,
    began: Instant,
    caller: CallerSlot,
    status: Option<u16>,
    ended: Ended,
}

impl RequestLog {
    /// Begins with what the request line says; a query in `target` is not shown.
    pub fn begin(id: RequestId, protocol: Protocol, method: &Method, target: &Uri) -> Self {
        Self {
            id,
            protocol,
            method: method.clone(),
            target: target.clone(),
            began: Instant::now(),
            caller: CallerSlot::default(),
            status: None,
            ended: Ended::Client,
        }
    }

    /// The request's id.
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// Where to say who called.
    pub fn caller(&self) -> CallerSlot {
        self.caller.clone()
    }

    /// The HTTP status of the answer, once it is known. A stream goes on after it.
    pub fn status(&mut self, status: u16) {
        self.status = Some(status);
    }

    /// Writes the line. A log that is dropped without it says that the client hung up.
    pub fn finish(mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        let nobody = LoggedCaller::default();
        let caller = self.caller.0.get().unwrap_or(&nobody);
        let (key, method) = (caller.key.as_deref(), self.method.as_str());
        // Where ids are spelt: a formatter would be asked for each.
        let mut ids = [[0; Hyphenated::LENGTH]; 3];
        let [account, key_id, token] = &mut ids;
        let account = spelt(caller.account.map(|account| account.0), account);
        let key_id = spelt(key.map(|key| key.id.0), key_id);
        let token = spelt(caller.token, token);
        // Fields are the same at both levels; the macro wants the level as a constant.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    request_id = self.id.as_str(),
                    method = &method[..method.len().min(METHOD_MAX)],
                    path = &*presentable(self.target.path()),
                    status = self.status,
                    protocol = self.protocol.as_str(),
                    // To the microsecond, which also makes it a short number.
                    duration_ms = self.began.elapsed().as_micros() as f64 / 1000.0,
                    account,
                    key_id,
                    key_prefix = key.map(|key| key.prefix.as_str()),
                    token,
                    ended = word(self.ended),
                    "request"
                )
            };
        }
        if is_probe(self.target.path()) { line!(debug) } else { line!(info) }
    }
}

/// An id as it is written.
fn spelt(id: Option<Uuid>, into: &mut [u8; Hyphenated::LENGTH]) -> Option<&str> {
    id.map(|id| &*id.hyphenated().encode_lower(into))
}

fn word(ended: Ended) -> &'static str {
    match ended {
        Ended::Complete => "complete",
        Ended::Client => "client",
        Ended::Upstream => "upstream",
        Ended::Error => "error",
    }
}

/// Whether the path is one that balancers ask every second, which would drown everything else.
fn is_probe(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/metrics") || path.starts_with("/grpc.health.v1.Health/")
}

/// A path as it may be shown: without its query, cut, and without a whole secret.
fn presentable(path: &str) -> Cow<'_, str> {
    // Nearly all of them: nothing to decode, to cut or to hide.
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'/' | b'_' | b'-' | b'.' | b':');
    if path.len() <= PATH_MAX
        && path.bytes().all(plain)
        && memchr::memmem::find(path.as_bytes(), SECRET_PREFIX.as_bytes()).is_none()
    {
        return Cow::Borrowed(path);
    }
    let segments = path.split('/').map(|segment| {
        let plain = decoded(segment);
        match plain.to_ascii_lowercase().find(SECRET_PREFIX) {
            Some(at) => format!("{}…", &plain[..plain.floor_char_boundary(at + SHOWN_LENGTH)]),
            None => segment.to_owned(),
        }
    });
    let shown = segments.collect::<Vec<String>>().join("/");
    match shown.char_indices().nth(PATH_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", &shown[..end])),
        None => Cow::Owned(shown),
    }
}

/// A segment with its `%` escapes resolved, one character a byte: enough to recognise a secret in.
fn decoded(segment: &str) -> String {
    let mut rest = segment.as_bytes();
    let mut plain = String::with_capacity(segment.len());
    while let [byte, ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => hex::decode([*high, *low]).ok().and_then(|byte| byte.first().copied()),
            _ => None,
        };
        plain.push(char::from(escaped.unwrap_or(*byte)));
        rest = &rest[if escaped.is_some() { 3 } else { 1 }..];
    }
    plain
}
