//! The events of a streamed answer as typed messages.
//!
//! A stream that ends is whole when it said so: by `[DONE]`, or, since some providers leave that out, between two
//! events once a reason for the end was given. Any other end is told as an error, or the client would take half an
//! answer for all of it. The record goes by the same rule, whichever door the answer leaves by.

use std::{collections::VecDeque, time::Duration};

use futures_util::{Stream, stream};
use http_body_util::BodyExt;
use tonic::Status;

use super::{broken_off, descriptor};
use crate::{
    chat::{
        AnswerBody,
        sse::{Event, SseReader},
        typed,
    },
    proto::v1,
    service::{Failure, Reason},
};

/// How long a provider may take to end its answer after `[DONE]`: the client has everything by then.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The chunks of a streamed answer as typed messages.
pub(super) fn chunks(
    body: AnswerBody,
) -> impl Stream<Item = Result<v1::StreamChatCompletionResponse, Status>> + Send {
    let chunks =
        Chunks { body, reader: SseReader::new(), ready: VecDeque::new(), finished: false, over: false };
    stream::try_unfold(chunks, |mut chunks| async move {
        // The provider's doing, not the client's leaving.
        let next = chunks.next().await.inspect_err(|_| chunks.body.settle());
        Ok(next?.map(|chunk| (chunk, chunks)))
    })
}

struct Chunks {
    body: AnswerBody,
    reader: SseReader,
    ready: VecDeque<Event>,
    /// Whether a reason for the end was given.
    finished: bool,
    /// Whether the provider has ended its answer.
    over: bool,
}

impl Chunks {
    async fn next(&mut self) -> Result<Option<v1::StreamChatCompletionResponse>, Status> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if event.is_done() {
                    self.drain().await;
                    return Ok(None);
                }
                let chunk = chunk(&event.data)?;
                self.finished |= chunk.choices.iter().any(|choice| choice.finish_reason.is_some());
                return Ok(Some(chunk));
            }
            if self.over {
                return if self.finished { Ok(None) } else { Err(broken_off(&"it ended too early").into()) };
            }
            self.read().await?;
        }
    }

    /// Reads on, by one frame.
    async fn read(&mut self) -> Result<(), Status> {
        let Some(frame) = self.body.frame().await else {
            self.over = true;
            if !self.reader.at_boundary() {
                // Only a last `[DONE]` is whole without the empty line after it.
                self.push(b"\n\n")?;
                self.ready.retain(Event::is_done);
                self.finished = false;
            }
            return Ok(());
        };
        let frame = frame.map_err(|error| Status::from(Failure::from(error)))?;
        frame.data_ref().map_or(Ok(()), |data| self.push(data))
    }

    fn push(&mut self, data: &[u8]) -> Result<(), Status> {
        let mut events = Vec::new();
        self.reader.push(data, &mut events).map_err(|error| broken_off(&error))?;
        self.ready.extend(events);
        Ok(())
    }

    /// Reads the answer to its end, or it would be counted as if the client had left, but waits for no provider
    /// that does not end it.
    async fn drain(&mut self) {
        let rest = async { while let Some(Ok(_)) = self.body.frame().await {} };
        if tokio::time::timeout(LAST_WORDS, rest).await.is_err() {
            self.body.settle();
        }
    }
}

/// One event of a stream: a chunk, or the error that ends it.
fn chunk(data: &[u8]) -> Result<v1::StreamChatCompletionResponse, Status> {
    #[derive(serde::Deserialize)]
    struct ErrorEvent {
        error: serde_json::Value,
    }
    if let Ok(event) = serde_json::from_slice::<ErrorEvent>(data)
        && event.error.is_object()
    {
        let message =
            event.error["message"].as_str().unwrap_or("the provider ended the stream with an error");
        let late = event.error["code"] == Reason::UpstreamTimeout.code();
        let reason = if late { Reason::UpstreamTimeout } else { Reason::UpstreamUnreachable };
        return Err(Failure::new(reason, message).into());
    }
    typed::from_json(data, descriptor("StreamChatCompletionResponse"))
        .map_err(|error| broken_off(&error).into())
}
