//! What upstreams call the tools of a request, read broadly: every member that some provider takes for a name is one,
//! however unlikely it is that it takes all of them.

use super::json::Json;

/// Members of a tool under which some provider looks for further tools, whose names nobody could check.
const NESTS: [&str; 6] =
    ["tools", "functions", "function_declarations", "functionDeclarations", "googleSearch", "google_search"];
/// Members of a tool that are a second tool by themselves to some provider.
const SECOND: [&str; 7] =
    ["googleMaps", "google_maps", "retrieval", "web_search", "fileSearch", "mcpServers", "mcp_servers"];
/// Types that say what kind of thing is named.
const KINDS: [&str; 2] = ["function", "custom"];
/// Words of `tool_choice` that name no tool.
const WORDS: [&str; 4] = ["auto", "none", "required", "any"];

/// What a tool is called, and whether it brings tools that are not called anything.
#[derive(Debug, Default)]
pub(super) struct Called {
    pub(super) names: Vec<String>,
    pub(super) nests: bool,
}

/// The names of an entry of `tools`, of `functions` or of a list of allowed ones.
pub(super) fn of_tool(tool: Json<'_>) -> Called {
    let mut called = Called { names: said(tool, &KINDS), nests: false };
    for (member, value) in tool.members() {
        called.nests |= NESTS.contains(&member.as_str()) && !value.is_null();
        if member == "allowed_tools" {
            called.names.extend(value.elements().iter().filter_map(|name| name.text()));
            let inside = value.all("tool_names").into_iter().flat_map(Json::elements);
            called.names.extend(inside.filter_map(Json::text));
        } else if SECOND.contains(&member.as_str()) && value.holds_more() {
            called.names.push(member);
        }
    }
    called
}

/// The names that a `tool_choice` or `function_call` forces.
pub(super) fn forced(choice: Json<'_>) -> Vec<String> {
    let mut names = said(choice, &["function", "custom", "tool", "allowed_tools"]);
    names.retain(|name| !WORDS.contains(&name.as_str()));
    names
}

/// The word that a choice is, where it could be the name of a tool.
pub(super) fn word(choice: Json<'_>) -> Option<String> {
    choice.text().filter(|word| !WORDS.contains(&word.as_str()))
}

/// The entries of a choice that lists tools, by either form; `None` where it lists none.
pub(super) fn listed(choice: Json<'_>) -> Option<Vec<Json<'_>>> {
    let nested = choice.all("allowed_tools").into_iter().flat_map(|list| list.all("tools"));
    let lists: Vec<_> =
        choice.all("tools").into_iter().chain(nested).filter(|list| !list.is_null()).collect();
    (!lists.is_empty()).then(|| lists.into_iter().flat_map(Json::elements).collect())
}

/// Names by the members that are there for them; a type that is none of `kinds` is one too.
fn said(tool: Json<'_>, kinds: &[&str]) -> Vec<String> {
    let inside = ["function", "custom"].into_iter().flat_map(|member| tool.all(member));
    let named = inside.flat_map(|object| object.all("name")).chain(tool.all("name"));
    let mut names: Vec<String> = named.filter_map(Json::text).collect();
    names
        .extend(tool.all("type").into_iter().filter_map(Json::text).filter(|kind| !kinds.contains(&&**kind)));
    names
}
