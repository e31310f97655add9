//! A gRPC-Web client, framed by hand over HTTP/1.1 as a browser would send it: five bytes before each message, and the
//! trailers as the last frame of the body.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tonic::{Code, Status};

use crate::support::rest::{Answer, Rest};

/// The content type of its messages.
pub(crate) const CONTENT_TYPE: &str = "application/grpc-web+proto";
/// Set in the first byte of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;

/// A client with the credential of the REST client that it is made of.
#[derive(Clone)]
pub(crate) struct GrpcWeb {
    rest: Rest,
}

impl GrpcWeb {
    pub(crate) fn new(rest: &Rest) -> Self {
        Self { rest: rest.with(header::CONTENT_TYPE, CONTENT_TYPE) }
    }

    /// Calls the method at `path` with an encoded message; of a streamed answer the first message.
    pub(crate) async fn call(&self, path: &str, message: Bytes) -> Result<Bytes, Status> {
        let answer = self.send(path, framed(&message)).await;
        assert_eq!(answer.status, 200, "gRPC-Web tells errors in its trailers: {answer:?}");
        assert_eq!(answer.header("content-type"), CONTENT_TYPE);
        read(&answer)
    }

    /// Sends a body as it is.
    pub(crate) async fn send(&self, path: &str, body: Bytes) -> Answer {
        self.rest.send(Method::POST, path, body).await
    }
}

/// A message as one frame.
pub(crate) fn framed(message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(message.len() + 5);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap());
    frame.put_slice(message);
    frame.freeze()
}

/// The first message of an answer, or its error, which may be in the head where there is no body.
pub(crate) fn read(answer: &Answer) -> Result<Bytes, Status> {
    let mut body = answer.body.clone();
    let (mut message, mut trailers) = (None, answer.headers.clone());
    while body.has_remaining() {
        let (flags, length) = (body.get_u8(), body.get_u32() as usize);
        let frame = body.split_to(length);
        if flags & TRAILERS != 0 {
            trailers = parsed(&frame);
        } else {
            message.get_or_insert(frame);
        }
    }
    match Status::from_header_map(&trailers) {
        Some(status) if status.code() == Code::Ok => Ok(message.expect("a success has a message")),
        Some(status) => Err(status),
        None => panic!("neither head nor trailers have a status: {answer:?}"),
    }
}

fn parsed(frame: &[u8]) -> HeaderMap {
    let text = std::str::from_utf8(frame).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty());
    let pairs = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        (name.parse::<HeaderName>().unwrap(), value.trim().parse::<HeaderValue>().unwrap())
    });
    pairs.collect()
}
