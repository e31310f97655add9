//! What is sent: small (no tools), medium (twenty messages, 16 tools) and large (128 tools), each in so many variants,
//! conversations of their own whose last message names what it needs.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::tools;

/// Conversations of each size.
const VARIANTS: usize = 32;
/// What people and models say on the way to the last message.
const SAID: [&str; 5] = [
    "Before we go on: the figures of last week are not final, since two of the regional offices report late.",
    "I have looked at it and noted what is open. Nothing of it is urgent, but the second point wants an answer soon.",
    "Thanks. Please keep it short, leave the names out of the summary, and say where each of the numbers comes from.",
    "Done. There were three entries that could not be matched; I left them as they were and put them at the end.",
    "That reminds me that the customer asked for the same thing in spring, and was told to wait for the new release.",
];

/// How large a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Size {
    /// Two messages, some three hundred bytes.
    Small,
    /// Twenty messages and 16 tools.
    Medium,
    /// Twenty messages and 128 tools.
    Large,
}

impl Size {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// As the table names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }

    /// The tools of a request.
    pub(crate) fn tools(self) -> usize {
        match self {
            Self::Small => 0,
            Self::Medium => 16,
            Self::Large => tools::TOOLS,
        }
    }
}

/// The bodies of a size, as a client would send them.
pub(crate) fn bodies(size: Size, stream: bool) -> Vec<String> {
    let tools: Vec<Value> = (0..size.tools()).map(tools::tool).collect();
    let tools = if tools.is_empty() { String::new() } else { format!(r#","tools":{}"#, Value::from(tools)) };
    let stream = if stream { r#","stream":true"# } else { "" };
    let body = |variant| {
        let messages = Value::from(messages(size, variant));
        format!(r#"{{"model":"gpt-4o-mini"{stream},"temperature":0.2,"messages":{messages}{tools}}}"#)
    };
    (0..VARIANTS).map(body).collect()
}

/// Whole requests to a candidate, heads included.
pub(crate) fn requests(to: SocketAddr, key: Option<&str>, bodies: &[String]) -> Arc<[Bytes]> {
    bodies.iter().map(|body| request(to, key, body)).collect()
}

/// One of them.
pub(crate) fn request(to: SocketAddr, key: Option<&str>, body: &str) -> Bytes {
    let key = key.unwrap_or("sk-nobody-looks-at-it");
    Bytes::from(format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {key}\r\nuser-agent: bench\r\n\
         accept: application/json\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// A conversation: between its first and its last message only the larger sizes have said anything.
fn messages(size: Size, variant: usize) -> Vec<Value> {
    let begin = format!("You are the assistant of office {variant}. Be brief and use the tools.");
    let mut messages = vec![json!({"role": "system", "content": begin})];
    if size != Size::Small {
        messages.extend((0..18).map(|turn| {
            let role = if turn % 2 == 0 { "user" } else { "assistant" };
            let said = [0, 1, 3].map(|step| SAID[(turn + variant + step) % SAID.len()]).join(" ");
            json!({"role": role, "content": said})
        }));
    }
    let offered = if size == Size::Small { tools::TOOLS } else { size.tools() };
    messages.push(json!({"role": "user", "content": tools::wish(variant % offered)}));
    messages
}
