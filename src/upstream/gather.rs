//! Pieces of an answer that are there together go on as one: each piece that goes on by itself is a write to the client's
//! socket, which is most of what it costs.
//!
//! Nothing is waited for. What a provider wrote while its connection was not looked at is read at once, and comes out of it
//! piece by piece without another turn of the scheduler (`connection`). Only the news that an answer broke off comes a turn
//! later: a server that hears of it throws away what it has not written yet, and a client has to see what came.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// How many bytes are gathered before they go on, whatever else is there.
const ENOUGH: usize = 16 * 1024;

pin_project! {
    /// The same body in fewer pieces. Trailers are left out.
    pub(super) struct Gathered<B: Body> {
        #[pin]
        inner: B,
        held: Held,
        failed: Option<B::Error>,
        // Whether it was put off for a turn.
        is_told: bool,
    }
}

impl<B: Body> Gathered<B> {
    pub(super) fn new(inner: B) -> Self {
        Self { inner, held: Held::default(), failed: None, is_told: false }
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
        while this.failed.is_none()
            && this.held.len() < ENOUGH
            && (this.held.len() == 0 || !this.inner.is_end_stream())
        {
            match this.inner.as_mut().poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        this.held.push(piece);
                    }
                }
                Poll::Ready(Some(Err(error))) => *this.failed = Some(error),
                Poll::Ready(None) if this.held.len() == 0 => return Poll::Ready(None),
                Poll::Pending if this.held.len() == 0 => return Poll::Pending,
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if this.held.len() > 0 {
            return Poll::Ready(Some(Ok(Frame::data(this.held.take()))));
        }
        if !std::mem::replace(this.is_told, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(this.failed.take().map(Err))
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
    async fn nothing_is_waited_for() {
        let (sender, mut body) = gathered();
        for _ in 0..3 {
            sender.send(data("a")).await.unwrap();
            assert!(poll!(body.frame()).is_ready());
            assert!(poll!(body.frame()).is_pending());
        }
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
        assert!(poll!(body.frame()).is_pending(), "what came is written first");
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
