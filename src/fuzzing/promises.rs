//! What a request that is sent must be, by what a provider could read of it.

use std::collections::HashSet;

use super::{given::Lists, json::Json, names};
use crate::domain::chat_request::ToolMember;

/// Members that decide, in which spellings that some parser takes for them may not stand.
const ROOT: [&str; 10] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "parallel_tool_calls",
    "web_search_options",
];
const TOOL: [&str; 4] = ["type", "function", "custom", "name"];
const LISTS: [&str; 2] = ["tools", "functions"];
/// Members that may change though nobody asked for it: they go with the last tool, or have tools taken out.
const DEPENDENT: [&str; 7] = [
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "parallel_tool_calls",
    "stream_options",
    "web_search_options",
];

/// A request before and after the lists.
pub(super) struct Sent<'a> {
    pub(super) lists: &'a Lists,
    pub(super) members: &'a [ToolMember],
    pub(super) before: Json<'a>,
    pub(super) after: Json<'a>,
}

/// What else was done to it.
pub(super) struct Whole {
    /// Definitions may be cut down.
    pub(super) slim: bool,
    /// Every tool is kept that may be.
    pub(super) all: bool,
    /// The model that is written.
    pub(super) model: Option<&'static str>,
}

impl<'a> Sent<'a> {
    /// Two parsers cannot read two requests: members that decide are there once, and nothing passes for them.
    pub(super) fn is_read_by_all_alike(&self) {
        let root = self.after;
        assert!(root.raw().starts_with('{'), "it is no object");
        alike(root, &ROOT);
        let choices = root.all("tool_choice");
        let listed = choices.iter().filter_map(|choice| names::listed(*choice)).flatten();
        let tools = tools_of(root).into_iter().chain(listed);
        for tool in tools.chain(choices.iter().copied()) {
            alike(tool, &TOOL);
            for object in TOOL.into_iter().flat_map(|member| tool.all(member)) {
                alike(object, &["name"]);
            }
        }
        for choice in choices {
            alike(choice, &["allowed_tools", "tools", "mode"]);
            choice.all("allowed_tools").into_iter().for_each(|list| alike(list, &["tools", "mode"]));
        }
        root.all("function_call").into_iter().for_each(|choice| alike(choice, &["name"]));
        root.all("stream_options").into_iter().for_each(|options| alike(options, &["include_usage"]));
    }

    /// No tool of a forbidden name, by any of the names that an upstream could read.
    pub(super) fn brings_no_forbidden_tool(&self) {
        let root = self.after;
        for tool in tools_of(root) {
            self.permits(tool);
        }
        let (choices, calls) = (root.all("tool_choice"), root.all("function_call"));
        choices
            .iter()
            .filter_map(|choice| names::listed(*choice))
            .flatten()
            .for_each(|tool| self.permits(tool));
        let called = calls.iter().flat_map(|call| call.all("name")).filter_map(Json::text);
        for name in choices.iter().flat_map(|choice| names::forced(*choice)).chain(called) {
            assert!(!self.lists.forbid(&name), "{name:?} is forced");
        }
        for word in choices.into_iter().chain(calls).filter_map(names::word) {
            assert!(!self.lists.deny(&word), "{word:?} is forced by its bare name");
        }
        let own = self.members.iter().map(|member| (&*member.member, &*member.tool));
        for (member, tool) in own.chain([("web_search_options", "web_search")]) {
            let there = root.all(member).iter().any(|value| !value.is_null());
            assert!(!there || !self.lists.forbid(tool), "{member} brings {tool:?}");
        }
    }

    /// A list of allowed tools never becomes a choice of all of them.
    pub(super) fn chooses_no_more_than_before(&self) {
        let Some(choice) = self.before.get("tool_choice") else { return };
        if names::listed(choice).is_none() || tools_of(self.after).is_empty() {
            return;
        }
        let none_of_tools = self.after.get("tools").is_none_or(|tools| tools.elements().is_empty());
        let after = self.after.get("tool_choice");
        let kept = after.is_some_and(|after| after.raw() == "\"none\"" || names::listed(after).is_some());
        assert!(kept || none_of_tools, "the model may call more than the client allowed");
    }

    /// Everything else is there, as the client wrote it and in its order.
    pub(super) fn loses_nothing_else(&self, whole: &Whole) {
        let dependent = |name: &str| {
            let written = name == "model" && whole.model.is_some();
            let tool = self.members.iter().any(|member| member.member == name);
            written || tool || DEPENDENT.contains(&name)
        };
        let others = |root: Json<'a>| -> Vec<(String, &str)> {
            let members = root.members().into_iter().filter(|(name, _)| !dependent(name));
            members.map(|(name, value)| (name, value.raw())).collect()
        };
        assert_eq!(others(self.before), others(self.after), "a member is lost, or another one is there");
        if let Some(model) = whole.model {
            assert_eq!(self.after.get("model").and_then(Json::text).as_deref(), Some(model), "the model");
        }
        for list in LISTS {
            let [before, after] = [self.before, self.after].map(|root| root.all(list));
            let before: Vec<_> = before.into_iter().flat_map(Json::elements).collect();
            let after: Vec<_> = after.into_iter().flat_map(Json::elements).collect();
            let cut_down = |tool: &Json<'_>| whole.slim || tool.raw().contains("x-orqen-examples");
            if !before.iter().any(cut_down) {
                let mut left = before.iter().map(|tool| tool.raw());
                let kept = after.iter().all(|tool| left.any(|other| other == tool.raw()));
                assert!(kept, "a tool is not as the client wrote it");
            }
            let plain = |tools: &[Json<'_>]| -> usize { tools.iter().filter(|t| self.is_plain(**t)).count() };
            assert!(!whole.all || plain(&before) <= plain(&after), "a tool is lost that may be used");
        }
    }

    fn permits(&self, tool: Json<'_>) {
        let called = names::of_tool(tool);
        for name in called.names {
            assert!(!self.lists.forbid(&name), "{name:?} is sent");
        }
        assert!(!called.nests || self.lists.toollist.is_unbound(), "a tool within a tool is sent");
    }

    /// Whether this is a function and nothing else, which may be used.
    fn is_plain(&self, tool: Json<'_>) -> bool {
        let members = tool.members();
        let plain =
            matches!(&*members, [(kind, _), (function, _)] if kind == "type" && function == "function");
        let named = tool.get("function").and_then(|function| function.get("name")).and_then(Json::text);
        plain && named.is_some_and(|name| !self.lists.forbid(&name))
    }
}

fn tools_of(root: Json<'_>) -> Vec<Json<'_>> {
    LISTS.into_iter().flat_map(|list| root.all(list)).flat_map(Json::elements).collect()
}

/// Checks that no member of an object is there twice, and that none passes for one of `governed`.
fn alike(object: Json<'_>, governed: &[&str]) {
    let mut seen = HashSet::new();
    for (name, _) in object.members() {
        let plain: String = name.chars().filter(|c| !c.is_control() && *c != '\u{200b}').collect();
        let plain = plain.trim().to_lowercase();
        let passes = governed.contains(&&*plain) && !governed.contains(&&*name);
        assert!(!passes, "{name:?} passes for {plain:?}");
        assert!(seen.insert(name.clone()), "{name:?} is there twice");
    }
}
