//! What the demo model reads of a request. Lenient where providers are, so that it answers whatever the tool lists
//! let through; strict about `messages`, without which there is nothing to answer.

use std::collections::HashSet;

use serde_json::value::RawValue;

use super::{
    super::catalog::DEMO_MODEL,
    raw::{elements, members, text},
    words::LOOKED_AT,
};

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
    pub(super) model: String,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
    /// At most so many tokens of text.
    pub(super) max_tokens: Option<u64>,
    /// Those that can be called, in order.
    pub(super) tools: Vec<Tool<'a>>,
    pub(super) choice: Choice,
    /// The text of the last user message.
    pub(super) user_text: String,
    pub(super) last: Last,
}

/// A tool that can be called.
#[derive(Debug)]
pub(super) struct Tool<'a> {
    pub(super) kind: ToolKind,
    pub(super) name: String,
    pub(super) description: String,
    pub(super) parameters: Option<&'a RawValue>,
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
pub(super) enum Choice {
    None,
    Any,
    AnyOf(HashSet<String>),
    Forced(String),
}

/// The last message.
#[derive(Debug, PartialEq)]
pub(super) enum Last {
    ToolResult { tool: Option<String>, text: String },
    Other,
}

impl<'a> Asked<'a> {
    pub(super) fn read(document: &'a RawValue) -> Result<Self, Problem> {
        // All in one pass: the document may be large.
        let [model, stream, options, messages, tools, functions, choice, call, most, most_before] = members(
            Some(document),
            [
                "model",
                "stream",
                "stream_options",
                "messages",
                "tools",
                "functions",
                "tool_choice",
                "function_call",
                "max_completion_tokens",
                "max_tokens",
            ],
        );
        let conversation = Conversation::read(messages)?;
        let number = |value: Option<&RawValue>| value?.get().parse().ok();
        let is_true = |value: Option<&RawValue>| value.is_some_and(|value| value.get() == "true");
        Ok(Self {
            // Every chunk repeats it, so it must not be a book.
            model: text(model)
                .filter(|model| (1..=256).contains(&model.len()))
                .unwrap_or_else(|| DEMO_MODEL.to_owned()),
            stream: is_true(stream),
            include_usage: is_true(members(options, ["include_usage"])[0]),
            max_tokens: number(most).or_else(|| number(most_before)),
            tools: all_tools(tools, functions),
            choice: choice_of(choice.or(call)),
            user_text: conversation.user.map(text_of).unwrap_or_default(),
            last: conversation.end(),
        })
    }
}

/// The messages that count.
struct Conversation<'a> {
    all: Option<&'a RawValue>,
    user: Option<&'a RawValue>,
    last: Option<&'a RawValue>,
}

impl<'a> Conversation<'a> {
    fn read(messages: Option<&'a RawValue>) -> Result<Self, Problem> {
        let mut this = Self { all: messages, user: None, last: None };
        let mut roles = true;
        let is_array = elements(messages, |message| {
            let role = text(members(Some(message), ["role"])[0]);
            roles &= role.is_some();
            this.last = Some(message);
            if role.as_deref() == Some("user") {
                this.user = Some(message);
            }
        });
        if !is_array || this.last.is_none() {
            return Err(Problem::new("messages", "`messages` must be an array with at least one message"));
        }
        if !roles {
            return Err(Problem::new("messages", "every message must be an object with a `role`"));
        }
        Ok(this)
    }

    fn end(&self) -> Last {
        let Some(message) = self.last else { return Last::Other };
        let [role, name, id] = members(Some(message), ["role", "name", "tool_call_id"]);
        let tool = match text(role).as_deref() {
            Some("tool") => text(id).and_then(|id| self.called(&id)),
            Some("function") => text(name),
            _ => return Last::Other,
        };
        Last::ToolResult { tool, text: text_of(message) }
    }

    /// The name of the tool whose call has this id.
    fn called(&self, id: &str) -> Option<String> {
        let mut found = None;
        elements(self.all, |message| {
            elements(members(Some(message), ["tool_calls"])[0], |call| {
                let [called, function, custom] = members(Some(call), ["id", "function", "custom"]);
                if text(called).as_deref() == Some(id) {
                    found = name_in(function).or_else(|| name_in(custom));
                }
            });
        });
        found
    }
}

/// A message's text: a string, or the text parts of an array. As much of it as anybody looks at.
fn text_of(message: &RawValue) -> String {
    let [content] = members(Some(message), ["content"]);
    if let Some(whole) = text(content) {
        return whole;
    }
    let mut joined = String::new();
    elements(content, |part| {
        if joined.len() < LOOKED_AT
            && let Some(more) = text(members(Some(part), ["text"])[0])
        {
            joined.push_str(if joined.is_empty() { "" } else { " " });
            joined.push_str(&more);
        }
    });
    joined
}

fn all_tools<'a>(tools: Option<&'a RawValue>, functions: Option<&'a RawValue>) -> Vec<Tool<'a>> {
    let mut all = Vec::new();
    elements(tools, |tool| {
        let [kind, function, custom] = members(Some(tool), ["type", "function", "custom"]);
        let (kind, nested) = match text(kind).as_deref() {
            Some("custom") => (ToolKind::Custom, custom),
            _ => (ToolKind::Function, function),
        };
        // Some clients write the members of `function` flat.
        all.extend(described(kind, nested.unwrap_or(tool)));
    });
    elements(functions, |tool| all.extend(described(ToolKind::Legacy, tool)));
    all
}

/// `None` without a name: a tool that the provider runs itself, which the demo cannot.
fn described(kind: ToolKind, tool: &RawValue) -> Option<Tool<'_>> {
    let [name, description, parameters] = members(Some(tool), ["name", "description", "parameters"]);
    Some(Tool { kind, name: text(name)?, description: text(description).unwrap_or_default(), parameters })
}

fn choice_of(wanted: Option<&RawValue>) -> Choice {
    if text(wanted).as_deref() == Some("none") {
        return Choice::None;
    }
    let [allowed] = members(wanted, ["allowed_tools"]);
    let [allowed] = members(allowed, ["tools"]);
    let mut names = HashSet::new();
    if elements(allowed, |tool| names.extend(chosen_name(Some(tool)))) {
        return Choice::AnyOf(names);
    }
    chosen_name(wanted).map_or(Choice::Any, Choice::Forced)
}

fn chosen_name(choice: Option<&RawValue>) -> Option<String> {
    let [function, custom] = members(choice, ["function", "custom"]);
    name_in(function).or_else(|| name_in(custom)).or_else(|| name_in(choice))
}

fn name_in(object: Option<&RawValue>) -> Option<String> {
    text(members(object, ["name"])[0])
}
