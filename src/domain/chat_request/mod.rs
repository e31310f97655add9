//! A chat request on its way through the policy, in three types that can only be had one from the other.
//!
//! `ChatRequest` is checked JSON and nothing decided; `permit` turns it into a `PermittedRequest`, less every tool
//! that the key may not use; `keep` turns that into a `PreparedRequest`, the only thing that the upstream client
//! sends. A later stage cannot work on the original body, since nobody hands that out: filters undone so are a
//! known bug of gateways. Until `keep`, deciding only marks; the body is spliced once, and what stays in it keeps
//! its bytes. Which tools a key may use is `toollist`'s business, what JSON is `json`'s.

mod array;
mod brought;
mod choice;
mod familiar;
mod governed;
mod members;
mod permit;
mod prepare;
mod read;
mod shape;
#[cfg(test)]
mod tests;
mod tool;
mod trim;
mod verdict;

use std::sync::Arc;

use bytes::Bytes;

use crate::domain::{json::Scanner, key::ToolMode, toollist::Toollist, usage::ToolTally};
use permit::Barred;
use shape::{Choice, Root, Shape, Tools};

pub use array::{Definition, TokenCounts, ToolArray, ToolSet};
pub use familiar::{Familiar, ToolArrays};
pub use trim::sentence_end;
pub use verdict::{Bar, ToolVerdict};

/// What a request may be at most.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// How deep arrays and objects may lie in each other.
    pub depth: usize,
}

/// A top-level member of the request that is itself a tool, such as `web_search_options`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolMember {
    /// The member's name: `web_search_options`.
    pub member: String,
    /// The tool it counts as: `web_search`.
    pub tool: String,
}

/// Why a body is no chat request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Malformed {
    /// The path of what is wrong (`tools[3].function.name`), where there is one.
    pub param: Option<String>,
    /// A sentence for people.
    pub message: String,
}

/// Why a request may not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Malformed in a way that only matters for the upstream it goes to.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A forced tool is not allowed, or the mode is `block`. 403 `tool_not_allowed`.
    #[error("{message}")]
    ToolNotAllowed {
        /// `tools`, `tool_choice`, …
        param: String,
        /// Names the tool.
        message: String,
        /// What was counted before: `denied` is what the lists speak against, `output` is 0.
        tally: ToolTally,
    },
}

/// A chat request as a client sent it: checked JSON, nothing decided.
#[derive(Debug)]
pub struct ChatRequest {
    body: Bytes,
    shape: Shape,
}

impl ChatRequest {
    /// Reads a body in one pass: the whole of it is valid JSON, and what decides about tools is unambiguous.
    pub fn parse(body: Bytes, bounds: &Bounds) -> Result<Self, Malformed> {
        let shape = read::root(Scanner::new(&body, bounds.depth)?, None)?;
        Ok(Self { body, shape })
    }

    /// The same, where arrays of tools that were read before need not be read again.
    pub fn parse_familiar(body: Bytes, bounds: &Bounds, familiar: Familiar<'_>) -> Result<Self, Malformed> {
        let shape = read::root(Scanner::new(&body, bounds.depth)?, Some(familiar))?;
        Ok(Self { body, shape })
    }

    /// The `model` member, decoded; `None` when it is absent or null.
    pub fn model(&self) -> Option<&str> {
        Some(self.shape.model.as_ref()?.read(&self.body))
    }

    /// Whether `stream` is `true`.
    pub fn stream(&self) -> bool {
        self.shape.stream
    }

    /// What the lists make of each tool, and by which entry: for people, while `permit` decides. Its errors are those of
    /// `permit` that say that the request is malformed.
    pub fn verdicts(
        &self,
        toollist: &Toollist,
        members: &[ToolMember],
    ) -> Result<Vec<ToolVerdict>, Malformed> {
        verdict::verdicts(self, toollist, members)
    }

    /// The JSON of `tool_choice` and that of `function_call`, where they are there and not null.
    pub fn choices(&self) -> [Option<&[u8]>; 2] {
        [Root::ToolChoice, Root::FunctionCall].map(|root| {
            let member = self.shape.member(root).filter(|member| !member.null)?;
            Some(member.value.of(&self.body))
        })
    }

    /// Takes out, or refuses, every tool that may not be used. `members` are the upstream's tool members;
    /// `web_search_options` is one of every upstream, and a name that has another meaning in every request
    /// (`tools`, `messages`) cannot be made one.
    pub fn permit(
        self,
        toollist: &Toollist,
        mode: ToolMode,
        members: &[ToolMember],
    ) -> Result<PermittedRequest, Refused> {
        permit::permit(self, toollist, mode, members)
    }
}

/// What becomes of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The lists removed it.
    Barred,
    /// The selection removed it.
    Pruned,
    /// It goes on, cut down to what a call needs.
    Slim,
    /// It goes on as it is.
    Whole,
}

/// A tool that the lists let through.
#[derive(Debug, Clone, Copy)]
pub struct OfferedTool<'a> {
    /// Its decoded name.
    pub name: &'a str,
    /// Its JSON, as the client wrote it.
    pub json: &'a [u8],
    array: &'a ToolArray,
    place: usize,
}

impl OfferedTool<'_> {
    /// A hash of its JSON, with a seed that nobody outside knows. Of an array that was read before it is remembered.
    pub fn digest(&self) -> u128 {
        self.array.digest(self.place)
    }
}

/// A request whose tools may all be used. Only `ChatRequest::permit` makes one.
#[derive(Debug)]
pub struct PermittedRequest {
    body: Bytes,
    shape: Shape,
    barred: Barred,
    choice: ChoiceFate,
    tally: ToolTally,
    asks_usage: bool,
}

/// What the lists make of `tool_choice`.
#[derive(Debug)]
enum ChoiceFate {
    /// It stays as the client wrote it.
    Stays,
    /// The marked entries of its `allowed_tools` go.
    Without(Vec<bool>),
    /// It becomes `"none"`, since no entry of its `allowed_tools` is left.
    CallNothing,
}

/// Which of the permitted tools go on: a selection can only remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every permitted tool.
    All,
    /// Those at these places of `PermittedRequest::tools`, in any order; others are ignored.
    Only(Vec<usize>),
    /// Those at the places in `whole` as they are, and those in `slim` that are not among them cut down to what a
    /// call needs: the first sentence of the description, and the schema without its texts.
    Slimmed {
        /// Places of `PermittedRequest::tools`.
        whole: Vec<usize>,
        /// Places of `PermittedRequest::tools`.
        slim: Vec<usize>,
    },
}

/// How free the model is in what it calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freedom {
    /// It may call any tool, or, where the request demands a call, must call one of them.
    Free,
    /// It may call nothing.
    None,
    /// The request names the tool that must be called.
    Forced,
}

/// What a tool definition may hold for Orqen alone: things that a user might say when the tool is needed. It is
/// read for choosing and never sent on.
pub const EXAMPLES: &str = "x-orqen-examples";

/// The cuts that make a tool's definition slim, applied: what `Selection::Slimmed` sends of it.
pub fn slimmed(json: &[u8]) -> Vec<u8> {
    let mut slim = Vec::with_capacity(json.len());
    let mut at = 0;
    for cut in trim::cuts(json, true) {
        slim.extend_from_slice(&json[at..cut.start]);
        at = cut.end;
    }
    slim.extend_from_slice(&json[at..]);
    slim
}

impl PermittedRequest {
    /// The tools that are left, in the client's order (`tools`, then `functions`). Tool members such as
    /// `web_search_options` are not among them: they have no definition to prune.
    pub fn tools(&self) -> Vec<OfferedTool<'_>> {
        let mut offered = Vec::with_capacity(self.shape.tools.len() + self.shape.functions.len());
        for (tools, barred) in self.arrays() {
            let Some(array) = tools.array.as_deref() else { continue };
            let permitted = tools.all().iter().enumerate().zip(barred.iter()).filter(|(_, barred)| !**barred);
            offered.extend(permitted.map(|((place, tool), _)| OfferedTool {
                name: tools.first_name(tool),
                json: array.definition(place).json,
                array,
                place,
            }));
        }
        offered
    }

    /// The JSON of each message, in order; none where `messages` is no array.
    pub fn messages(&self) -> Vec<&[u8]> {
        self.shape.messages.iter().map(|span| span.of(&self.body)).collect()
    }

    /// How free the model is in what it calls, by `tool_choice` and `function_call`.
    pub fn freedom(&self) -> Freedom {
        let of = |choice: &Choice| match choice {
            Choice::Absent | Choice::Listed(_) => Freedom::Free,
            Choice::Forced(_) => Freedom::Forced,
            Choice::Word(word) => match word.read(&self.body) {
                "none" => Freedom::None,
                word if shape::CHOICE_WORDS.contains(&word) => Freedom::Free,
                _ => Freedom::Forced,
            },
        };
        match (of(&self.shape.tool_choice), of(&self.shape.function_call)) {
            (Freedom::Free, other) | (other, Freedom::Free) => other,
            (Freedom::Forced, _) | (_, Freedom::Forced) => Freedom::Forced,
            (Freedom::None, Freedom::None) => Freedom::None,
        }
    }

    /// The counts so far.
    pub fn tally(&self) -> ToolTally {
        self.tally
    }

    /// Asks the provider for the usage of a streamed answer, which it tells in a last chunk. Where the client did not
    /// want that chunk, `PreparedRequest::hides_usage` says so.
    #[must_use]
    pub fn asking_usage(self) -> Self {
        Self { asks_usage: self.shape.stream, ..self }
    }

    /// What `keep` with this selection makes of each of the request's `tools`, then of its `functions`.
    pub fn fates(&self, selection: &Selection) -> Vec<Fate> {
        prepare::fates(self, selection)
    }

    /// Keeps the selected tools, writes `model` as the upstream knows it (`None`: as the client wrote it), and
    /// splices the body that is sent.
    ///
    /// What `tool_choice` or `function_call` names stays whatever was selected, and where a call is demanded
    /// (`required`) a selection of nothing is not applied: a choice that the lists let through must not be
    /// weakened, or made an error of the provider's, by pruning.
    pub fn keep(self, selection: &Selection, model: Option<&str>) -> PreparedRequest {
        prepare::prepare(self, selection, model)
    }

    /// The arrays of tools, each with what the lists took out of it.
    fn arrays(&self) -> [(&Tools, &Arc<[bool]>); 2] {
        [(&self.shape.tools, &self.barred.tools), (&self.shape.functions, &self.barred.functions)]
    }

    /// How many tools are left.
    fn permitted(&self) -> usize {
        self.arrays().into_iter().flat_map(|(_, barred)| barred.iter()).filter(|barred| !**barred).count()
    }
}

/// A request as it is sent: the only thing that the upstream client takes.
#[derive(Debug, Clone)]
pub struct PreparedRequest {
    body: Bytes,
    tally: ToolTally,
    removed_by_lists: ToolSet,
    removed_by_selection: ToolSet,
    slimmed: ToolSet,
    stream: bool,
    hides_usage: bool,
}

impl PreparedRequest {
    /// The bytes to send; the client's own buffer when nothing changed.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Whether a streamed answer is asked for.
    pub fn stream(&self) -> bool {
        self.stream
    }

    /// Whether the usage of the stream was asked for by Orqen alone, so that its chunk is not for the client.
    pub fn hides_usage(&self) -> bool {
        self.hides_usage
    }

    /// The counts.
    pub fn tally(&self) -> ToolTally {
        self.tally
    }

    /// The tools that the lists removed. Removed tool members are not among them, since they are switches and no
    /// definitions.
    pub fn removed_by_lists(&self) -> &ToolSet {
        &self.removed_by_lists
    }

    /// The tools that the selection removed, likewise.
    pub fn removed_by_selection(&self) -> &ToolSet {
        &self.removed_by_selection
    }

    /// The tools that go on slim, as they were before.
    pub fn slimmed(&self) -> &ToolSet {
        &self.slimmed
    }
}
