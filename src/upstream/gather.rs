//! Pieces of an answer that come close together go on as one: each piece that goes on by itself is a write to the client's
//! socket, which is most of what it costs.
//!
//! No timer is set. A piece waits for one turn of the scheduler, in which the connection to the provider hands on what it
//! has read already, and goes on with what came. The first piece waits for nothing, and neither do those of a provider
//! that takes its time, as models do: once nothing came within a turn, only every sixteenth piece waits for one.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// How many bytes are gathered before they go on, whatever else is there.
const ENOUGH: usize = 16 * 1024;
/// How many pieces do not wait after one that waited for nothing.
const PAUSE: u8 = 15;
/// How often a piece is asked for before a turn has passed for certain: hyper asks twice in each.
const ASKED: u8 = 2;

pin_project! {
    /// The same body in fewer pieces. Trailers are left out.
    pub(super) struct Gathered<B: Body> {
        #[pin]
        inner: B,
        held: Held,
        // What was held when the last turn was waited for, and how often that was answered with patience.
        waited: usize,
        asked: u8,
        // How many pieces to come wait for nothing.
        pause: u8,
        failed: Option<B::Error>,
    }
}

impl<B: Body> Gathered<B> {
    pub(super) fn new(inner: B) -> Self {
        Self { inner, held: Held::default(), waited: 0, asked: 0, pause: 1, failed: None }
    }
}

/// Pieces that wait, copied together once there are two.
#[derive(Default)]
struct Held {
    one: Bytes,
    all: BytesMut,
}

impl Held {
    fn len(&self) -> usize {
        self.one.len() + self.all.len()
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.one = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.reserve((4 * (self.one.len() + piece.len())).min(ENOUGH));
            self.all.extend_from_slice(&std::mem::take(&mut self.one));
        }
        self.all.extend_from_slice(&piece);
    }

    fn take(&mut self) -> Bytes {
        if self.all.is_empty() { std::mem::take(&mut self.one) } else { self.all.split().freeze() }
    }
}

impl<B: Body<Data = Bytes>> Body for Gathered<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        if let Some(error) = this.failed.take() {
            return Poll::Ready(Some(Err(error)));
        }
        while this.held.len() < ENOUGH && (this.held.len() == 0 || !this.inner.is_end_stream()) {
            match this.inner.as_mut().poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        this.held.push(piece);
                    }
                }
                Poll::Ready(Some(Err(error))) if this.held.len() == 0 => {
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Err(error))) => {
                    *this.failed = Some(error);
                    break;
                }
                Poll::Ready(None) if this.held.len() == 0 => return Poll::Ready(None),
                Poll::Ready(None) => break,
                Poll::Pending if this.held.len() == 0 => return Poll::Pending,
                Poll::Pending if *this.pause == 0 && this.held.len() > *this.waited => {
                    (*this.waited, *this.asked) = (this.held.len(), 1);
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending if *this.waited > 0 && *this.asked < ASKED => {
                    *this.asked += 1;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Pending => break,
            }
        }
        // One piece, and nothing came within the turn that it waited for.
        let in_vain = *this.waited > 0 && this.held.all.is_empty();
        *this.pause = if in_vain { PAUSE } else { this.pause.saturating_sub(1) };
        *this.waited = 0;
        Poll::Ready(Some(Ok(Frame::data(this.held.take()))))
    }

    fn is_end_stream(&self) -> bool {
        self.held.len() == 0 && self.failed.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, held) = (self.inner.size_hint(), self.held.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper().and_then(|upper| upper.checked_add(held)) {
            hint.set_upper(upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use futures_util::poll;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    type Piece = Result<Frame<Bytes>, io::Error>;

    fn gathered() -> (mpsc::Sender<Piece>, Gathered<StreamBody<ReceiverStream<Piece>>>) {
        let (sender, receiver) = mpsc::channel(4096);
        (sender, Gathered::new(StreamBody::new(ReceiverStream::new(receiver))))
    }

    fn data(text: &'static str) -> Piece {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    async fn next<B: Body<Data = Bytes, Error = io::Error> + Unpin>(body: &mut B) -> Option<Bytes> {
        Some(body.frame().await?.unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn what_is_there_at_once_comes_as_one_piece() {
        let (sender, mut body) = gathered();
        for piece in ["a", "b", "c"] {
            sender.send(data(piece)).await.unwrap();
        }
        assert_eq!(next(&mut body).await.unwrap(), "abc");
        sender.send(data("d")).await.unwrap();
        drop(sender);
        assert_eq!(next(&mut body).await.unwrap(), "d");
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn the_first_piece_waits_for_nothing_and_a_later_one_for_a_single_turn() {
        let (sender, mut body) = gathered();
        sender.send(data("a")).await.unwrap();
        assert!(poll!(body.frame()).is_ready(), "the first");
        sender.send(data("b")).await.unwrap();
        assert!(poll!(body.frame()).is_pending());
        assert!(poll!(body.frame()).is_pending(), "asked again in the same turn");
        sender.send(data("c")).await.unwrap();
        assert!(poll!(body.frame()).is_pending(), "something came: there may be more");
        assert_eq!(next(&mut body).await.unwrap(), "bc");
    }

    #[tokio::test]
    async fn pieces_of_a_slow_provider_do_not_wait() {
        let (sender, mut body) = gathered();
        let mut waits = 0;
        for _ in 0..100 {
            sender.send(data("x")).await.unwrap();
            while poll!(body.frame()).is_pending() {
                waits += 1;
            }
        }
        assert!((2..=14).contains(&waits), "{waits}");
    }

    #[tokio::test]
    async fn what_came_before_a_failure_goes_on_before_it() {
        let (sender, mut body) = gathered();
        for piece in [data("a"), data("b"), Err(io::Error::other("reset"))] {
            sender.send(piece).await.unwrap();
        }
        drop(sender);
        assert_eq!(next(&mut body).await.unwrap(), "ab");
        assert!(!body.is_end_stream());
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test]
    async fn no_more_is_held_than_is_enough_and_nothing_is_lost() {
        let (sender, mut body) = gathered();
        for _ in 0..1000 {
            sender.send(data("0123456789012345678901234567890123456789")).await.unwrap();
        }
        drop(sender);
        let mut came = 0;
        while let Some(piece) = next(&mut body).await {
            assert!(piece.len() < ENOUGH + 40);
            came += piece.len();
        }
        assert_eq!(came, 40_000);
    }
}
