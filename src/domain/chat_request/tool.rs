//! What a tool is called, in every shape that carries one: `tools`, `functions` and the entries of `tool_choice`.

use std::sync::Arc;

use super::{
    EXAMPLES, Familiar, Malformed,
    array::ToolArray,
    brought::{Brought, is_mcp},
    governed::{Path, Said, object, string},
    shape::{Name, Tools},
};
use crate::domain::{
    json::{Kind, Scanner, Span},
    violation::shown,
};

/// The most tools of one array. Agents have hundreds; each is compared with every pattern of the key.
const TOOLS_MAX: usize = 16_384;

/// A tool of an array. Its places are those in the array's own JSON.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) span: Span,
    pub(super) names: Names,
    /// Whether it brings further tools inside. Nobody checked what those are called, so that it passes no list.
    pub(super) nests: bool,
    /// Whether it brings all tools of an MCP server, whose names the request does not say: any could be denied.
    pub(super) open: bool,
    /// Whether it brings examples for Orqen, which are not sent on.
    pub(super) exemplified: bool,
}

impl Tool {
    /// Has the places begin at `start` instead of where they began.
    pub(super) fn moved(&mut self, start: usize) {
        let names = std::iter::once(&mut self.names.first).chain(&mut self.names.more);
        let spans = names.filter_map(|name| match name {
            Name::Plain(span) => Some(span),
            Name::Decoded(_) => None,
        });
        for span in spans.chain([&mut self.span]) {
            span.start -= start;
            span.end -= start;
        }
    }
}

/// What a tool is called. All of its names count: it is denied if one is, and allowed only if every one is.
///
/// A tool that the provider runs may have two. `{"type": "web_search_20250305", "name": "web_search"}` is the
/// first to the provider and the second to the model; a list may mean either, so a denial of one suffices, and
/// allowing one must not let the other in unseen: its name is the client's to choose, its type is what runs.
/// The same goes for members that nobody here knows: `{"type": "get_weather", "googleMaps": {}}` is a map service
/// to the provider that does.
#[derive(Debug)]
pub(super) struct Names {
    /// The one to show.
    pub(super) first: Name,
    /// The type beside a name, where the type is a name as well, unknown members, and the tools of an MCP server.
    /// Ordinary tools have none of these, so that it allocates nothing.
    pub(super) more: Vec<Name>,
}

impl Names {
    fn one(said: Said<'_>) -> Self {
        Self { first: said.into(), more: Vec::new() }
    }

    /// All of them.
    pub(super) fn all<'b>(&'b self, body: &'b [u8]) -> impl Iterator<Item = &'b str> {
        std::iter::once(&self.first).chain(&self.more).map(|name| name.read(body))
    }
}

/// Where a tool is named, since the same members do not mean the same everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// In `tools`, or in a list of allowed ones.
    Tools,
    /// In `functions`, where each is a function.
    Functions,
    /// In `tool_choice` itself.
    Choice,
}

/// A member that names a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Type,
    Function,
    Custom,
    Name,
}

/// The members of a tool that decide something: those that name it, and (`None`) those under which some API lets a
/// tool carry further tools, or be a second one. Chat Completions has none of the latter, but an upstream may read
/// more than it says.
const PARTS: [(&str, Option<Part>); 18] = [
    ("type", Some(Part::Type)),
    ("function", Some(Part::Function)),
    ("custom", Some(Part::Custom)),
    ("name", Some(Part::Name)),
    ("tools", None),
    ("functions", None),
    ("function_declarations", None),
    ("functionDeclarations", None),
    ("google_search", None),
    ("googleSearch", None),
    ("google_search_retrieval", None),
    ("googleSearchRetrieval", None),
    ("code_execution", None),
    ("codeExecution", None),
    ("url_context", None),
    ("urlContext", None),
    ("computer_use", None),
    ("computerUse", None),
];

/// Reads an array of tools; null and what is left out are none. One that is familiar was read before.
pub(super) fn tools(
    scan: &mut Scanner<'_>,
    (path, place): (Path<'_>, Place),
    familiar: Option<Familiar<'_>>,
) -> Result<Tools, Malformed> {
    match scan.kind()? {
        Kind::Null => {
            scan.skip()?;
            return Ok(Tools::default());
        }
        Kind::Array => {}
        _ => return Err(path.wrong_type(scan, "an array of tools")),
    }
    if let Some(array) = familiar.and_then(|familiar| familiar.find(place, scan.rest())) {
        let at = scan.pass_known(array.json()).start;
        return Ok(Tools { at, array: Some(array) });
    }
    let spent = scan.spent();
    let (span, tools) = fresh(scan, path, place)?;
    let seed = familiar.map_or(0, |familiar| familiar.arrays.seed());
    let array = Arc::new(ToolArray::new(scan.source().as_bytes(), span, tools, seed));
    // Names that are not ASCII are counted for the request as a whole, so that such an array is read each time.
    if let Some(familiar) = familiar.filter(|familiar| familiar.keeps && scan.spent() == spent) {
        familiar.keep(place, &array);
    }
    Ok(Tools { at: span.start, array: Some(array) })
}

fn fresh(scan: &mut Scanner<'_>, path: Path<'_>, place: Place) -> Result<(Span, Vec<Tool>), Malformed> {
    let mut tools = Vec::new();
    let span = scan.array(|scan, index| {
        if index == TOOLS_MAX {
            return Err(path.malformed(format_args!("has more than {TOOLS_MAX} elements: send fewer")));
        }
        tools.push(tool(scan, Path::Element(&path, index), place)?);
        Ok(())
    })?;
    Ok((span, tools))
}

fn tool(scan: &mut Scanner<'_>, path: Path<'_>, place: Place) -> Result<Tool, Malformed> {
    let mut naming = Naming::default();
    let mut brought = Brought::default();
    let span = object(scan, path, &PARTS, |scan, name, part| match part {
        Some(Some(part)) => naming.take(scan, path, part),
        other => {
            brought.nests |= other.is_some() && scan.kind()? != Kind::Null;
            brought.take(scan, path, name)
        }
    })?;
    // Looked for in the bytes: one search, against a comparison with every member of every tool.
    let exemplified = memchr::memmem::find(span.of(scan.source().as_bytes()), EXAMPLES.as_bytes()).is_some();
    let open = !brought.listed && naming.kind().is_some_and(is_mcp);
    let mut names = naming.resolve(path, place)?;
    names.more.append(&mut brought.names);
    Ok(Tool { span, names, nests: brought.nests, open, exemplified })
}

/// The members of an object that name a tool, as they come.
#[derive(Debug, Default)]
pub(super) struct Naming<'a> {
    kind: Option<Said<'a>>,
    function: Option<Option<Said<'a>>>,
    custom: Option<Option<Said<'a>>>,
    name: Option<Said<'a>>,
}

impl<'a> Naming<'a> {
    /// Reads the value of the member that stands for `part`.
    pub(super) fn take(
        &mut self,
        scan: &mut Scanner<'a>,
        path: Path<'_>,
        part: Part,
    ) -> Result<(), Malformed> {
        match part {
            Part::Type => self.kind = string(scan, Path::Member(&path, "type"))?,
            Part::Name => self.name = string(scan, Path::Member(&path, "name"))?,
            Part::Function => self.function = named_object(scan, Path::Member(&path, "function"))?,
            Part::Custom => self.custom = named_object(scan, Path::Member(&path, "custom"))?,
        }
        Ok(())
    }

    /// The `type` member.
    pub(super) fn kind(&self) -> Option<&str> {
        self.kind.as_ref().map(|kind| &*kind.value)
    }

    /// Whether anything but the type names a tool.
    pub(super) fn is_named(&self) -> bool {
        self.function.is_some() || self.custom.is_some() || self.name.is_some()
    }

    /// The `type` as a name of its own.
    pub(super) fn into_kind(self) -> Option<Name> {
        self.kind.map(Name::from)
    }

    /// The tool's names, if its members agree with each other.
    pub(super) fn resolve(self, path: Path<'_>, place: Place) -> Result<Names, Malformed> {
        self.fits(path)?;
        // Types that say what kind of thing is named; any other is itself the name of a tool that the provider runs.
        let wraps = match self.kind() {
            None | Some("function" | "custom") => true,
            Some("tool") => place == Place::Choice,
            Some(_) => false,
        };
        let mut name: Option<Said<'_>> = None;
        for said in [self.function.flatten(), self.custom.flatten(), self.name].into_iter().flatten() {
            match &name {
                Some(first) if first.value != said.value => {
                    let (first, second) = (shown(&first.value), shown(&said.value));
                    return Err(path.malformed(format_args!("has two names, {first} and {second}: send one")));
                }
                _ => name = Some(said),
            }
        }
        match (name, self.kind) {
            (Some(name), Some(kind)) if !wraps => Ok(Names { first: name.into(), more: vec![kind.into()] }),
            (None, Some(kind)) if !wraps && place != Place::Functions => Ok(Names::one(kind)),
            (Some(name), _) => Ok(Names::one(name)),
            (None, _) => Err(path.malformed(match place {
                Place::Functions => "has no name: give it `name`",
                _ => "has no name: give it `function.name`, `custom.name` or `name`, or the `type` of a tool that the provider runs",
            })),
        }
    }

    /// Whether the objects fit the type: a provider may go by either of two that contradict each other.
    fn fits(&self, path: Path<'_>) -> Result<(), Malformed> {
        let (function, custom) = (self.function.is_some(), self.custom.is_some());
        let unfit = match self.kind() {
            None if function && custom => {
                return Err(path.malformed("has both `function` and `custom`: send one of them"));
            }
            Some("function") if custom => "custom",
            Some("custom") if function => "function",
            Some("function" | "custom") | None => return Ok(()),
            Some(_) if function => "function",
            Some(_) if custom => "custom",
            Some(_) => return Ok(()),
        };
        let kind = shown(self.kind().unwrap_or_default());
        Err(path.malformed(format_args!(
            "has the type {kind} and a `{unfit}` object: they do not fit, send one of them"
        )))
    }
}

/// Reads a `function` or `custom` object: whether there is one, and its name.
fn named_object<'a>(scan: &mut Scanner<'a>, path: Path<'_>) -> Result<Option<Option<Said<'a>>>, Malformed> {
    if scan.kind()? == Kind::Null {
        scan.skip()?;
        return Ok(None);
    }
    let mut name = None;
    object(scan, path, &[("name", ())], |scan, _, part| {
        match part {
            Some(()) => name = string(scan, Path::Member(&path, "name"))?,
            None => {
                scan.skip()?;
            }
        }
        Ok(())
    })?;
    Ok(Some(name))
}
