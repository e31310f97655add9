//! `ChatService`: the chat pipeline behind three doors that share it: bytes over REST, bytes over gRPC, and typed
//! messages over gRPC.

use std::{pin::Pin, sync::Arc};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Response as HttpResponse, header};
use http_body_util::{BodyExt, BodyStream};
use prost::Message;
use prost_reflect::MessageDescriptor;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::{
    chat::{AnswerBody, ChatAnswer, Pruned, typed},
    domain::{usage::ToolTally, violation::shown},
    proto::{
        POOL,
        google::api::HttpBody,
        v1::{self, chat_service_server::ChatService},
    },
    service::{
        Failure, Parts, Reason,
        admitted::{Admitted, admitted, caller},
        number::number,
        status::request_headers,
    },
};

mod chunks;
mod explain;
mod provider_error;

use self::{chunks::chunks, provider_error::provider_error};

/// The path of the one method that takes and returns raw bytes.
pub(super) const RAW: &str = "/orqen.v1.ChatService/CreateRawChatCompletion";
/// The methods that complete a chat. Each call of one that was let in leaves a record.
pub(super) const COMPLETIONS: [&str; 3] =
    [RAW, "/orqen.v1.ChatService/CreateChatCompletion", "/orqen.v1.ChatService/StreamChatCompletion"];

/// The method that says what would become of a chat request: it completes none, and leaves no record.
pub(super) const EXPLAIN: &str = "/orqen.v1.ChatService/ExplainToolSelection";

const INPUT: HeaderName = HeaderName::from_static("x-orqen-tools-input");
const DENIED: HeaderName = HeaderName::from_static("x-orqen-tools-denied");
const OUTPUT: HeaderName = HeaderName::from_static("x-orqen-tools-output");
const WOULD_DENY: HeaderName = HeaderName::from_static("x-orqen-tools-would-deny");
const ROUTING: HeaderName = HeaderName::from_static("x-orqen-routing");
const RATIO: HeaderName = HeaderName::from_static("x-orqen-prune-ratio");
const SAVED: HeaderName = HeaderName::from_static("x-orqen-tokens-saved");
const SKIPPED: HeaderName = HeaderName::from_static("x-orqen-prune-skipped");

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

pub(super) struct Chat {
    parts: Arc<Parts>,
}

impl Chat {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        Self { parts }
    }

    /// The REST route: bytes in, bytes out, no gRPC framing.
    pub(super) async fn native(
        &self,
        admitted: &Admitted,
        body: Bytes,
        head: &http::request::Parts,
    ) -> Result<HttpResponse<AnswerBody>, Failure> {
        let (caller, arrival) = (admitted.now()?, admitted.arrival()?);
        let answer = self.parts.chat.complete(arrival, &caller, body, &head.headers).await?;
        let mut response = HttpResponse::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        request_headers(answer.requests, response.headers_mut());
        tool_headers(&answer.tally, answer.pruned, response.headers_mut());
        Ok(response)
    }

    /// A typed request: encoded to bytes first, it meets the same scanner as any other.
    async fn typed<M: Message>(
        &self,
        request: Request<M>,
        name: &str,
        streamed: bool,
    ) -> Result<ChatAnswer, Status> {
        let admitted = admitted(&request)?;
        let caller = admitted.now()?;
        let headers = request.metadata().clone().into_headers();
        let json = typed::to_json(request.get_ref(), descriptor(name), streamed).map_err(Failure::from)?;
        let answer = self.parts.chat.complete(admitted.arrival()?, &caller, json.into(), &headers).await;
        let answer = answer.map_err(Failure::from)?;
        if answer.status.is_success() { Ok(answer) } else { Err(provider_error(answer).await) }
    }
}

fn descriptor(name: &str) -> MessageDescriptor {
    POOL.get_message_by_name(&format!("orqen.v1.{name}")).expect("the pool holds every message of the protos")
}

/// What became of the tools, for the client to see.
fn tool_headers(tally: &ToolTally, pruned: Pruned, headers: &mut HeaderMap) {
    headers.insert(INPUT, number(tally.input));
    headers.insert(DENIED, number(tally.denied));
    headers.insert(OUTPUT, number(tally.output));
    if tally.would_deny > 0 {
        headers.insert(WOULD_DENY, number(tally.would_deny));
    }
    let Some(routing) = pruned.routing else { return };
    headers.insert(ROUTING, HeaderValue::from_static(routing.as_str()));
    // Of those that the lists let through, as many went on.
    let ratio = format!("{}/{}", tally.output, tally.input - tally.denied);
    headers.insert(RATIO, HeaderValue::try_from(ratio).expect("digits and a slash"));
    if let Some(saved) = pruned.tokens_saved {
        headers.insert(SAVED, HeaderValue::from(saved));
    }
    if let Some(skipped) = pruned.skipped {
        headers.insert(SKIPPED, HeaderValue::from_static(skipped.as_str()));
    }
}

fn metadata(answer: &ChatAnswer) -> MetadataMap {
    let mut headers = answer.headers.clone();
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING] {
        headers.remove(name);
    }
    // In gRPC the name says that the value is base64, which a provider's need not be: clients fail the call.
    let binary: Vec<_> = headers.keys().filter(|name| name.as_str().ends_with("-bin")).cloned().collect();
    for name in binary {
        headers.remove(name);
    }
    request_headers(answer.requests, &mut headers);
    tool_headers(&answer.tally, answer.pruned, &mut headers);
    MetadataMap::from_headers(headers)
}

fn content_type(headers: &HeaderMap) -> String {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("application/octet-stream")
        .to_owned()
}

/// The whole body, or what came of it before it grew beyond `most` or broke off.
async fn collect(mut body: AnswerBody, most: usize) -> Result<Bytes, (Bytes, Failure)> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => whole.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref())),
            Err(error) => return Err((whole.freeze(), error.into())),
        }
        if whole.len() > most {
            body.settle();
            let failure = Failure::new(
                Reason::UpstreamUnreachable,
                format!(
                    "the provider's answer is larger than {most} bytes: stream it, or use CreateRawChatCompletion"
                ),
            );
            return Err((whole.freeze(), failure));
        }
    }
    Ok(whole.freeze())
}

/// Refuses a body that is declared to be something else than JSON.
fn json_only(content_type: &str) -> Result<(), Failure> {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.is_empty() || essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = format!("content_type is {}: send application/json", shown(content_type));
    Err(Failure::new(Reason::UnsupportedMediaType, message).about("content_type"))
}

fn broken_off(error: &impl std::fmt::Display) -> Failure {
    Failure::new(Reason::UpstreamUnreachable, format!("the provider's answer broke off: {error}"))
}

#[tonic::async_trait]
impl ChatService for Chat {
    type CreateRawChatCompletionStream = BoxStream<HttpBody>;
    type StreamChatCompletionStream = BoxStream<v1::StreamChatCompletionResponse>;

    async fn create_raw_chat_completion(
        &self,
        request: Request<HttpBody>,
    ) -> Result<Response<Self::CreateRawChatCompletionStream>, Status> {
        let admitted = admitted(&request)?.clone();
        let caller = admitted.now()?;
        let headers = request.metadata().clone().into_headers();
        let body = request.into_inner();
        json_only(&body.content_type)?;
        let answer = self.parts.chat.complete(admitted.arrival()?, &caller, body.data, &headers).await;
        let answer = answer.map_err(Failure::from)?;
        if !answer.status.is_success() {
            return Err(provider_error(answer).await);
        }
        let metadata = metadata(&answer);
        let mut content_type = Some(content_type(&answer.headers));
        let frames = BodyStream::new(answer.body);
        let pieces = TryStreamExt::map_err(frames, |error| Status::from(Failure::from(error)))
            .try_filter_map(|frame| async move { Ok(frame.into_data().ok()) })
            .map_ok(move |data| HttpBody {
                // Once is enough: it holds for the whole stream.
                content_type: content_type.take().unwrap_or_default(),
                data,
                extensions: Vec::new(),
            });
        let mut response: Response<Self::CreateRawChatCompletionStream> = Response::new(Box::pin(pieces));
        *response.metadata_mut() = metadata;
        Ok(response)
    }

    async fn create_chat_completion(
        &self,
        request: Request<v1::CreateChatCompletionRequest>,
    ) -> Result<Response<v1::CreateChatCompletionResponse>, Status> {
        let answer = self.typed(request, "CreateChatCompletionRequest", false).await?;
        let (metadata, requests) = (metadata(&answer), answer.requests);
        let body = collect(answer.body, self.parts.limits.chat_body).await;
        let body = body.map_err(|(_, failure)| failure.with_requests(requests))?;
        let message =
            typed::from_json(&body, descriptor("CreateChatCompletionResponse")).map_err(|error| {
                Failure::new(
                    Reason::UpstreamUnreachable,
                    format!("the provider's answer is no chat completion: {error}"),
                )
                .with_requests(requests)
            })?;
        let mut response = Response::new(message);
        *response.metadata_mut() = metadata;
        Ok(response)
    }

    async fn stream_chat_completion(
        &self,
        request: Request<v1::StreamChatCompletionRequest>,
    ) -> Result<Response<Self::StreamChatCompletionStream>, Status> {
        let mut answer = self.typed(request, "StreamChatCompletionRequest", true).await?;
        if !answer.body.is_event_stream() {
            answer.body.settle();
            let message = format!(
                "the provider answered with {} where a stream was asked for: use CreateChatCompletion for this model",
                shown(&content_type(&answer.headers))
            );
            let failure = Failure::new(Reason::UpstreamUnreachable, message);
            return Err(failure.with_requests(answer.requests).into());
        }
        let metadata = metadata(&answer);
        let mut response: Response<Self::StreamChatCompletionStream> =
            Response::new(Box::pin(chunks(answer.body)));
        *response.metadata_mut() = metadata;
        Ok(response)
    }

    async fn explain_tool_selection(
        &self,
        request: Request<v1::ExplainToolSelectionRequest>,
    ) -> Result<Response<v1::ExplainToolSelectionResponse>, Status> {
        self.explained(request).await
    }

    async fn list_models(
        &self,
        request: Request<v1::ListModelsRequest>,
    ) -> Result<Response<v1::ListModelsResponse>, Status> {
        caller(&request)?;
        let data = self.parts.chat.models().await.into_iter().map(|model| v1::Model {
            id: model.id,
            object: "model".into(),
            created: model.created,
            owned_by: model.owned_by,
        });
        Ok(Response::new(v1::ListModelsResponse { object: "list".into(), data: data.collect() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_of_the_service_completes_a_chat_or_is_known_not_to() {
        let service = POOL.get_service_by_name("orqen.v1.ChatService").unwrap();
        let paths = service.methods().map(|method| format!("/{}/{}", service.full_name(), method.name()));
        let others: Vec<_> = paths.filter(|path| !COMPLETIONS.contains(&path.as_str())).collect();
        assert_eq!(others, [EXPLAIN, "/orqen.v1.ChatService/ListModels"]);
        assert_eq!(service.methods().len(), COMPLETIONS.len() + others.len());
    }
}
