//! What a tool brings beside what it is called: members that could be further tools, and the tools of an MCP server.

use super::{
    Malformed,
    governed::{Path, Said, object, string},
    shape::Name,
};
use crate::domain::json::{Kind, Scanner, Text};

/// The most names of one tool that are looked at. Real ones have one or two, or as many as an MCP server has tools.
const NAMES_MAX: usize = 256;

/// The members of a tool that do not name it, as they come.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// What counts as further names of the tool.
    pub(super) names: Vec<Name>,
    /// Whether there is more than was looked at.
    pub(super) nests: bool,
    /// Whether it says which tools of an MCP server may be called.
    pub(super) listed: bool,
}

impl Brought {
    /// Reads the value of the member `name`.
    pub(super) fn take(
        &mut self,
        scan: &mut Scanner<'_>,
        path: Path<'_>,
        name: Text,
    ) -> Result<(), Malformed> {
        let kind = scan.kind()?;
        if matches!(kind, Kind::Object | Kind::Array) {
            let said = name.decode(scan.source()).map_err(|lone| path.malformed(lone))?;
            match &*said {
                "allowed_tools" => return self.take_allowed(scan, Path::Member(&path, "allowed_tools")),
                known if brings_nothing(known) => {}
                _ => self.add(Said { value: said, span: name.span }),
            }
        }
        scan.skip()?;
        Ok(())
    }

    /// The tools of an MCP server that may be called: an array of names, or an object that has one. An object
    /// without it is a filter by other properties, and lists nothing.
    fn take_allowed(&mut self, scan: &mut Scanner<'_>, path: Path<'_>) -> Result<(), Malformed> {
        if scan.kind()? == Kind::Array {
            return self.take_names(scan, path);
        }
        object(scan, path, &[("tool_names", ())], |scan, _, part| {
            if part.is_some() && scan.kind()? == Kind::Array {
                return self.take_names(scan, Path::Member(&path, "tool_names"));
            }
            scan.skip()?;
            Ok(())
        })?;
        Ok(())
    }

    fn take_names(&mut self, scan: &mut Scanner<'_>, path: Path<'_>) -> Result<(), Malformed> {
        self.listed = true;
        scan.array(|scan, index| {
            if scan.kind()? == Kind::Text {
                if let Some(said) = string(scan, Path::Element(&path, index))? {
                    self.add(said);
                }
            } else {
                self.nests = true;
                scan.skip()?;
            }
            Ok::<_, Malformed>(())
        })?;
        Ok(())
    }

    fn add(&mut self, said: Said<'_>) {
        if self.names.len() < NAMES_MAX {
            self.names.push(said.into());
        } else {
            self.nests = true;
        }
    }
}

/// Whether a tool of this type stands for the tools of an MCP server.
pub(super) fn is_mcp(kind: &str) -> bool {
    kind.eq_ignore_ascii_case("mcp") || kind.eq_ignore_ascii_case("mcp_toolset")
}

/// Whether a member of a tool is known to carry no tool: schemas, texts, settings of the tools that providers run.
/// Compared exactly, so that a spelling which only some provider takes for one of these counts as a name.
fn brings_nothing(member: &str) -> bool {
    matches!(
        member,
        "parameters"
            | "input_schema"
            | "inputSchema"
            | "output_schema"
            | "outputSchema"
            | "parameters_json_schema"
            | "parametersJsonSchema"
            | "properties"
            | "required"
            | "returns"
            | "format"
            | "strict"
            | "description"
            | "annotations"
            | "metadata"
            | "_meta"
            | "icons"
            | "tags"
            | "examples"
            | "input_examples"
            | "x-orqen-examples"
            | "cache_control"
            | "allowed_callers"
            | "citations"
            | "container"
            | "environment"
            | "execution"
            | "headers"
            | "require_approval"
            | "input_image_mask"
            | "vector_store_ids"
            | "filters"
            | "ranking_options"
            | "user_location"
            | "search_content_types"
            | "allowed_domains"
            | "blocked_domains"
            | "excluded_domains"
    ) || member.starts_with("response")
}
