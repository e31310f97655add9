//! The provider's answer on its way to the client: passed on as it comes, and metered.
//!
//! Nothing is changed, but that a stream's usage is kept from a client that did not ask for it (`sieve`). The end of
//! each piece is looked at, so that a comment line that keeps the connection alive, or the error that ends it, never
//! lands inside an event.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use crate::{
    chat::{sieve::Sieve, sse::BoundaryTracker, watch::Watch},
    domain::usage::{Ended, Routing, ToolTally},
    limits::{Permit, Requests},
    prune::Skipped,
    upstream::{UpstreamBody, UpstreamError, UpstreamResponse},
    usage::Pending,
};

/// How long a provider is silent before the client gets a comment line. Load balancers commonly cut idle
/// connections after 60 s; a line comes after 15 to 30 s.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// An answer whose record is still open elsewhere.
pub(super) struct Unmetered {
    pub(super) response: UpstreamResponse,
    pub(super) tally: ToolTally,
    pub(super) pruned: Pruned,
    pub(super) watch: Watch,
    /// Whether the usage of a stream is not for the client.
    pub(super) hides_usage: bool,
}

/// What ends with the last byte of the answer.
pub(super) struct Running {
    pub(super) pending: Pending,
    /// Gives the slots back when it is dropped.
    pub(super) permit: Permit,
}

/// What pruning made of the tools, for the client to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How tools were compared with the conversation; `None` without tools.
    pub routing: Option<Routing>,
    /// Why nothing was pruned, where nothing was.
    pub skipped: Option<Skipped>,
    /// Tokens of the removed definitions, once they have been counted.
    pub tokens_saved: Option<u64>,
}

/// An answer as the client gets it.
pub struct ChatAnswer {
    /// The provider's status.
    pub status: StatusCode,
    /// The provider's headers, as far as they are for clients.
    pub headers: HeaderMap,
    /// The tools of the request.
    pub tally: ToolTally,
    /// What pruning made of them.
    pub pruned: Pruned,
    /// Where the tightest limit of requests stands.
    pub requests: Option<Requests>,
    /// The provider's bytes.
    pub body: AnswerBody,
}

impl Unmetered {
    /// Ties the record to the last byte of the body.
    pub(super) fn metered(self, mut running: Running) -> ChatAnswer {
        let streamed = self.response.is_event_stream();
        let mut headers = self.response.headers;
        if streamed {
            // Comment lines and a last error event may make it longer than the provider said, and what is kept back
            // shorter.
            headers.remove(header::CONTENT_LENGTH);
        }
        let ended = if self.response.status.is_success() { Ended::Complete } else { Ended::Upstream };
        running.pending.status(self.response.status.as_u16());
        let requests = running.permit.requests;
        let mut body = AnswerBody {
            // A server does not ask an empty body for anything, and drops it as if the client had left.
            finished: self.response.body.is_end_stream(),
            inner: self.response.body,
            watch: Some(self.watch),
            running: Some(running),
            ended,
            stream: streamed.then(|| StreamState::new(self.hides_usage)),
        };
        if body.finished {
            body.settle();
        }
        ChatAnswer {
            status: self.response.status,
            headers,
            tally: self.tally,
            pruned: self.pruned,
            requests,
            body,
        }
    }
}

pin_project! {
    /// The body of an answer. When it ends, fails or is dropped, the request's record is closed and its slots are
    /// given back.
    pub struct AnswerBody {
        #[pin]
        inner: UpstreamBody,
        watch: Option<Watch>,
        running: Option<Running>,
        ended: Ended,
        stream: Option<StreamState>,
        finished: bool,
    }

    impl PinnedDrop for AnswerBody {
        fn drop(this: Pin<&mut Self>) {
            // The client left: what came so far counts. Not in a panic, of which a second one would be the end.
            if !std::thread::panicking() {
                let this = this.project();
                tell(this.watch, this.running);
            }
        }
    }
}

/// What is remembered of an event stream between its pieces.
struct StreamState {
    boundary: BoundaryTracker,
    sieve: Option<Sieve>,
    // Armed once and looked at when it fires: no clock is read for a piece that comes.
    timer: Pin<Box<Sleep>>,
    silent: bool,
}

impl StreamState {
    fn new(hides_usage: bool) -> Self {
        Self {
            boundary: BoundaryTracker::new(),
            sieve: hides_usage.then(Sieve::default),
            timer: Box::pin(tokio::time::sleep(KEEP_ALIVE_EVERY)),
            silent: true,
        }
    }

    /// What the client gets of a piece; nothing of one that is held, or kept from it.
    fn pass(&mut self, piece: Bytes) -> Bytes {
        let piece = match &mut self.sieve {
            Some(sieve) => sieve.push(piece),
            None => piece,
        };
        self.passed(&piece);
        piece
    }

    /// What the client gets at the end.
    fn rest(&mut self) -> Bytes {
        let rest = self.sieve.as_mut().map(Sieve::rest).unwrap_or_default();
        self.passed(&rest);
        rest
    }

    fn passed(&mut self, piece: &Bytes) {
        if !piece.is_empty() {
            self.silent = false;
            self.boundary.push(piece);
        }
    }

    /// Ready when a comment line is due.
    fn poll_keep_alive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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
    fn failure(&self, error: &UpstreamError) -> Bytes {
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

impl AnswerBody {
    /// Whether it is a stream of server-sent events.
    pub fn is_event_stream(&self) -> bool {
        self.stream.is_some()
    }

    /// Closes the record as the answer's status has it, for a reader who has seen enough. Dropped without this, an
    /// unfinished body means that the client left.
    pub fn settle(&mut self) {
        tell(&mut self.watch, &mut self.running);
        close(&mut self.running, self.ended);
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let mut this = self.project();
        while !*this.finished {
            match this.inner.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are not passed on.
                    let Ok(mut piece) = frame.into_data() else { continue };
                    if let Some(running) = this.running.as_mut() {
                        running.pending.piece();
                    }
                    if let Some(watch) = this.watch.as_mut() {
                        watch.push(&piece);
                    }
                    // A server that knows the length drops the body after its last byte, without asking again.
                    *this.finished = this.inner.is_end_stream();
                    if let Some(stream) = this.stream.as_mut() {
                        piece = stream.pass(piece);
                        if *this.finished {
                            piece = joined(piece, stream.rest());
                        }
                    }
                    if *this.finished {
                        tell(this.watch, this.running);
                        close(this.running, *this.ended);
                    }
                    if !piece.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(piece))));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    *this.finished = true;
                    tell(this.watch, this.running);
                    close(this.running, Ended::Upstream);
                    return match this.stream {
                        // Without `[DONE]`: the client must not take it for the whole answer.
                        Some(stream) => Poll::Ready(Some(Ok(Frame::data(stream.failure(&error))))),
                        None => Poll::Ready(Some(Err(error))),
                    };
                }
                Poll::Ready(None) => {
                    *this.finished = true;
                    tell(this.watch, this.running);
                    close(this.running, *this.ended);
                    let rest = this.stream.as_mut().map(StreamState::rest).unwrap_or_default();
                    if !rest.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(rest))));
                    }
                }
                Poll::Pending => {
                    let Some(stream) = this.stream.as_mut() else { return Poll::Pending };
                    ready!(stream.poll_keep_alive(cx));
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(KEEP_ALIVE)))));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.finished
    }

    fn size_hint(&self) -> SizeHint {
        // The exact length lets the server keep `content-length`; a stream may grow by comment lines.
        if self.stream.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

fn joined(one: Bytes, other: Bytes) -> Bytes {
    if other.is_empty() { one } else { [one, other].concat().into() }
}

/// Hands on what the answer told, once.
fn tell(watch: &mut Option<Watch>, running: &mut Option<Running>) {
    if let Some(watch) = watch.take() {
        let told = watch.finish();
        if let Some(Running { pending, .. }) = running {
            pending.called(told.calls, told.misses);
            pending.tokens(told.tokens);
        }
    }
}

fn close(running: &mut Option<Running>, ended: Ended) {
    if let Some(Running { pending, permit }) = running.take() {
        pending.end(ended);
        drop(permit);
    }
}

#[cfg(test)]
mod tests;
