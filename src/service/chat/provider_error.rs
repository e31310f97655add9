//! A provider's error over gRPC: the status it is nearest to, with the provider's body among the details.

use std::collections::HashMap;

use prost::Message;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::pb;

use super::{collect, content_type, metadata};
use crate::{chat::ChatAnswer, proto::google::api::HttpBody};

/// How much of a provider's error body goes into a gRPC status. It travels as a header, and clients commonly take
/// 8 KiB of those.
const ERROR_DETAIL: usize = 4 * 1024;

/// A provider's error as the gRPC status it is nearest to, with the provider's body among the details.
pub(super) async fn provider_error(answer: ChatAnswer) -> Status {
    let metadata = metadata(&answer);
    let content_type = content_type(&answer.headers);
    let status = answer.status;
    let mut body = collect(answer.body, ERROR_DETAIL).await.unwrap_or_else(|(part, _)| part);
    body.truncate(ERROR_DETAIL);
    let code = match status.as_u16() {
        400 | 422 => Code::InvalidArgument,
        404 => Code::NotFound,
        408 | 504 => Code::DeadlineExceeded,
        409 => Code::Aborted,
        413 | 429 => Code::ResourceExhausted,
        500 => Code::Internal,
        501 => Code::Unimplemented,
        502 | 503 | 529 => Code::Unavailable,
        code if code < 500 => Code::FailedPrecondition,
        _ => Code::Unknown,
    };
    let message = format!("the provider answered {status}; its body is among the details");
    let status_number = ("http_status".to_owned(), status.as_str().to_owned());
    let info = pb::ErrorInfo {
        reason: "PROVIDER_ERROR".into(),
        domain: "orqen".into(),
        metadata: HashMap::from([status_number]),
    };
    let body = HttpBody { content_type, data: body, extensions: Vec::new() };
    let any = |name: &str, value: Vec<u8>| Any { type_url: format!("type.googleapis.com/{name}"), value };
    let details = pb::Status {
        code: code as i32,
        message: message.clone(),
        details: vec![
            any("google.rpc.ErrorInfo", info.encode_to_vec()),
            any("google.api.HttpBody", body.encode_to_vec()),
        ],
    };
    Status::with_details_and_metadata(code, message, details.encode_to_vec().into(), metadata)
}
