//! Decides about every tool of a request, in the one place that does.
//!
//! Only marks: nothing is cut before `prepare`. `observe` counts and leaves all as it is, also a `tool_choice`
//! that the other modes would refuse: an operator who looks before tightening must not break what runs.

use std::{collections::HashSet, sync::Arc};

use super::{
    ChatRequest, ChoiceFate, Malformed, PermittedRequest, Refused, ToolMember,
    array::NameBytes,
    governed::FOLDING_MAX,
    members::{Carried, tool_members},
    shape::{CHOICE_WORDS, Choice, Listed, Shape, Tools},
    tool::Tool,
};
use crate::domain::{key::ToolMode, toollist::Toollist, usage::ToolTally, violation::shown};

/// How many tools a refusal names.
const NAMED_MAX: usize = 5;

/// How much matching one request may cause: bytes of names times patterns of the key. About half a second; 10,000
/// tools of 64 bytes against 1,000 patterns are a third of it.
const MATCHING_MAX: usize = 2_000_000_000;

/// What the lists take out, by place.
#[derive(Debug)]
pub(super) struct Barred {
    /// For each of `tools`, whether it goes.
    pub(super) tools: Arc<[bool]>,
    /// For each of `functions`, whether it goes.
    pub(super) functions: Arc<[bool]>,
    /// The places of the root's members that go.
    pub(super) members: Vec<usize>,
}

pub(super) fn permit(
    request: ChatRequest,
    toollist: &Toollist,
    mode: ToolMode,
    members: &[ToolMember],
) -> Result<PermittedRequest, Refused> {
    let ChatRequest { body, shape } = request;
    affordable(&shape, &body, toollist)?;
    let carried = tool_members(&body, &shape, members)?;
    let mut barred = Barred {
        tools: marks(&shape.tools, toollist),
        functions: marks(&shape.functions, toollist),
        members: Vec::new(),
    };
    let unfit = carried.iter().filter(|carried| !carried.tools.iter().all(|tool| toollist.permits(tool)));
    barred.members.extend(unfit.map(|carried| carried.place));

    let input = shape.tools.len() + shape.functions.len() + carried.len();
    let denied = marked(&barred.tools) + marked(&barred.functions) + barred.members.len();
    let mut tally = ToolTally { input: count(input), output: count(input), ..ToolTally::default() };
    let mut choice = ChoiceFate::Stays;
    if mode == ToolMode::Observe {
        tally.would_deny = count(denied);
        barred = Barred {
            tools: vec![false; shape.tools.len()].into(),
            functions: vec![false; shape.functions.len()].into(),
            members: Vec::new(),
        };
    } else {
        tally.denied = count(denied);
        let judge = Judge { body: &body, shape: &shape, toollist, barred: &barred, carried: &carried };
        choice = judge.verdict(mode).map_err(|(param, message)| Refused::ToolNotAllowed {
            param,
            message,
            tally: ToolTally { output: 0, ..tally },
        })?;
        tally.output = count(input - denied);
    }
    drop(carried);
    Ok(PermittedRequest { body, shape, barred, choice, tally, asks_usage: false })
}

/// Refuses a request whose names would take the key's lists too long.
pub(super) fn affordable(shape: &Shape, body: &[u8], toollist: &Toollist) -> Result<(), Malformed> {
    if toollist.is_unbound() {
        return Ok(());
    }
    let patterns = toollist.patterns();
    let NameBytes { all: bytes, foldable } = compared(shape, body);
    let problem = if bytes.saturating_mul(patterns) > MATCHING_MAX {
        format!(
            "the names of the tools have {bytes} bytes, more than can be compared with this key's {patterns} patterns"
        )
    } else if toollist.denies_some() && foldable > FOLDING_MAX {
        format!(
            "the names of the tools that are not ASCII have {foldable} bytes, more than the {FOLDING_MAX} that can be \
             compared with a denylist"
        )
    } else {
        return Ok(());
    };
    Err(Malformed { param: Some("tools".to_owned()), message: format!("{problem}: send fewer tools") })
}

/// Every name that is compared with the lists: of the tools, and of those that the choices speak of.
fn compared(shape: &Shape, body: &[u8]) -> NameBytes {
    let mut compared = NameBytes::default();
    compared.add_array(&shape.tools);
    compared.add_array(&shape.functions);
    for choice in [&shape.tool_choice, &shape.function_call] {
        match choice {
            Choice::Absent => {}
            Choice::Word(word) => compared.add(word.read(body)),
            Choice::Forced(names) => names.all(body).for_each(|name| compared.add(name)),
            Choice::Listed(listed) => compared.add_array(&listed.tools),
        }
    }
    compared
}

fn marks(tools: &Tools, toollist: &Toollist) -> Arc<[bool]> {
    match &tools.array {
        Some(array) => array.barred(toollist, |tool| against(tool, array.json(), toollist).is_some()),
        None => Arc::default(),
    }
}

/// Why a tool does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Against<'a> {
    /// It brings tools inside, whose names nobody checked.
    Nested,
    /// It brings whatever an MCP server has.
    Open,
    /// The lists do not let this name of it through.
    Name(&'a str),
}

/// What speaks against a tool, if anything does. `array` is the JSON that its places are in.
pub(super) fn against<'a>(tool: &'a Tool, array: &'a [u8], toollist: &Toollist) -> Option<Against<'a>> {
    if tool.nests && !toollist.is_unbound() {
        return Some(Against::Nested);
    }
    if tool.open && toollist.denies_some() {
        return Some(Against::Open);
    }
    tool.names.all(array).find(|name| !toollist.permits(name)).map(Against::Name)
}

/// What is at hand for a decision about the request as a whole.
struct Judge<'a> {
    body: &'a [u8],
    shape: &'a Shape,
    toollist: &'a Toollist,
    barred: &'a Barred,
    carried: &'a [Carried<'a>],
}

/// The member at fault, and a sentence about it.
type Refusal = (String, String);

impl Judge<'_> {
    fn verdict(&self, mode: ToolMode) -> Result<ChoiceFate, Refusal> {
        let Self { shape, barred, .. } = self;
        if mode == ToolMode::Block {
            self.nothing_barred()?;
        }
        let lost = Self::lost_names(&shape.functions, &barred.functions, &shape.function_call);
        self.unforced("function_call", &shape.function_call, &lost)?;
        self.still_callable("function_call", &shape.function_call, &barred.functions)?;
        let lost = Self::lost_names(&shape.tools, &barred.tools, &shape.tool_choice);
        self.unforced("tool_choice", &shape.tool_choice, &lost)?;
        self.still_callable("tool_choice", &shape.tool_choice, &barred.tools)?;
        match &shape.tool_choice {
            Choice::Listed(listed) => self.intersected(listed, &lost, mode),
            _ => Ok(ChoiceFate::Stays),
        }
    }

    /// `block`: a request that would lose anything is refused.
    fn nothing_barred(&self) -> Result<(), Refusal> {
        let first_member = self.barred_members().next().map(|carried| carried.member);
        let param = if self.barred.tools.contains(&true) {
            "tools"
        } else if self.barred.functions.contains(&true) {
            "functions"
        } else if let Some(member) = first_member {
            member
        } else {
            return Ok(());
        };
        let names = listing(&self.barred_names());
        Err((param.to_owned(), format!("{param} brings {names}, which this key may not use: {WAY_OUT}")))
    }

    /// A choice that forces a tool which may not be used, whether the tool was offered or not, or one that is
    /// gone for another of its names.
    fn unforced(&self, param: &str, choice: &Choice, lost: &HashSet<&str>) -> Result<(), Refusal> {
        let forced = match choice {
            Choice::Forced(names) => {
                names.all(self.body).find(|name| !self.toollist.permits(name) || lost.contains(name))
            }
            // Some providers take a tool's bare name. Another word is theirs to judge, so only a name that was
            // taken out, or is denied outright, is refused: a word of tomorrow must not fail under an allowlist.
            Choice::Word(word) => Some(word.read(self.body)).filter(|word| {
                !CHOICE_WORDS.contains(word) && (lost.contains(word) || self.toollist.denies(word))
            }),
            Choice::Absent | Choice::Listed(_) => None,
        };
        let Some(name) = forced else { return Ok(()) };
        let name = listing(&[name]);
        Err((param.to_owned(), format!("{param} forces {name}, which this key may not use: {WAY_OUT}")))
    }

    /// A choice that demands a call, of which the lists have left nothing to call.
    fn still_callable(&self, param: &str, choice: &Choice, marks: &[bool]) -> Result<(), Refusal> {
        let barred = marked(&self.barred.tools) + marked(&self.barred.functions) + self.barred.members.len();
        let all = self.shape.tools.len() + self.shape.functions.len() + self.carried.len();
        let nothing_left = emptied(marks) || (barred > 0 && barred == all);
        if !nothing_left || !choice.demands_a_call(self.body) {
            return Ok(());
        }
        let names = listing(&self.barred_names());
        let message =
            format!("{param} demands a call, but this key may use none of the tools; not {names}: {WAY_OUT}");
        Err((param.to_owned(), message))
    }

    /// Takes out of `allowed_tools` what may not be used. When nothing is left of it the choice is `"none"`, never
    /// left out: without it the model may call any tool that is still there, more than the client allowed.
    fn intersected(
        &self,
        listed: &Listed,
        lost: &HashSet<&str>,
        mode: ToolMode,
    ) -> Result<ChoiceFate, Refusal> {
        let goes = |tool: &Tool| {
            listed.tools.names(tool).any(|name| !self.toollist.permits(name) || lost.contains(name))
        };
        let gone: Vec<bool> = listed.tools.all().iter().map(goes).collect();
        if !gone.contains(&true) {
            return Ok(ChoiceFate::Stays);
        }
        let all_gone = emptied(&gone);
        if mode == ToolMode::Block || (all_gone && listed.required) {
            let names: Vec<_> = self.first_names(&listed.tools, &gone).collect();
            let names = listing(&names);
            let message = format!("tool_choice allows {names}, which this key may not use: {WAY_OUT}");
            return Err(("tool_choice".to_owned(), message));
        }
        Ok(if all_gone { ChoiceFate::CallNothing } else { ChoiceFate::Without(gone) })
    }

    /// The tools that go, each by one name.
    fn barred_names(&self) -> Vec<&str> {
        let tools = self.first_names(&self.shape.tools, &self.barred.tools);
        let functions = self.first_names(&self.shape.functions, &self.barred.functions);
        tools.chain(functions).chain(self.barred_members().map(|carried| carried.tools[0])).collect()
    }

    fn barred_members(&self) -> impl Iterator<Item = &Carried<'_>> {
        self.carried.iter().filter(|carried| self.barred.members.contains(&carried.place))
    }

    fn first_names<'s>(&self, tools: &'s Tools, marks: &'s [bool]) -> impl Iterator<Item = &'s str> {
        let marked = tools.all().iter().zip(marks).filter(|(_, marked)| **marked);
        marked.map(|(tool, _)| tools.first_name(tool))
    }

    /// The names that only tools had which go.
    fn lost_names<'s>(tools: &'s Tools, marks: &[bool], choice: &Choice) -> HashSet<&'s str> {
        let mut lost = HashSet::new();
        // Only a choice that names tools is held against it.
        if marks.contains(&true) && !matches!(choice, Choice::Absent) {
            let names = |gone| {
                let these = tools.all().iter().zip(marks).filter(move |(_, mark)| **mark == gone);
                these.flat_map(|(tool, _)| tools.names(tool))
            };
            lost.extend(names(true));
            names(false).for_each(|name| {
                lost.remove(name);
            });
        }
        lost
    }
}

const WAY_OUT: &str = "leave it out of the request, or ask an operator to change the key's tool list";

/// `the tools "a", "b" and 3 more`, of which there is at least one.
fn listing(names: &[&str]) -> String {
    let noun = if names.len() == 1 { "the tool" } else { "the tools" };
    let shown: Vec<_> = names.iter().take(NAMED_MAX).map(|name| shown(name)).collect();
    let more = names.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{noun} {}{more}", shown.join(", "))
}

/// Whether there was something and all of it is marked.
pub(super) fn emptied(marks: &[bool]) -> bool {
    !marks.is_empty() && !marks.contains(&false)
}

fn marked(marks: &[bool]) -> usize {
    marks.iter().filter(|mark| **mark).count()
}

/// A count as a tally has it.
pub(super) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
