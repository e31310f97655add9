//! The tool lists at work on an answer: which answers are looked at, those in one piece, and what is told of it.
//!
//! An answer in one piece is held until it is whole, since its status says already that it is good: one whose calls
//! cannot be told is a 502 instead. A stream is looked at by its `sieve`. What cannot be looked at does not pass: a
//! key's list would be worth what the oddest answer makes of it. A provider's own error passes as it is, since no
//! client takes it for an answer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderName, header};
use http_body_util::{BodyExt, Full};

use super::watch::Watch;
use crate::{
    domain::{chat_answer::AnswerGuard, violation::shown},
    upstream::{UpstreamBody, UpstreamError, UpstreamResponse},
};

/// The longest answer in one piece that is held: as long as a request may be by default.
const LONGEST: usize = 32 * 1024 * 1024;

/// Headers that speak of the very bytes of a body.
const OF_THE_BYTES: [HeaderName; 6] = [
    header::CONTENT_LENGTH,
    header::ETAG,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
];

/// What became of calls that keys may not make, since the start. Cloned, it counts in the same place.
#[derive(Debug, Clone, Default)]
pub struct Withheld(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    removed: AtomicU64,
    observed: AtomicU64,
    refused: AtomicU64,
}

impl Withheld {
    /// Calls that were taken out of answers.
    pub fn calls_removed(&self) -> u64 {
        self.0.removed.load(Ordering::Relaxed)
    }

    /// Calls that passed since the lists are in `observe`.
    pub fn calls_observed(&self) -> u64 {
        self.0.observed.load(Ordering::Relaxed)
    }

    /// Answers that were kept back, or cut off, since their calls could not be told.
    pub fn answers_refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    pub(super) fn removed(&self, calls: &[String]) {
        if let Some(first) = calls.first() {
            let tool = shown(first);
            tracing::info!(
                tool,
                calls = calls.len(),
                "took calls out of an answer that the key may not make"
            );
            self.0.removed.fetch_add(calls.len() as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn observed(&self, calls: usize) {
        if calls > 0 {
            tracing::info!(calls, "lists in `observe` would have taken calls out of an answer");
            self.0.observed.fetch_add(calls as u64, Ordering::Relaxed);
        }
    }

    /// Notes that it cannot be told which calls are in an answer, and gives what the client is told of it.
    pub(super) fn refused(&self, why: &impl std::fmt::Display) -> UpstreamError {
        tracing::warn!(%why, "an answer cannot be checked for tool calls, and is kept back");
        self.0.refused.fetch_add(1, Ordering::Relaxed);
        UpstreamError::Unreachable {
            message: format!(
                "the provider's answer cannot be checked for calls that this key may not make: {why}"
            ),
        }
    }
}

/// A provider's answer, and who looks at it.
pub(super) struct Received {
    pub(super) response: UpstreamResponse,
    // Boxed: it moves with the answer from one step to the next.
    pub(super) watch: Box<Watch>,
    /// There where the key's lists may have something to take out.
    pub(super) guard: Option<AnswerGuard>,
}

impl Received {
    /// Sees to it that the answer may go on, as far as that can be said before its first byte: one in one piece is
    /// checked here, and has no guard any more.
    pub(super) async fn check(&mut self, withheld: &Withheld) -> Result<(), UpstreamError> {
        let Self { response, watch, guard } = self;
        let Some(mut whole_guard) = guard.take() else { return Ok(()) };
        if !response.status.is_success() {
            return Ok(());
        }
        let mut encodings = response.headers.get_all(header::CONTENT_ENCODING).iter();
        if encodings.any(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
            return Err(withheld.refused(&"it is encoded, though Orqen asked for `identity`"));
        }
        if response.is_event_stream() {
            *guard = Some(whole_guard);
            return Ok(());
        }
        let came = collect(&mut response.body, watch).await;
        watch.close();
        let came = came?.ok_or_else(|| withheld.refused(&TooLong))?;
        let passes = match watch.is_json() {
            true => whole_guard.whole_valid(came.clone()),
            false => whole_guard.whole(came.clone()),
        };
        let passes = passes.map_err(|why| withheld.refused(&why))?;
        withheld.removed(&whole_guard.removed());
        if passes.as_ptr() != came.as_ptr() {
            OF_THE_BYTES.iter().for_each(|name| drop(response.headers.remove(name)));
        }
        response.body = Full::new(passes).map_err(|never| match never {}).boxed_unsync();
        Ok(())
    }
}

/// An answer in one piece is too long to be held.
#[derive(Debug, thiserror::Error)]
#[error("it has more than {LONGEST} bytes: stream it")]
struct TooLong;

/// The whole body, or `None` of one that is too long. The watch sees it as the provider sent it.
async fn collect(body: &mut UpstreamBody, watch: &mut Watch) -> Result<Option<Bytes>, UpstreamError> {
    let (mut first, mut whole) = (None, BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else { continue };
        watch.push(&piece, None);
        if whole.len() + piece.len() + first.as_ref().map_or(0, Bytes::len) > LONGEST {
            return Ok(None);
        }
        match first.take() {
            None if whole.is_empty() => first = Some(piece),
            before => {
                whole.extend_from_slice(&before.unwrap_or_default());
                whole.extend_from_slice(&piece);
            }
        }
    }
    Ok(Some(first.unwrap_or_else(|| whole.freeze())))
}
