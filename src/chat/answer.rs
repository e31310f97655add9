//! The provider's answer on its way to the client: passed on as it comes, and metered.
//!
//! Nothing is decoded. Of a stream only the end of the last piece is looked at, so that a comment line that keeps
//! the connection alive, or the error that ends it, never lands inside an event.

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
    chat::{calls::Watch, sse::BoundaryTracker},
    domain::usage::{Ended, ToolTally},
    prune::{Routing, Skipped},
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
    pub(super) watch: Option<Watch>,
}

/// What pruning made of the tools, for the client to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How tools were compared with the conversation; `None` without tools.
    pub routing: Option<Routing>,
    /// Why nothing was pruned, where nothing was.
    pub skipped: Option<Skipped>,
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
    /// The provider's bytes.
    pub body: AnswerBody,
}

impl Unmetered {
    /// Ties the record to the last byte of the body.
    pub(super) fn metered(self, pending: Pending) -> ChatAnswer {
        let streamed = self.response.is_event_stream();
        let mut headers = self.response.headers;
        if streamed {
            // Comment lines and a last error event may make it longer than the provider said.
            headers.remove(header::CONTENT_LENGTH);
        }
        let ended = if self.response.status.is_success() { Ended::Complete } else { Ended::Upstream };
        let mut pending = Some(pending);
        if let Some(pending) = &mut pending {
            pending.status(self.response.status.as_u16());
        }
        // A server does not ask an empty body for anything, and drops it as if the client had left.
        let finished = self.response.body.is_end_stream();
        if finished {
            close(&mut pending, ended);
        }
        ChatAnswer {
            status: self.response.status,
            headers,
            tally: self.tally,
            pruned: self.pruned,
            body: AnswerBody {
                inner: self.response.body,
                watch: self.watch,
                pending,
                ended,
                stream: streamed.then(StreamState::new),
                finished,
            },
        }
    }
}

pin_project! {
    /// The body of an answer. When it ends, fails or is dropped, the request's record is closed.
    pub struct AnswerBody {
        #[pin]
        inner: UpstreamBody,
        watch: Option<Watch>,
        pending: Option<Pending>,
        ended: Ended,
        stream: Option<StreamState>,
        finished: bool,
    }

    impl PinnedDrop for AnswerBody {
        fn drop(this: Pin<&mut Self>) {
            // The client left: what came so far counts. Not in a panic, of which a second one would be the end.
            if !std::thread::panicking() {
                let this = this.project();
                learn(this.watch, this.pending);
            }
        }
    }
}

/// What is remembered of an event stream between its pieces.
struct StreamState {
    boundary: BoundaryTracker,
    // Armed once and looked at when it fires: no clock is read for a piece that comes.
    timer: Pin<Box<Sleep>>,
    silent: bool,
}

impl StreamState {
    fn new() -> Self {
        Self {
            boundary: BoundaryTracker::new(),
            timer: Box::pin(tokio::time::sleep(KEEP_ALIVE_EVERY)),
            silent: true,
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
        learn(&mut self.watch, &mut self.pending);
        close(&mut self.pending, self.ended);
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
        if *this.finished {
            return Poll::Ready(None);
        }
        match this.inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(stream), Some(data)) = (this.stream.as_mut(), frame.data_ref()) {
                    stream.silent = false;
                    stream.boundary.push(data);
                }
                if let Some(pending) = this.pending.as_mut() {
                    pending.piece();
                }
                if let (Some(watch), Some(data)) = (this.watch.as_mut(), frame.data_ref()) {
                    watch.push(data);
                }
                // A server that knows the length drops the body after its last byte, without asking again.
                if this.inner.is_end_stream() {
                    *this.finished = true;
                    learn(this.watch, this.pending);
                    close(this.pending, *this.ended);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                *this.finished = true;
                learn(this.watch, this.pending);
                close(this.pending, Ended::Upstream);
                match this.stream {
                    // Without `[DONE]`: the client must not take it for the whole answer.
                    Some(stream) => Poll::Ready(Some(Ok(Frame::data(stream.failure(&error))))),
                    None => Poll::Ready(Some(Err(error))),
                }
            }
            Poll::Ready(None) => {
                *this.finished = true;
                learn(this.watch, this.pending);
                close(this.pending, *this.ended);
                Poll::Ready(None)
            }
            Poll::Pending => match this.stream.as_mut() {
                Some(stream) => {
                    ready!(stream.poll_keep_alive(cx));
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(KEEP_ALIVE)))))
                }
                None => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.finished
    }

    fn size_hint(&self) -> SizeHint {
        // The exact length lets the server keep `content-length`; a stream may grow by comment lines.
        if self.stream.is_some() { SizeHint::default() } else { self.inner.size_hint() }
    }
}

fn learn(watch: &mut Option<Watch>, pending: &mut Option<Pending>) {
    if let Some(watch) = watch.take() {
        let (calls, misses) = watch.finish();
        if let Some(pending) = pending {
            pending.called(calls, misses);
        }
    }
}

fn close(pending: &mut Option<Pending>, ended: Ended) {
    if let Some(pending) = pending.take() {
        pending.end(ended);
    }
}

#[cfg(test)]
mod tests;
