//! Members of the root that are tools themselves: `web_search_options`, and those that an upstream is configured with.

use std::borrow::Cow;

use super::{
    Malformed, ToolMember,
    governed::{Path, look_alike},
    shape::{Root, Shape},
};
use crate::domain::toollist::fold;

/// A member of the root that is a tool.
pub(super) struct Carried<'a> {
    pub(super) place: usize,
    pub(super) member: &'a str,
    pub(super) tools: Vec<&'a str>,
}

/// The root's members that are tools: `web_search_options`, and those that are configured. Null is no tool.
/// One that could be read as a configured member without being it is refused, like the look-alikes of governed
/// members.
pub(super) fn tool_members<'a>(
    body: &'a [u8],
    shape: &'a Shape,
    configured: &'a [ToolMember],
) -> Result<Vec<Carried<'a>>, Malformed> {
    let folded: Vec<_> = configured.iter().map(|member| fold(&member.member)).collect();
    // Only names that may be configured ones have to be read again.
    let source =
        if configured.is_empty() { "" } else { simdutf8::basic::from_utf8(body).unwrap_or_default() };
    let mut carried = Vec::new();
    for (place, member) in shape.members.iter().enumerate() {
        let (name, mut known, mut tools) = match member.root {
            Some(Root::WebSearchOptions) => {
                (Cow::Borrowed("web_search_options"), Some("web_search_options"), vec!["web_search"])
            }
            None if !configured.is_empty() => {
                let name = member.name.decode(source).map_err(|lone| Path::Root.malformed(lone))?;
                (name, None, Vec::new())
            }
            _ => continue,
        };
        // Not for each of the configured: folding is what costs.
        let name_folded = if configured.is_empty() { Cow::Borrowed("") } else { fold(&name) };
        for (tool, folded) in configured.iter().zip(&folded) {
            if tool.member == name {
                known = Some(&tool.member);
                tools.push(&tool.tool);
            } else if name_folded == *folded {
                return Err(look_alike(Path::Root, &name, &tool.member));
            }
        }
        if let (Some(member_name), false) = (known, member.null) {
            carried.push(Carried { place, member: member_name, tools });
        }
    }
    Ok(carried)
}
