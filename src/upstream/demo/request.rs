//! What the demo model reads of a request. Lenient where providers are, so that it answers whatever the tool lists
//! let through; strict about `messages`, without which there is nothing to answer.

use std::collections::HashSet;

use serde_json::Value;

use super::super::catalog::DEMO_MODEL;

/// Why a request cannot be answered.
#[derive(Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) param: Option<&'static str>,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(param: impl Into<Option<&'static str>>, message: impl Into<String>) -> Self {
        Self { param: param.into(), message: message.into() }
    }
}

/// The parts of a request that matter to the model.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) model: &'a str,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// At most so many tokens of text.
    pub(super) max_tokens: Option<u64>,
    /// Those that can be called, in order.
    pub(super) tools: Vec<Tool<'a>>,
    pub(super) choice: Choice<'a>,
    /// The text of the last user message.
    pub(super) user_text: String,
    pub(super) last: Last<'a>,
}

/// A tool that can be called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool<'a> {
    pub(super) kind: ToolKind,
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    pub(super) parameters: &'a Value,
}

/// How a tool is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ToolKind {
    /// `tools`, `function`.
    Function,
    /// `tools`, `custom`: the input is text.
    Custom,
    /// The old `functions`.
    Legacy,
}

/// What `tool_choice` or `function_call` asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Choice<'a> {
    None,
    Any,
    AnyOf(HashSet<&'a str>),
    Forced(&'a str),
}

/// The last message.
#[derive(Debug, PartialEq)]
pub(super) enum Last<'a> {
    ToolResult { tool: Option<&'a str>, text: String },
    Other,
}

impl<'a> Asked<'a> {
    pub(super) fn read(document: &'a Value) -> Result<Self, Problem> {
        let messages = document.get("messages").and_then(Value::as_array).filter(|all| !all.is_empty());
        let messages = messages.ok_or_else(|| {
            Problem::new("messages", "`messages` must be an array with at least one message")
        })?;
        if !messages.iter().all(|message| message.get("role").is_some_and(Value::is_string)) {
            return Err(Problem::new("messages", "every message must be an object with a `role`"));
        }
        let user = messages.iter().rev().find(|message| message["role"] == "user");
        let limit = |name| document.get(name).and_then(Value::as_u64);
        Ok(Self {
            // Every chunk repeats it, so it must not be a book.
            model: document["model"]
                .as_str()
                .filter(|model| (1..=256).contains(&model.len()))
                .unwrap_or(DEMO_MODEL),
            stream: document["stream"] == true,
            include_usage: document["stream_options"]["include_usage"] == true,
            max_tokens: limit("max_completion_tokens").or_else(|| limit("max_tokens")),
            tools: tools(document),
            choice: choice(document),
            user_text: user.map(text_of).unwrap_or_default(),
            last: last(messages),
        })
    }
}

/// A message's text: a string, or the text parts of an array.
fn text_of(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
            texts.join(" ")
        }
        _ => String::new(),
    }
}

fn last(messages: &[Value]) -> Last<'_> {
    let Some(message) = messages.last() else { return Last::Other };
    let tool = match message["role"].as_str() {
        Some("tool") => called(messages, &message["tool_call_id"]),
        Some("function") => message["name"].as_str(),
        _ => return Last::Other,
    };
    Last::ToolResult { tool, text: text_of(message) }
}

/// The name of the tool whose call has this id.
fn called<'a>(messages: &'a [Value], id: &Value) -> Option<&'a str> {
    let calls = messages.iter().rev().filter_map(|message| message["tool_calls"].as_array()).flatten();
    let call = calls.into_iter().find(|call| &call["id"] == id && id.is_string())?;
    call["function"]["name"].as_str().or_else(|| call["custom"]["name"].as_str())
}

fn tools(document: &Value) -> Vec<Tool<'_>> {
    let modern = document["tools"].as_array().into_iter().flatten().filter_map(|tool| {
        let custom = tool["type"] == "custom";
        // Some clients write the members of `function` flat.
        let nested = tool.get(if custom { "custom" } else { "function" }).unwrap_or(tool);
        described(if custom { ToolKind::Custom } else { ToolKind::Function }, nested)
    });
    let old = document["functions"].as_array().into_iter().flatten();
    modern.chain(old.filter_map(|tool| described(ToolKind::Legacy, tool))).collect()
}

/// `None` without a name: a tool that the provider runs itself, which the demo cannot.
fn described(kind: ToolKind, tool: &Value) -> Option<Tool<'_>> {
    let name = tool["name"].as_str()?;
    Some(Tool {
        kind,
        name,
        description: tool["description"].as_str().unwrap_or_default(),
        parameters: &tool["parameters"],
    })
}

fn choice(document: &Value) -> Choice<'_> {
    let wanted =
        document.get("tool_choice").or_else(|| document.get("function_call")).unwrap_or(&Value::Null);
    if wanted == "none" {
        return Choice::None;
    }
    if let Some(allowed) = wanted["allowed_tools"]["tools"].as_array() {
        return Choice::AnyOf(allowed.iter().filter_map(chosen_name).collect());
    }
    chosen_name(wanted).map_or(Choice::Any, Choice::Forced)
}

fn chosen_name(choice: &Value) -> Option<&str> {
    [&choice["function"]["name"], &choice["custom"]["name"], &choice["name"]]
        .into_iter()
        .find_map(Value::as_str)
}
