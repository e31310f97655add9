//! A connection to a provider, as one request uses it.
//!
//! An HTTP/1 connection has no task of its own: it is driven by whoever waits for its answer. A task would have to be
//! woken for every piece that comes, only to wake the one that wants it, twice over the scheduler for each; and what it
//! would notice in between, that the provider has closed, is seen before the next request is written. HTTP/2, where one
//! connection carries many requests, has a task.
//!
//! The wakers: hyper's connection and the bodies that it hands out tell each other by wakers that there is something to
//! do. Here both are asked in turn by the same task, so that they get one that wakes nobody; the task's own is registered
//! last, before it waits.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::pool::Pool;

/// What bytes go over: TCP, with TLS or without.
pub(super) type Io = MaybeHttpsStream<TokioIo<TcpStream>>;

/// A request whose connection gave no answer.
pub(super) enum Unanswered {
    /// It broke; with the request where nothing of it was sent.
    Broken(Box<TrySendError<Request<Full<Bytes>>>>),
    /// Nothing came in time.
    Silent,
}

impl Unanswered {
    fn broken(error: TrySendError<Request<Full<Bytes>>>) -> Self {
        Self::Broken(Box::new(error))
    }
}

/// An HTTP/1 connection.
pub(super) struct Connection {
    /// Those that were opened before have smaller ones.
    pub(super) number: u64,
    sender: http1::SendRequest<Full<Bytes>>,
    driver: http1::Connection<Io, Full<Bytes>>,
    alarm: Alarm,
}

impl Connection {
    /// Begins to speak HTTP/1.
    pub(super) async fn begin(io: Io, number: u64) -> hyper::Result<Box<Self>> {
        let (sender, driver) = http1::handshake(io).await?;
        Ok(Box::new(Self { number, sender, driver, alarm: Alarm::new() }))
    }

    /// Whether it waits for a request: the last answer has been read to its end, and the provider has not closed.
    pub(super) fn is_open(&mut self) -> bool {
        self.drive(Waker::noop()).is_pending() && self.sender.is_ready()
    }

    /// Goes on with what there is to do; ready once the connection is over.
    fn drive(&mut self, waker: &Waker) -> Poll<()> {
        Pin::new(&mut self.driver).poll(&mut Context::from_waker(waker)).map(drop)
    }

    /// Sends a request and waits until then for the head of its answer. hyper looks first whether the provider has closed, or
    /// has said something unasked, and then gives the request back as it was.
    pub(super) async fn send(
        mut self: Box<Self>,
        (request, deadline): (Request<Full<Bytes>>, Instant),
        pool: &Arc<Pool>,
    ) -> Result<Response<Answer>, Unanswered> {
        let mut answer = std::pin::pin!(self.sender.try_send_request(request));
        let mut connection = Some(self);
        let response = std::future::poll_fn(|cx| {
            if connection.as_mut().is_some_and(|connection| connection.drive(cx.waker()).is_ready()) {
                // What it did not begin with comes back when it is dropped.
                connection = None;
            }
            match (answer.as_mut().poll(&mut Context::from_waker(Waker::noop())), &mut connection) {
                (Poll::Pending, Some(connection)) => {
                    connection.alarm.poll(deadline, cx).map(|()| Err(Unanswered::Silent))
                }
                (answer, _) => answer.map_err(Unanswered::broken),
            }
        });
        let response = response.await?;
        Ok(response.map(|incoming| Answer::new(incoming, connection.map(|it| (it, Arc::clone(pool))))))
    }
}

/// Wakes whoever waits for an answer once it is too late. It stays with its connection and is not set anew for each
/// request: that would be twice a lock that all timers share. Set for a request before, it rings too early, and is then set
/// to the time that it is needed for.
struct Alarm(Pin<Box<Sleep>>);

impl Alarm {
    fn new() -> Self {
        Self(Box::pin(sleep_until(Instant::now())))
    }

    /// Ready once it is that late.
    fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        if self.0.deadline() > deadline {
            self.0.as_mut().reset(deadline);
        }
        loop {
            ready!(self.0.as_mut().poll(cx));
            if self.0.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.0.as_mut().reset(deadline);
        }
    }
}

/// A connection that carries many requests.
pub(super) struct Multiplexed(pub(super) http2::SendRequest<Full<Bytes>>);

impl Multiplexed {
    /// Sends a request and waits until then for the head of its answer.
    pub(super) async fn send(
        mut self,
        (request, deadline): (Request<Full<Bytes>>, Instant),
    ) -> Result<Response<Answer>, Unanswered> {
        let answer = tokio::time::timeout_at(deadline, self.0.try_send_request(request)).await;
        let response = answer.map_err(|_| Unanswered::Silent)?.map_err(Unanswered::broken)?;
        Ok(response.map(|incoming| Answer::new(incoming, None)))
    }
}

/// The body of an answer. Dropped before its end, it closes its HTTP/1 connection, which is how a provider learns that
/// nobody listens; at its end the connection goes back to the pool.
pub(super) struct Answer {
    incoming: Incoming,
    /// What is to be driven for it; not with HTTP/2.
    connection: Option<(Box<Connection>, Arc<Pool>)>,
}

impl Answer {
    fn new(incoming: Incoming, connection: Option<(Box<Connection>, Arc<Pool>)>) -> Self {
        let mut answer = Self { incoming, connection };
        answer.give_back_at_end();
        answer
    }

    fn give_back_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some((connection, pool)) = self.connection.take() {
            pool.put(connection);
        }
    }

    /// The next frame that the connection has for it, which is driven as far as that takes.
    fn driven(&mut self, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let mut quiet = Context::from_waker(Waker::noop());
        let mut next = |incoming: &mut Incoming| Pin::new(incoming).poll_frame(&mut quiet);
        let mut frame = next(&mut self.incoming);
        for waker in [Waker::noop(), cx.waker()] {
            match &mut self.connection {
                Some((connection, _)) if frame.is_pending() => {
                    if connection.drive(waker).is_ready() {
                        self.connection = None;
                    }
                    frame = next(&mut self.incoming);
                }
                _ => break,
            }
        }
        frame
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = &mut *self;
        if this.connection.is_none() {
            return Pin::new(&mut this.incoming).poll_frame(cx);
        }
        let frame = this.driven(cx);
        match &frame {
            Poll::Ready(None) => this.give_back(),
            Poll::Ready(Some(Ok(_))) => this.give_back_at_end(),
            Poll::Ready(Some(Err(_))) => this.connection = None,
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::time::timeout_at;

    use super::*;

    const TIME: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_for_each_request_in_its_own_time_whatever_was_before() {
        let mut alarm = Alarm::new();
        let mut given = TIME;
        for place in 0..40 {
            let began = Instant::now();
            let (deadline, answered) = (began + given, began + given * (place % 7) * 3 / 10);
            let rang = timeout_at(answered, poll_fn(|cx| alarm.poll(deadline, cx))).await.is_ok();
            assert_eq!(rang, answered > deadline, "{place}: rings when nothing was answered");
            if rang {
                let late = Instant::now() - deadline;
                assert!(late < Duration::from_millis(5), "{place}: {late:?}");
            }
            // Others want less time, and more again.
            given = if place % 5 == 0 { TIME / 3 } else { TIME };
            tokio::time::sleep(TIME * (place % 3)).await;
        }
    }
}
