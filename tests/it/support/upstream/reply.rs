//! What the scripted provider answers: whole, broken, or piece by piece as the test says.

use tokio::sync::mpsc;

/// What the provider does with one request.
pub(crate) struct Reply(pub(super) Script);

pub(super) enum Script {
    /// Writes this and goes on with the connection.
    Answer(Vec<u8>),
    /// Writes this and closes.
    HangUp(Vec<u8>),
    /// Writes this, then what the test says.
    Live(Vec<u8>, mpsc::UnboundedReceiver<Step>),
}

pub(super) enum Step {
    Write(Vec<u8>),
    End,
    Cut,
}

impl Reply {
    /// 200 with a JSON body.
    pub(crate) fn json(body: &str) -> Self {
        Self::status("200 OK", &[("content-type", "application/json")], body)
    }

    /// Any status (`429 Too Many Requests`) with headers and a body of known length.
    pub(crate) fn status(status: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let length = body.len().to_string();
        let mut answer = head(status, headers, &[("content-length", &length)]);
        answer.extend_from_slice(body.as_bytes());
        Self(Script::Answer(answer))
    }

    /// A whole event stream at once, each text one chunk.
    pub(crate) fn events(pieces: &[&str]) -> Self {
        let mut answer = stream_head(&[]);
        for piece in pieces {
            answer.extend_from_slice(&chunk(piece.as_bytes()));
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        Self(Script::Answer(answer))
    }

    /// Bytes as they are; then the connection is closed.
    pub(crate) fn raw(bytes: &str) -> Self {
        Self(Script::HangUp(bytes.as_bytes().to_vec()))
    }

    /// Nothing, until the gateway gives up.
    pub(crate) fn silence() -> Self {
        Self::stalled("")
    }

    /// Bytes as they are, and nothing more until the gateway gives up.
    pub(crate) fn stalled(bytes: &str) -> Self {
        // The sender is gone at once, which `run` takes for "no more is said".
        Self(Script::Live(bytes.as_bytes().to_vec(), mpsc::unbounded_channel().1))
    }

    /// The head of an event stream, whose pieces the test sends.
    pub(crate) fn stream() -> (Self, LiveStream) {
        Self::stream_with(&[])
    }

    /// The same with more headers.
    pub(crate) fn stream_with(headers: &[(&str, &str)]) -> (Self, LiveStream) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(Script::Live(stream_head(headers), receiver)), LiveStream(sender))
    }
}

/// The test's end of a stream that is under way. Dropped without a word, the provider falls silent.
pub(crate) struct LiveStream(mpsc::UnboundedSender<Step>);

impl LiveStream {
    /// Sends a piece, in a chunk of its own.
    pub(crate) fn send(&self, piece: &str) {
        self.0.send(Step::Write(chunk(piece.as_bytes()))).expect("the provider still runs");
    }

    /// Ends the stream properly.
    pub(crate) fn end(self) {
        self.0.send(Step::End).expect("the provider still runs");
    }

    /// Closes the connection in the middle.
    pub(crate) fn cut(self) {
        self.0.send(Step::Cut).expect("the provider still runs");
    }
}

fn head(status: &str, headers: &[(&str, &str)], framing: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers.iter().chain(framing) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn stream_head(headers: &[(&str, &str)]) -> Vec<u8> {
    let framing = [("content-type", "text/event-stream; charset=utf-8"), ("transfer-encoding", "chunked")];
    head("200 OK", headers, &framing)
}

fn chunk(piece: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", piece.len()).into_bytes();
    chunk.extend_from_slice(piece);
    chunk.extend_from_slice(b"\r\n");
    chunk
}
