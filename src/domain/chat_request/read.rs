//! The one pass over a request: walks the root, and into the members that decide something.

use super::{
    Familiar, Malformed, choice,
    governed::{Path, object, string},
    shape::{Choice, ROOT, Root, RootMember, Shape, StreamOptions, Tools},
    tool::{Place, tools},
};
use crate::domain::json::{Kind, Scanner, Span, Text};

/// How deep `stream_options` may nest. It is flat today; the bound keeps this walk, which recurses, off the
/// stack's end however deep the configuration lets bodies be.
const OPTIONS_DEPTH: usize = 16;

/// The member of `stream_options` that decides something.
const INCLUDE_USAGE: [(&str, ()); 1] = [("include_usage", ())];

/// Reads the whole document, but for arrays of tools that are familiar.
pub(super) fn root(mut scan: Scanner<'_>, familiar: Option<Familiar<'_>>) -> Result<Shape, Malformed> {
    let mut shape = Shape {
        open: scan.position() + 1,
        members: Vec::new(),
        model: None,
        stream: false,
        stream_options: None,
        messages: Vec::new(),
        tools: Tools::default(),
        functions: Tools::default(),
        tool_choice: Choice::Absent,
        function_call: Choice::Absent,
    };
    object(&mut scan, Path::Root, &ROOT, |scan, name, root| {
        let start = scan.position();
        let null = scan.kind()? == Kind::Null;
        member(scan, &mut shape, root, familiar)?;
        shape.members.push(root_member(root, name, Span { start, end: scan.position() }, null));
        Ok(())
    })?;
    scan.end()?;
    Ok(shape)
}

fn root_member(root: Option<Root>, name: Text, value: Span, null: bool) -> RootMember {
    let whole = Span { start: name.span.start - 1, end: value.end };
    RootMember { root, name, whole, value, null }
}

fn member(
    scan: &mut Scanner<'_>,
    shape: &mut Shape,
    root: Option<Root>,
    familiar: Option<Familiar<'_>>,
) -> Result<(), Malformed> {
    let path = |name| Path::Member(&Path::Root, name);
    match root {
        Some(Root::Model) => shape.model = string(scan, path("model"))?.map(Into::into),
        Some(Root::Stream) => shape.stream = switch(scan, path("stream"))?,
        Some(Root::StreamOptions) => shape.stream_options = options(scan, path("stream_options"))?,
        Some(Root::Tools) => shape.tools = tools(scan, (path("tools"), Place::Tools), familiar)?,
        Some(Root::Functions) => {
            shape.functions = tools(scan, (path("functions"), Place::Functions), familiar)?
        }
        Some(Root::ToolChoice) => shape.tool_choice = choice::tool_choice(scan, path("tool_choice"))?,
        Some(Root::FunctionCall) => shape.function_call = choice::function_call(scan, path("function_call"))?,
        Some(Root::Messages) if scan.kind()? == Kind::Array => {
            scan.array(|scan, _| {
                shape.messages.push(scan.skip()?);
                Ok::<_, Malformed>(())
            })?;
        }
        // Whether these are what a provider takes is the provider's to say.
        Some(Root::Messages | Root::ParallelToolCalls | Root::WebSearchOptions) | None => {
            scan.skip()?;
        }
    }
    Ok(())
}

fn switch(scan: &mut Scanner<'_>, path: Path<'_>) -> Result<bool, Malformed> {
    match scan.kind()? {
        Kind::Bool | Kind::Null => {
            let span = scan.skip()?;
            Ok(span.of(scan.source().as_bytes()) == b"true")
        }
        _ => Err(path.wrong_type(scan, "true or false")),
    }
}

fn options(scan: &mut Scanner<'_>, path: Path<'_>) -> Result<Option<StreamOptions>, Malformed> {
    match scan.kind()? {
        Kind::Null => scan.skip().map(|_| None).map_err(Malformed::from),
        Kind::Object => {
            let mut options = StreamOptions { open: scan.position() + 1, empty: true, include_usage: None };
            object(scan, path, &INCLUDE_USAGE, |scan, _, include_usage| {
                let start = scan.position();
                nested_options(scan, path, 2)?;
                let value = Span { start, end: scan.position() };
                options.empty = false;
                if include_usage.is_some() {
                    options.include_usage = Some((value, value.of(scan.source().as_bytes()) == b"true"));
                }
                Ok(())
            })?;
            Ok(Some(options))
        }
        _ => Err(path.wrong_type(scan, "an object")),
    }
}

fn nested_options(scan: &mut Scanner<'_>, path: Path<'_>, depth: usize) -> Result<(), Malformed> {
    let kind = scan.kind()?;
    if depth > OPTIONS_DEPTH && matches!(kind, Kind::Object | Kind::Array) {
        return Err(path.malformed(format_args!("nests more than {OPTIONS_DEPTH} deep: send a flatter one")));
    }
    match kind {
        Kind::Object => {
            object(scan, path, &INCLUDE_USAGE, |scan, _, _| nested_options(scan, path, depth + 1)).map(|_| ())
        }
        Kind::Array => scan.array(|scan, _| nested_options(scan, path, depth + 1)).map(|_| ()),
        _ => scan.skip().map(|_| ()).map_err(Malformed::from),
    }
}
