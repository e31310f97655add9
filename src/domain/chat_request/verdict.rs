//! What the lists say of each tool of a request, for people who want to know why one is gone.
//!
//! Nothing is decided here: what speaks against a tool is asked of `permit`, and only its words are added. So there is
//! one for every tool also where `permit` refuses the request.

use bytes::Bytes;

use super::{
    ChatRequest, Malformed, ToolMember,
    members::tool_members,
    permit::{Against, affordable, against},
    shape::Tools,
    tool::Tool,
};
use crate::domain::toollist::Toollist;

/// What the lists say of one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolVerdict {
    /// Everything that it is called, that which is shown first.
    pub names: Vec<String>,
    /// The member of the request that brings it: `tools`, `functions`, `web_search_options`, …
    pub member: String,
    /// Its definition, as the client wrote it; `None` for a member that is a tool itself.
    pub json: Option<Bytes>,
    /// What speaks against it.
    pub bar: Option<Bar>,
}

/// What speaks against a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bar {
    /// An entry of the denylist matches one of its names.
    Denied {
        /// The name.
        name: String,
        /// The entry, as it was given.
        entry: String,
    },
    /// The allowlist has no entry for one of its names.
    NotAllowed {
        /// The name.
        name: String,
    },
    /// It brings tools inside, whose names nobody checks, so that it passes no list.
    Nested,
    /// It brings whatever tools an MCP server has, of which the denylist may deny one.
    OpenServer,
}

/// One for each of `tools`, then of `functions`, then for the members that are tools.
pub(super) fn verdicts(
    request: &ChatRequest,
    toollist: &Toollist,
    members: &[ToolMember],
) -> Result<Vec<ToolVerdict>, Malformed> {
    let ChatRequest { body, shape } = request;
    affordable(shape, body, toollist)?;
    let told = |member: &str, tools: &Tools, tool: &Tool| ToolVerdict {
        names: tools.names(tool).map(str::to_owned).collect(),
        member: member.to_owned(),
        json: Some(body.slice(tools.place(tool).start..tools.place(tool).end)),
        bar: against(tool, tools.json(), toollist).map(|against| match against {
            Against::Nested => Bar::Nested,
            Against::Open => Bar::OpenServer,
            Against::Name(name) => by_name(tools.names(tool), name, toollist),
        }),
    };
    let mut verdicts = Vec::new();
    for (member, tools) in [("tools", &shape.tools), ("functions", &shape.functions)] {
        verdicts.extend(tools.all().iter().map(|tool| told(member, tools, tool)));
    }
    verdicts.extend(tool_members(body, shape, members)?.into_iter().map(|carried| {
        let unfit = carried.tools.iter().find(|tool| !toollist.permits(tool));
        ToolVerdict {
            names: carried.tools.iter().map(|&name| name.to_owned()).collect(),
            member: carried.member.to_owned(),
            json: None,
            bar: unfit.map(|unfit| by_name(carried.tools.iter().copied(), unfit, toollist)),
        }
    }));
    Ok(verdicts)
}

/// Denied wins: a name that is denied says more than one that is not allowed.
fn by_name<'a>(mut names: impl Iterator<Item = &'a str>, unfit: &str, toollist: &Toollist) -> Bar {
    let denied = names.find_map(|name| Some((name, toollist.denying(name)?)));
    match denied {
        Some((name, entry)) => Bar::Denied { name: name.to_owned(), entry: entry.to_owned() },
        None => Bar::NotAllowed { name: unfit.to_owned() },
    }
}
