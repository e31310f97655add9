//! The provider's answer on its way to the client: passed on as it comes, and metered.
//!
//! What of it is kept back is decided elsewhere: of a stream by its sieve, of an answer in one piece before it gets
//! here (`withheld`).

mod stream;
#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use self::stream::{KEEP_ALIVE, StreamState, joined};
use crate::{
    chat::{
        glance::Glance,
        sieve::Sieve,
        watch::Watch,
        withheld::{Received, Withheld},
    },
    domain::usage::{Ended, Routing, ToolTally},
    limits::{Permit, Requests},
    prune::Skipped,
    upstream::{UpstreamBody, UpstreamError},
    usage::Pending,
};

/// An answer whose record is still open elsewhere.
pub(super) struct Unmetered {
    pub(super) received: Received,
    pub(super) withheld: Withheld,
    pub(super) tally: ToolTally,
    pub(super) pruned: Pruned,
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
        let Received { response, watch, guard } = self.received;
        let streamed = response.is_event_stream();
        let mut headers = response.headers;
        if streamed {
            // Comment lines and a last error event may make it longer than the provider said, and what is kept back
            // shorter.
            headers.remove(header::CONTENT_LENGTH);
        }
        let ended = if response.status.is_success() { Ended::Complete } else { Ended::Upstream };
        running.pending.status(response.status.as_u16());
        let requests = running.permit.requests;
        let stream = streamed.then(|| {
            let sieve = Sieve::new(self.hides_usage, guard);
            Box::new(StreamState::new(sieve.map(|sieve| (sieve, self.withheld.clone()))))
        });
        let meter = Meter { watch: Some(watch), withheld: self.withheld, running: Some(running), ended };
        let mut body = AnswerBody {
            // A server does not ask an empty body for anything, and drops it as if the client had left.
            finished: response.body.is_end_stream(),
            inner: response.body,
            meter: Box::new(meter),
            stream,
        };
        if body.finished {
            body.settle();
        }
        ChatAnswer {
            status: response.status,
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
        // Boxed, since a body moves with its answer from one step to the next.
        meter: Box<Meter>,
        stream: Option<Box<StreamState>>,
        finished: bool,
    }

    impl PinnedDrop for AnswerBody {
        fn drop(this: Pin<&mut Self>) {
            // The client left: what came so far counts. Not in a panic, of which a second one would be the end.
            if !std::thread::panicking() {
                this.project().meter.tell();
            }
        }
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
        self.meter.close();
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
            let passed = match this.inner.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are not passed on.
                    let Ok(piece) = frame.into_data() else { continue };
                    let glance = this.stream.as_ref().map(|_| Glance::of(&piece));
                    this.meter.piece(&piece, glance);
                    // A server that knows the length drops the body after its last byte, without asking again.
                    *this.finished = this.inner.is_end_stream();
                    passed(piece, glance, this.stream.as_deref_mut(), this.finished, this.meter)
                }
                Poll::Ready(Some(Err(error))) => {
                    *this.finished = true;
                    this.meter.broke_off();
                    return match this.stream {
                        // Without `[DONE]`: the client must not take it for the whole answer.
                        Some(stream) => Poll::Ready(Some(Ok(Frame::data(stream.failure(&error))))),
                        None => Poll::Ready(Some(Err(error))),
                    };
                }
                Poll::Ready(None) => {
                    *this.finished = true;
                    last(this.stream.as_deref_mut(), this.meter)
                }
                Poll::Pending => {
                    let Some(stream) = this.stream.as_mut() else { return Poll::Pending };
                    ready!(stream.poll_keep_alive(cx));
                    return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(KEEP_ALIVE)))));
                }
            };
            if !passed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(passed))));
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

/// What the client gets of a piece. It may be the last one, because the provider has ended or nothing may pass any
/// more.
fn passed(
    piece: Bytes,
    glance: Option<Glance>,
    stream: Option<&mut StreamState>,
    finished: &mut bool,
    meter: &mut Meter,
) -> Bytes {
    let (Some(stream), Some(glance)) = (stream, glance) else {
        if *finished {
            meter.close();
        }
        return piece;
    };
    let (passed, failed) = stream.pass(piece, glance);
    if failed {
        *finished = true;
        meter.broke_off();
        return passed;
    }
    if *finished { joined(passed, last(Some(stream), meter)) } else { passed }
}

/// What the client gets at the end; closes the record.
fn last(stream: Option<&mut StreamState>, meter: &mut Meter) -> Bytes {
    let (rest, failed) = stream.map(StreamState::rest).unwrap_or_default();
    if failed {
        meter.broke_off()
    } else {
        meter.close()
    }
    rest
}

/// The record of an answer under way, and what it is told of.
struct Meter {
    watch: Option<Box<Watch>>,
    withheld: Withheld,
    running: Option<Running>,
    ended: Ended,
}

impl Meter {
    /// Takes note of a piece as the provider sent it.
    fn piece(&mut self, piece: &Bytes, glance: Option<Glance>) {
        if let Some(running) = &mut self.running {
            running.pending.piece();
        }
        if let Some(watch) = &mut self.watch {
            watch.push(piece, glance);
        }
    }

    /// Hands on what the answer told, once. A stream that ended before it said so is none of the complete ones.
    fn tell(&mut self) {
        if let (Some(watch), Some(Running { pending, .. })) = (self.watch.take(), &mut self.running) {
            let whole = tell(watch, &self.withheld, pending);
            if !whole {
                self.ended = Ended::Upstream;
            }
        }
    }

    /// Closes the record of an answer that ended by itself.
    fn close(&mut self) {
        self.tell();
        if let Some(Running { pending, permit }) = self.running.take() {
            pending.end(self.ended);
            drop(permit);
        }
    }

    /// Closes the record of one that did not.
    fn broke_off(&mut self) {
        self.tell();
        self.ended = Ended::Upstream;
        self.close();
    }
}

/// Hands on what an answer told; whether it is all there.
pub(super) fn tell(watch: Box<Watch>, withheld: &Withheld, pending: &mut Pending) -> bool {
    let told = watch.finish();
    pending.called(told.calls, told.misses);
    pending.tokens(told.tokens);
    withheld.observed(told.would_remove);
    told.whole
}
