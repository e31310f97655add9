//! What is remembered of an event stream between its pieces: what of them passes, when a comment line is due, and
//! where an error can be told.
//!
//! The end of what passes is looked at, so that a comment line that keeps the connection alive, or the error that
//! ends it, never lands inside an event.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use crate::{
    chat::{
        glance::Glance,
        sieve::{Sieve, Sifted},
        sse::BoundaryTracker,
        withheld::Withheld,
    },
    upstream::UpstreamError,
};

/// How long a provider is silent before the client gets a comment line. Load balancers commonly cut idle
/// connections after 60 s; a line comes after 15 to 30 s.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
/// The comment line.
pub(super) const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// An event stream between two of its pieces.
pub(super) struct StreamState {
    boundary: BoundaryTracker,
    sieve: Option<(Sieve, Withheld)>,
    // Armed once and looked at when it fires: no clock is read for a piece that comes.
    timer: Pin<Box<Sleep>>,
    silent: bool,
}

impl StreamState {
    pub(super) fn new(sieve: Option<(Sieve, Withheld)>) -> Self {
        Self {
            boundary: BoundaryTracker::new(),
            sieve,
            timer: Box::pin(tokio::time::sleep(KEEP_ALIVE_EVERY)),
            silent: true,
        }
    }

    /// What the client gets of a piece, nothing of one that is held or kept from it; and whether it is the last that
    /// it gets, since the calls in the stream cannot be told any more.
    pub(super) fn pass(&mut self, piece: Bytes, glance: Glance) -> (Bytes, bool) {
        let sifted = match &mut self.sieve {
            Some((sieve, _)) => sieve.push(piece, glance),
            None => Sifted { passed: piece, failed: None },
        };
        self.sifted(sifted)
    }

    /// The same for what was held at the end.
    pub(super) fn rest(&mut self) -> (Bytes, bool) {
        let rest = self.sieve.as_mut().map(|(sieve, _)| sieve.rest()).unwrap_or_default();
        self.sifted(rest)
    }

    fn sifted(&mut self, Sifted { passed, failed }: Sifted) -> (Bytes, bool) {
        if !passed.is_empty() {
            self.silent = false;
            self.boundary.push(&passed);
        }
        let Some((sieve, withheld)) = &mut self.sieve else { return (passed, false) };
        withheld.removed(&sieve.removed());
        match failed.map(|why| withheld.refused(&why)) {
            Some(error) => (joined(passed, self.failure(&error)), true),
            None => (passed, false),
        }
    }

    /// Ready when a comment line is due.
    pub(super) fn poll_keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(cx));
            self.timer.as_mut().reset(Instant::now() + KEEP_ALIVE_EVERY);
            let silent = std::mem::replace(&mut self.silent, true);
            if silent && self.boundary.at_boundary() {
                return Poll::Ready(());
            }
        }
    }

    /// The event that tells the client of a failure, after whatever was cut off before it.
    pub(super) fn failure(&self, error: &UpstreamError) -> Bytes {
        let start = if self.boundary.at_boundary() { "" } else { "\n\n" };
        let code = if matches!(error, UpstreamError::Timeout { .. }) {
            "upstream_timeout"
        } else {
            "upstream_unreachable"
        };
        let body = serde_json::json!({"error": {
            "message": format!("the stream broke off: {error}. What came before stands; ask again for the rest"),
            "type": "server_error",
            "param": null,
            "code": code,
        }});
        Bytes::from(format!("{start}data: {body}\n\n"))
    }
}

/// Both in one, without a copy where one is empty.
pub(super) fn joined(one: Bytes, other: Bytes) -> Bytes {
    match (one.is_empty(), other.is_empty()) {
        (true, _) => other,
        (_, true) => one,
        _ => [one, other].concat().into(),
    }
}
