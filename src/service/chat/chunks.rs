//! The events of a streamed answer as typed messages.

use std::collections::VecDeque;

use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyStream;
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

/// The chunks of a streamed answer as typed messages.
pub(super) fn chunks(
    body: AnswerBody,
) -> impl Stream<Item = Result<v1::StreamChatCompletionResponse, Status>> + Send {
    struct State {
        body: BodyStream<AnswerBody>,
        reader: SseReader,
        ready: VecDeque<Event>,
    }
    let state = State { body: BodyStream::new(body), reader: SseReader::new(), ready: VecDeque::new() };
    stream::try_unfold(state, |mut state| async move {
        loop {
            if let Some(event) = state.ready.pop_front() {
                if event.is_done() {
                    // Read to its end, or it would be cut as if the client had left.
                    while let Some(Ok(_)) = state.body.next().await {}
                    return Ok(None);
                }
                let chunk = chunk(&event.data)?;
                return Ok(Some((chunk, state)));
            }
            let Some(frame) = state.body.next().await else { return Ok(None) };
            let frame = frame.map_err(|error| Status::from(broken_off(&error)))?;
            if let Ok(data) = frame.into_data() {
                let mut events = Vec::new();
                state.reader.push(&data, &mut events).map_err(|error| broken_off(&error))?;
                state.ready.extend(events);
            }
        }
    })
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
