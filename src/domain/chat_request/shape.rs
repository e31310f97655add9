//! What one pass over a request has found: places in the body and what stands there, without a copy of it.

use std::sync::Arc;

use super::{
    array::ToolArray,
    tool::{Names, Tool},
};
use crate::domain::json::{Span, Text};

/// The governed members of a request: those that decide which tools a model sees, or where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Root {
    Model,
    Messages,
    Stream,
    StreamOptions,
    Tools,
    Functions,
    ToolChoice,
    FunctionCall,
    ParallelToolCalls,
    WebSearchOptions,
}

/// Their names.
pub(super) const ROOT: [(&str, Root); 10] = [
    ("model", Root::Model),
    ("messages", Root::Messages),
    ("stream", Root::Stream),
    ("stream_options", Root::StreamOptions),
    ("tools", Root::Tools),
    ("functions", Root::Functions),
    ("tool_choice", Root::ToolChoice),
    ("function_call", Root::FunctionCall),
    ("parallel_tool_calls", Root::ParallelToolCalls),
    ("web_search_options", Root::WebSearchOptions),
];

/// A request, read.
#[derive(Debug)]
pub(super) struct Shape {
    /// The place after the first `{`.
    pub(super) open: usize,
    /// Every member of the root, in order: neighbours are needed to take one out with its comma.
    pub(super) members: Vec<RootMember>,
    pub(super) model: Option<Name>,
    pub(super) stream: bool,
    pub(super) stream_options: Option<StreamOptions>,
    /// The place of each message.
    pub(super) messages: Vec<Span>,
    pub(super) tools: Tools,
    pub(super) functions: Tools,
    pub(super) tool_choice: Choice,
    pub(super) function_call: Choice,
}

impl Shape {
    /// The member that `root` stands for, if the request has it.
    pub(super) fn member(&self, root: Root) -> Option<&RootMember> {
        self.members.iter().find(|member| member.root == Some(root))
    }
}

/// `stream_options`, where it is an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct StreamOptions {
    /// The place after its `{`.
    pub(super) open: usize,
    pub(super) empty: bool,
    /// The value of `include_usage`, and whether it is `true`.
    pub(super) include_usage: Option<(Span, bool)>,
}

/// A member of the root.
#[derive(Debug, Clone, Copy)]
pub(super) struct RootMember {
    pub(super) root: Option<Root>,
    pub(super) name: Text,
    /// From the name's quote to the end of the value.
    pub(super) whole: Span,
    pub(super) value: Span,
    pub(super) null: bool,
}

/// What `tool_choice` or `function_call` says.
#[derive(Debug)]
pub(super) enum Choice {
    /// Nothing: it is missing or null.
    Absent,
    /// A word: `auto`, `none`, `required`, `any`, or, to some providers, the name of a tool.
    Word(Name),
    /// A tool that must be called.
    Forced(Names),
    /// The tools that may be called.
    Listed(Listed),
}

/// The `allowed_tools` form of `tool_choice`, nested or flat.
#[derive(Debug)]
pub(super) struct Listed {
    /// Whether one of them must be called.
    pub(super) required: bool,
    pub(super) tools: Tools,
}

/// An array of tools of the request; none where the member is missing or null.
#[derive(Debug, Clone, Default)]
pub(super) struct Tools {
    /// Where it begins in the body.
    pub(super) at: usize,
    pub(super) array: Option<Arc<ToolArray>>,
}

impl Tools {
    /// The tools.
    pub(super) fn all(&self) -> &[Tool] {
        self.array.as_ref().map_or(&[], |array| array.tools())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.all().len()
    }

    /// What a tool is called, by all of its names.
    pub(super) fn names<'s>(&'s self, tool: &'s Tool) -> impl Iterator<Item = &'s str> {
        tool.names.all(self.json())
    }

    /// What a tool is called, for people.
    pub(super) fn first_name<'s>(&'s self, tool: &'s Tool) -> &'s str {
        tool.names.first.read(self.json())
    }

    /// The JSON that the tools' places are in.
    pub(super) fn json(&self) -> &[u8] {
        self.array.as_ref().map_or(&[], |array| array.json())
    }

    /// Where a tool stands in the body.
    pub(super) fn place(&self, tool: &Tool) -> Span {
        Span { start: self.at + tool.span.start, end: self.at + tool.span.end }
    }
}

/// The words of `tool_choice` that are no tool's name.
pub(super) const CHOICE_WORDS: [&str; 4] = ["auto", "none", "required", "any"];

impl Choice {
    /// Whether the model is not free to call nothing.
    pub(super) fn demands_a_call(&self, body: &[u8]) -> bool {
        match self {
            Choice::Absent => false,
            Choice::Word(word) => !matches!(word.read(body), "auto" | "none"),
            Choice::Forced(_) => true,
            Choice::Listed(listed) => listed.required,
        }
    }
}

/// A decoded string: a place in the body when it stands there as it is, a copy when it had escapes.
#[derive(Debug)]
pub(super) enum Name {
    Plain(Span),
    Decoded(Box<str>),
}

impl Name {
    /// What it says. `body` is the one it was read from.
    pub(super) fn read<'b>(&'b self, body: &'b [u8]) -> &'b str {
        match self {
            Name::Plain(span) => {
                std::str::from_utf8(span.of(body)).expect("the whole body was checked as UTF-8")
            }
            Name::Decoded(text) => text,
        }
    }
}
