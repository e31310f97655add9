//! Bodies that nobody wanted to read: of a request that was refused by its headers, or by its size.
//!
//! Over HTTP/1 a server that answers and closes while its client still writes makes that client see a broken
//! connection, and never the 401 or 413 that says why. So what is left is read and thrown away before the answer
//! goes out, up to a bound of bytes and of time. HTTP/2 needs none of it: it resets the one stream, after the answer.
//!
//! The next request stands behind those bytes too. Where they were not read to their end hyper closes the connection,
//! and the client must be told, or it loses that request on it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Version, header, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::oneshot;

use crate::{
    limits::Place,
    rest::{BoxError, Crowded},
};

/// What is read for nothing at most, in bytes: most chat requests, and far more than any account route takes.
const MOST: usize = 8 * 1024 * 1024;
/// How long is waited for it.
const LONGEST: Duration = Duration::from_secs(2);

/// The body of a request. Whoever is lent it leaves what is not read; of one that is taken away, and was `watched`, that
/// goes to whoever holds its `Remainder`.
pub(super) struct Sent {
    // There until it is given back.
    body: Option<Incoming>,
    place: Place,
    back: Option<oneshot::Sender<Incoming>>,
}

/// What may be left of a body once its request is answered.
pub(super) struct Remainder {
    left: oneshot::Receiver<Incoming>,
    is_asking: bool,
}

/// The same request, and what will be left of its body.
pub(super) fn watched(mut request: Request<Sent>) -> (Request<Sent>, Remainder) {
    let (back, left) = oneshot::channel();
    let lingers = request.version() < Version::HTTP_2;
    let is_asking = is_asking(request.headers());
    request.body_mut().back = lingers.then_some(back);
    (request, Remainder { left, is_asking })
}

impl Remainder {
    /// Reads what is left and throws it away, and says whether the connection can take another request.
    pub(super) async fn discard(mut self) -> bool {
        match self.left.try_recv() {
            Ok(mut left) => !self.is_asking && thrown_away(&mut left).await,
            Err(_) => true,
        }
    }
}

impl Sent {
    pub(super) fn new(body: Incoming, place: Place) -> Self {
        Self { body: Some(body), place, back: None }
    }

    /// Reads what is left and throws it away, and says whether the connection can take another request.
    pub(super) async fn discard(&mut self, head: &Parts) -> bool {
        match &mut self.body {
            Some(body) if head.version < Version::HTTP_2 && !body.is_end_stream() => {
                !is_asking(&head.headers) && Box::pin(thrown_away(body)).await
            }
            _ => true,
        }
    }
}

/// Whether a client asks first (`Expect: 100-continue`): then it has sent nothing yet, and reading would tell it to.
fn is_asking(headers: &HeaderMap) -> bool {
    headers.contains_key(header::EXPECT)
}

async fn thrown_away(body: &mut Incoming) -> bool {
    let reading = async {
        let mut read = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return false };
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > MOST {
                return false;
            }
        }
        true
    };
    // Whether it came in time or not: the answer goes out now.
    tokio::time::timeout(LONGEST, reading).await.unwrap_or(false)
}

impl Drop for Sent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !body.is_end_stream()
        {
            // Whoever no longer waits for it has answered already.
            let _ = back.send(body);
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx)?);
        let length = frame.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
        if !self.place.reads(length) {
            return Poll::Ready(Some(Err(Crowded.into())));
        }
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use http_body_util::Empty;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::limits::{Load, LoadBounds};

    /// A client on a connection whose server answers without a look at the body.
    fn connect() -> DuplexStream {
        let (client, server) = tokio::io::duplex(1024);
        let service = service_fn(|request: Request<Incoming>| async move {
            let place = Load::new(LoadBounds { requests: 1, body_bytes: 1024 }).enter().unwrap();
            let (head, body) = request.into_parts();
            let mut body = Sent::new(body, place);
            let mut response = Response::builder();
            let taken = if head.uri.path() == "/watched" {
                let (request, remainder) = watched(Request::from_parts(head, body));
                drop(request);
                remainder.discard().await
            } else {
                body.discard(&head).await
            };
            if !taken {
                response = response.header(header::CONNECTION, "close");
            }
            Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
        });
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
        #[expect(clippy::disallowed_methods, reason = "the server of one test ends with it")]
        tokio::spawn(connection);
        client
    }

    async fn answer(client: &mut DuplexStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_after_the_refusal_leaves_the_connection_to_the_next_request() {
        let mut client = connect();
        for path in ["/", "/watched", "/"] {
            let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            tokio::time::sleep(LONGEST / 2).await;
            client.write_all(b"body").await.unwrap();
            let answer = answer(&mut client).await;
            assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("connection"), "{answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_whose_body_is_not_waited_for_is_told_that_the_connection_closes() {
        let asking = "content-length: 4\r\nexpect: 100-continue";
        for (path, fields) in [
            ("/", "content-length: 4"),
            ("/", asking),
            ("/watched", "content-length: 4"),
            ("/watched", asking),
        ] {
            let mut client = connect();
            let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{fields}\r\n\r\n");
            client.write_all(head.as_bytes()).await.unwrap();
            let answer = answer(&mut client).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
        }
    }
}
