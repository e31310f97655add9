//! `orqen/demo`: a model inside this process, so that the first command works without a provider's account.
//!
//! It answers in the provider's own format, streamed or not: with a friendly sentence, or, when tools came through,
//! with a call to the one that shares most words with the last user message. No randomness: the same body gives the
//! same answer and the same ids, so that tests and documentation can show it. Its usage is an estimate, four bytes a
//! token, and says nothing about any real tokenizer.

mod choose;
mod raw;
mod request;
mod schema;
mod words;
mod write;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderValue, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use serde_json::{json, value::RawValue};

use self::request::{Asked, Last, Problem};
use super::response::UpstreamResponse;

/// How much of a message an answer echoes, in characters.
const ECHOED: usize = 240;

/// Answers a chat request. What is no chat request gets a 400 in OpenAI's format, as from any provider.
pub(super) fn answer(body: &Bytes, now: DateTime<Utc>) -> UpstreamResponse {
    let document: Result<&RawValue, _> = serde_json::from_slice(body);
    let decided = document.map_err(|_| Problem::new(None, "the body is not JSON")).and_then(|document| {
        let asked = Asked::read(document)?;
        let content = decide(&asked)?;
        Ok((asked, content))
    });
    match decided {
        Ok((asked, content)) => {
            let answer = write::Answer::new(body, now, &asked, content);
            if asked.stream {
                respond(
                    StatusCode::OK,
                    "text/event-stream; charset=utf-8",
                    answer.events(asked.include_usage),
                )
            } else {
                respond(StatusCode::OK, "application/json", answer.document().to_string())
            }
        }
        Err(problem) => {
            let error = json!({
                "message": problem.message, "type": "invalid_request_error", "param": problem.param, "code": null,
            });
            respond(StatusCode::BAD_REQUEST, "application/json", json!({ "error": error }).to_string())
        }
    }
}

/// What the model says.
#[derive(Debug, PartialEq)]
enum Content {
    Text(String),
    Call { kind: request::ToolKind, name: String, input: String },
}

fn decide(asked: &Asked<'_>) -> Result<Content, Problem> {
    if let Last::ToolResult { tool, text } = &asked.last {
        let tool = tool.as_ref().map(|name| format!(" `{}`", words::cut(name, 64))).unwrap_or_default();
        let echo = words::cut(text, ECHOED);
        return Ok(Content::Text(format!("The tool{tool} answered: {echo}")));
    }
    if let Some(tool) = choose::tool(asked)? {
        let input = match tool.kind {
            request::ToolKind::Custom => words::cut(&asked.user_text, ECHOED),
            _ => schema::arguments(&schema::read(tool.parameters), &asked.user_text).to_string(),
        };
        return Ok(Content::Call { kind: tool.kind, name: tool.name.clone(), input });
    }
    let understood = match words::cut(&asked.user_text, ECHOED) {
        nothing if nothing.is_empty() => "I found no text in your last message.".to_owned(),
        echo => format!("You said: {echo}"),
    };
    Ok(Content::Text(format!(
        "Hello from orqen/demo, the small model built into Orqen: no provider was called. {understood}"
    )))
}

fn respond(status: StatusCode, media: &'static str, body: String) -> UpstreamResponse {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
    UpstreamResponse::local(status, headers, Full::new(Bytes::from(body)))
}

#[cfg(test)]
mod tests;
