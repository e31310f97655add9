//! The body of a gRPC request, within its time: `limits.body_timeout`, as REST's transcoder has it for its own.
//!
//! Without it a caller could hold a call open for ever, and with it the rights it was let in with.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tonic::Status;

use crate::service::{Failure, Reason};

pin_project! {
    /// A body that fails once it has taken too long.
    pub(super) struct Timely<B> {
        #[pin]
        body: B,
        #[pin]
        deadline: Sleep,
        limit: Duration,
    }
}

impl<B> Timely<B> {
    pub(super) fn new(body: B, limit: Duration) -> Self {
        Self { body, deadline: tokio::time::sleep(limit), limit }
    }
}

impl<B: Body> Body for Timely<B>
where
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = B::Data;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Status>>> {
        let this = self.project();
        if let Poll::Ready(frame) = this.body.poll_frame(cx) {
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| Status::from_error(error.into()))));
        }
        match this.deadline.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let message = format!(
                    "the request did not arrive within {} s; send it again",
                    this.limit.as_secs_f64()
                );
                Poll::Ready(Some(Err(Failure::new(Reason::RequestTimeout, message).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
