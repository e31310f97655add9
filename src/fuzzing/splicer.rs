//! A chat request under the lists of a key: refused, or sent without any tool that they forbid.

use bytes::Bytes;
use uuid::Uuid;

use super::{
    given::Given,
    json::Json,
    promises::{Sent, Whole},
};
use crate::domain::{
    chat_request::{Bounds, ChatRequest, Familiar, PreparedRequest, Selection, ToolArrays, ToolMember},
    key::ToolMode,
};

/// As deep as a request may nest by default.
const BOUNDS: Bounds = Bounds { depth: 128 };
/// The name that an upstream has for a model, with the option `m`.
const MODEL: &str = "up\"stream";

/// Takes a request through the lists. Options: `o` observes and `b` blocks instead of filtering, `m` writes the
/// model, `u` asks for usage, `g` has members of the upstream that are tools, digits are the tools that are kept, and
/// those after an `s` are kept slim.
pub fn splicer(input: &[u8]) {
    let Some(given) = Given::of(input) else { return };
    let members = if given.has('g') { tool_members() } else { Vec::new() };
    let selection = selection(given.options);
    let Some(prepared) = prepared(&given, &members, &selection) else { return };
    let (Some(before), Some(after)) = (Json::read(given.rest), Json::read(prepared.body())) else {
        panic!("what is taken or sent is no JSON");
    };
    let sent = Sent { lists: &given.lists, members: &members, before, after };
    sent.is_read_by_all_alike();
    if mode(&given) != ToolMode::Observe {
        sent.brings_no_forbidden_tool();
        sent.chooses_no_more_than_before();
    }
    if given.lists.toollist.is_unbound() && untouched(&given, &selection) {
        assert_eq!(prepared.body(), given.rest, "without lists it is not the client's request");
    }
    let whole = Whole {
        slim: matches!(selection, Selection::Slimmed { .. }),
        all: selection == Selection::All,
        model: given.has('m').then_some(MODEL),
    };
    sent.loses_nothing_else(&whole);
    counted(&prepared, mode(&given));
}

fn mode(given: &Given<'_>) -> ToolMode {
    match (given.has('o'), given.has('b')) {
        (true, _) => ToolMode::Observe,
        (_, true) => ToolMode::Block,
        _ => ToolMode::Filter,
    }
}

fn prepared(given: &Given<'_>, members: &[ToolMember], selection: &Selection) -> Option<PreparedRequest> {
    let fresh = ChatRequest::parse(Bytes::copy_from_slice(given.rest), &BOUNDS);
    // Its arrays of tools were read before, at another place: nothing may depend on it.
    let arrays = ToolArrays::eager();
    let familiar = Familiar { arrays: &arrays, owner: Uuid::nil(), keeps: true };
    let _ = ChatRequest::parse_familiar([b" ", given.rest].concat().into(), &BOUNDS, familiar);
    let known = ChatRequest::parse_familiar(Bytes::copy_from_slice(given.rest), &BOUNDS, familiar);
    assert_eq!(known.as_ref().err(), fresh.as_ref().err(), "what is familiar is read otherwise");
    let request = known.ok()?;
    let verdicts = request.verdicts(&given.lists.toollist, members);
    let permitted = request.permit(&given.lists.toollist, mode(given), members);
    let Ok(permitted) = permitted else { return None };
    assert!(verdicts.is_ok(), "what may be sent cannot be explained");
    for tool in permitted.tools() {
        let forbidden = mode(given) != ToolMode::Observe && given.lists.forbid(tool.name);
        assert!(!forbidden, "{:?} is offered", tool.name);
    }
    let permitted = if given.has('u') { permitted.asking_usage() } else { permitted };
    let fates = permitted.fates(selection).len();
    let tally = permitted.tally();
    assert!(fates <= tally.input as usize, "more tools have a fate than there are");
    Some(permitted.keep(selection, given.has('m').then_some(MODEL)))
}

fn tool_members() -> Vec<ToolMember> {
    let member = |member: &str, tool: &str| ToolMember { member: member.to_owned(), tool: tool.to_owned() };
    vec![member("search_parameters", "web_search"), member("plugins", "plugin")]
}

fn selection(options: &str) -> Selection {
    let places = |text: &str| text.chars().filter_map(|c| c.to_digit(10)).map(|d| d as usize).collect();
    match options.split_once('s') {
        Some((whole, slim)) => Selection::Slimmed { whole: places(whole), slim: places(slim) },
        None if options.contains(|c: char| c.is_ascii_digit()) => Selection::Only(places(options)),
        None => Selection::All,
    }
}

/// Whether nothing but the lists could change this request.
fn untouched(given: &Given<'_>, selection: &Selection) -> bool {
    let examples = given.rest.windows(8).any(|bytes| bytes == b"x-orqen-");
    *selection == Selection::All && !given.has('m') && !given.has('u') && !examples
}

fn counted(prepared: &PreparedRequest, mode: ToolMode) {
    let (tally, pruned) = (prepared.tally(), prepared.removed_by_selection().len());
    let gone = tally.denied as usize + pruned;
    assert_eq!(tally.input as usize, tally.output as usize + gone, "the counts do not add up");
    assert!(mode != ToolMode::Observe || tally.denied == 0, "observing takes tools out");
    assert!(mode != ToolMode::Block || tally.denied == 0, "blocking takes tools out");
}
