//! The demo model's answer in OpenAI's format: one document, or the events of a stream.
//!
//! A stream is cut as real ones are, so that clients are tested on it: text in several deltas, a call's name in one
//! piece (SDKs do not join names) and its arguments in several, then the reason, the usage if it was asked for, and
//! `[DONE]`.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Content,
    request::{Asked, ToolKind},
    words,
};

/// How long a piece of text or arguments is in a stream, in bytes, and how many there are at most.
const PIECE: usize = 16;
const MOST_PIECES: usize = 64;
/// The estimate of usage: bytes a token.
const BYTES_A_TOKEN: usize = 4;

/// An answer, ready to be written.
pub(super) struct Answer<'a> {
    id: String,
    call_id: String,
    created: i64,
    model: &'a str,
    content: Content,
    finish_reason: &'static str,
    usage: Value,
}

impl<'a> Answer<'a> {
    /// The answer to the request in `body`; ids are made of its hash.
    pub(super) fn new(body: &Bytes, now: DateTime<Utc>, asked: &'a Asked<'_>, content: Content) -> Self {
        let digest = hex::encode(Sha256::digest(body));
        let (content, finish_reason) = finish(content, asked.max_tokens);
        let written = match &content {
            Content::Text(text) => text.len(),
            Content::Call { name, input, .. } => name.len() + input.len(),
        };
        let (prompt, completion) = (body.len().div_ceil(BYTES_A_TOKEN), written.div_ceil(BYTES_A_TOKEN));
        Self {
            id: format!("chatcmpl-{}", &digest[..24]),
            call_id: format!("call_{}", &digest[24..48]),
            created: now.timestamp(),
            model: &asked.model,
            content,
            finish_reason,
            usage: json!({
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
            }),
        }
    }

    /// The whole answer.
    pub(super) fn document(&self) -> Value {
        let message = match &self.content {
            Content::Text(text) => json!({"role": "assistant", "content": text, "refusal": null}),
            Content::Call { kind: ToolKind::Legacy, name, input } => json!({
                "role": "assistant", "content": null, "refusal": null,
                "function_call": {"name": name, "arguments": input},
            }),
            Content::Call { kind, name, input } => json!({
                "role": "assistant", "content": null, "refusal": null,
                "tool_calls": [self.call(*kind, name, input)],
            }),
        };
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [
                {"index": 0, "message": message, "logprobs": null, "finish_reason": self.finish_reason},
            ],
            "usage": self.usage,
        })
    }

    /// The events of a stream.
    pub(super) fn events(&self, include_usage: bool) -> String {
        let mut deltas = vec![json!({"role": "assistant", "content": self.opening(), "refusal": null})];
        match &self.content {
            Content::Text(text) => deltas.extend(pieces(text).map(|piece| json!({"content": piece}))),
            Content::Call { kind: ToolKind::Legacy, name, input } => {
                deltas.push(json!({"function_call": {"name": name, "arguments": ""}}));
                deltas.extend(pieces(input).map(|piece| json!({"function_call": {"arguments": piece}})));
            }
            Content::Call { kind, name, input } => {
                let mut first = self.call(*kind, name, "");
                first["index"] = json!(0);
                deltas.push(json!({"tool_calls": [first]}));
                let more = |piece| match kind {
                    ToolKind::Custom => json!({"tool_calls": [{"index": 0, "custom": {"input": piece}}]}),
                    _ => json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}),
                };
                deltas.extend(pieces(input).map(more));
            }
        }
        let choice = |delta: Value, reason: Option<&str>| json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]);
        let no_usage = include_usage.then_some(&Value::Null);
        let mut text = String::new();
        for delta in deltas {
            self.write_event(&mut text, choice(delta, None), no_usage);
        }
        self.write_event(&mut text, choice(json!({}), Some(self.finish_reason)), no_usage);
        if include_usage {
            self.write_event(&mut text, json!([]), Some(&self.usage));
        }
        text.push_str("data: [DONE]\n\n");
        text
    }

    /// The content that a stream begins with.
    fn opening(&self) -> Option<&'static str> {
        matches!(self.content, Content::Text(_)).then_some("")
    }

    fn call(&self, kind: ToolKind, name: &str, input: &str) -> Value {
        match kind {
            ToolKind::Custom => {
                json!({"id": self.call_id, "type": "custom", "custom": {"name": name, "input": input}})
            }
            _ => {
                json!({"id": self.call_id, "type": "function", "function": {"name": name, "arguments": input}})
            }
        }
    }

    fn write_event(&self, text: &mut String, choices: Value, usage: Option<&Value>) {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        });
        if let Some(usage) = usage {
            chunk["usage"] = usage.clone();
        }
        text.push_str(&format!("data: {chunk}\n\n"));
    }
}

/// Cuts a text that is longer than the client wants, and gives the reason for the end.
fn finish(content: Content, max_tokens: Option<u64>) -> (Content, &'static str) {
    let most = max_tokens.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    match content {
        Content::Text(text) if text.len().div_ceil(BYTES_A_TOKEN) > most => {
            let text = words::prefix(&text, most.saturating_mul(BYTES_A_TOKEN)).to_owned();
            (Content::Text(text), "length")
        }
        text @ Content::Text(_) => (text, "stop"),
        call @ Content::Call { kind: ToolKind::Legacy, .. } => (call, "function_call"),
        call @ Content::Call { .. } => (call, "tool_calls"),
    }
}

/// A text in pieces of whole characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let length = PIECE.max(text.len() / MOST_PIECES);
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at(rest.floor_char_boundary(length));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}
