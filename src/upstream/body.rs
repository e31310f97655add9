//! The body of an answer as it comes from a provider, with a deadline for silence.
//!
//! The clock runs only while the provider is being waited for: a long healthy stream is never cut, and neither is
//! one whose reader is slow. It is looked at in steps of an eighth of the time, so that a piece that comes in between
//! costs no clock and no timer: a silence is noticed after the time and an eighth of it at most. Trailers are left out, since their names are under nobody's control.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};

use super::response::UpstreamError;

/// In how many steps a silence is measured.
const STEPS: u32 = 8;

pin_project! {
    /// Ends with an error when `inner` is silent for too long or breaks.
    pub(super) struct ProviderBody<B> {
        #[pin]
        inner: B,
        // There once something had to be waited for: most answers in one piece come with their heads.
        #[pin]
        step: Option<Sleep>,
        upstream: Arc<str>,
        idle_timeout: Duration,
        // Whether something came within this step, and how many have passed in which nothing did.
        heard: bool,
        silent: u32,
        over: bool,
    }
}

impl<B> ProviderBody<B> {
    /// Watches over `inner`, the answer of the upstream of this name.
    pub(super) fn new(inner: B, upstream: &Arc<str>, idle_timeout: Duration) -> Self {
        Self {
            inner,
            step: None,
            upstream: Arc::clone(upstream),
            idle_timeout,
            heard: false,
            silent: 0,
            over: false,
        }
    }
}

impl<B> Body for ProviderBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: std::error::Error,
{
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let mut this = self.project();
        if *this.over {
            return Poll::Ready(None);
        }
        loop {
            match this.inner.as_mut().poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    *this.heard = true;
                    if frame.is_data() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Poll::Ready(Some(Err(_))) => {
                    *this.over = true;
                    let message = format!("the upstream `{}` broke off its answer", this.upstream);
                    return Poll::Ready(Some(Err(UpstreamError::Unreachable { message })));
                }
                Poll::Ready(None) => {
                    *this.over = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => break,
            }
        }
        let step = *this.idle_timeout / STEPS;
        while *this.silent < STEPS {
            match this.step.as_mut().as_pin_mut() {
                Some(mut timer) => {
                    ready!(timer.as_mut().poll(context));
                    *this.silent = if *this.heard { 0 } else { *this.silent + 1 };
                    *this.heard = false;
                    timer.reset(Instant::now() + step);
                }
                None => this.step.set(Some(tokio::time::sleep(step))),
            }
        }
        *this.over = true;
        let what = format!(
            "the upstream `{}` was silent for {:?} in the middle of its answer (`idle_timeout`)",
            this.upstream, this.idle_timeout
        );
        Poll::Ready(Some(Err(UpstreamError::Timeout { what })))
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::mpsc;

    use super::*;

    type Piece = Result<Frame<Bytes>, std::io::Error>;

    fn watched(
        idle: Duration,
    ) -> (mpsc::Sender<Piece>, Pin<Box<ProviderBody<impl Body<Data = Bytes, Error = std::io::Error>>>>) {
        let (sender, receiver) = mpsc::channel(4);
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver).fuse();
        (sender, Box::pin(ProviderBody::new(StreamBody::new(stream), &"openai".into(), idle)))
    }

    fn data(text: &'static str) -> Piece {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test]
    async fn a_stream_that_goes_on_is_never_cut() {
        let (sender, mut body) = watched(Duration::from_millis(400));
        let feeding = async move {
            for _ in 0..20 {
                tokio::time::sleep(Duration::from_millis(40)).await;
                sender.send(data("x")).await.unwrap();
            }
        };
        let reading = async {
            let mut count = 0;
            while let Some(frame) = body.frame().await {
                frame.unwrap();
                count += 1;
            }
            count
        };
        assert_eq!(tokio::join!(feeding, reading).1, 20);
    }

    #[tokio::test]
    async fn silence_ends_the_body_with_one_error() {
        let (_sender, mut body) = watched(Duration::from_millis(50));
        let began = Instant::now();
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(began.elapsed() >= Duration::from_millis(50));
        assert!(matches!(&error, UpstreamError::Timeout { what } if what.contains("`openai`")), "{error}");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_slow_reader_is_not_taken_for_a_silent_provider() {
        let (sender, mut body) = watched(Duration::from_millis(400));
        sender.send(data("a")).await.unwrap();
        body.frame().await.unwrap().unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        let (frame, ()) = tokio::join!(body.frame(), async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            sender.send(data("b")).await.unwrap();
        });
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), "b");
    }

    #[tokio::test]
    async fn trailers_are_left_out_and_a_break_is_an_error() {
        let (sender, mut body) = watched(Duration::from_secs(10));
        sender.send(Ok(Frame::trailers(http::HeaderMap::new()))).await.unwrap();
        sender.send(Err(std::io::Error::other("reset"))).await.unwrap();
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error}");
    }
}
