//! The body of an answer on its way out, with what ends with its last byte: the request's line in the log, and its place.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    domain::usage::Ended,
    limits::Place,
    rest::{Body, BoxError},
    telemetry::RequestLog,
};

pin_project! {
    /// A body with the request's log line, which is written after its last byte.
    pub(super) struct Logged {
        #[pin]
        body: Body,
        log: Option<RequestLog>,
        // Held to the last byte.
        place: Option<Place>,
    }
}

impl Logged {
    pub(super) fn new(body: Body, log: RequestLog, place: Option<Place>) -> Self {
        // A body that is over before it began is dropped by the server without being asked for anything.
        if http_body::Body::is_end_stream(&body) {
            log.finish(Ended::Complete);
            return Self { body, log: None, place: None };
        }
        Self { body, log: Some(log), place }
    }
}

impl http_body::Body for Logged {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(cx));
        let ended = match &frame {
            None => Some(Ended::Complete),
            Some(Err(_)) => Some(Ended::Upstream),
            // A server that knows the length drops the body after its last byte, without asking again.
            Some(Ok(_)) if this.body.is_end_stream() => Some(Ended::Complete),
            Some(Ok(_)) => None,
        };
        if let (Some(ended), Some(log)) = (ended, ended.and_then(|_| this.log.take())) {
            log.finish(ended);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
