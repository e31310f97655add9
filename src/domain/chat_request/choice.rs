//! `tool_choice` and `function_call`, in every shape that providers take.

use super::{
    Malformed,
    governed::{Path, Said, object, string},
    shape::{CHOICE_WORDS, Choice, Listed, Tools},
    tool::{Naming, Part, Place, tools},
};
use crate::domain::{
    json::{Kind, Scanner},
    violation::shown,
};

#[derive(Debug, Clone, Copy)]
enum Member {
    Names(Part),
    AllowedTools,
    Mode,
    Tools,
}

const MEMBERS: [(&str, Member); 7] = [
    ("type", Member::Names(Part::Type)),
    ("function", Member::Names(Part::Function)),
    ("custom", Member::Names(Part::Custom)),
    ("name", Member::Names(Part::Name)),
    ("allowed_tools", Member::AllowedTools),
    ("mode", Member::Mode),
    ("tools", Member::Tools),
];

/// Reads `tool_choice`: null, a word, a tool, or a list of allowed ones.
pub(super) fn tool_choice(scan: &mut Scanner<'_>, path: Path<'_>) -> Result<Choice, Malformed> {
    match scan.kind()? {
        Kind::Null | Kind::Text => {
            Ok(string(scan, path)?.map_or(Choice::Absent, |word| Choice::Word(word.into())))
        }
        Kind::Object => choice_object(scan, path),
        _ => Err(path.wrong_type(scan, "a string or an object")),
    }
}

/// Reads `function_call`: null, a word, or the function that must be called.
pub(super) fn function_call(scan: &mut Scanner<'_>, path: Path<'_>) -> Result<Choice, Malformed> {
    match scan.kind()? {
        Kind::Null | Kind::Text => {
            Ok(string(scan, path)?.map_or(Choice::Absent, |word| Choice::Word(word.into())))
        }
        Kind::Object => {
            let mut naming = Naming::default();
            object(scan, path, &[("name", Part::Name)], |scan, _, part| match part {
                Some(part) => naming.take(scan, path, part),
                None => scan.skip().map(|_| ()).map_err(Malformed::from),
            })?;
            naming.resolve(path, Place::Functions).map(Choice::Forced)
        }
        _ => Err(path.wrong_type(scan, "a string or an object")),
    }
}

/// The tools and the mode, wherever they stand.
#[derive(Debug, Default)]
struct List<'a> {
    mode: Option<Said<'a>>,
    tools: Option<Tools>,
}

impl<'a> List<'a> {
    fn take_mode(&mut self, scan: &mut Scanner<'a>, path: Path<'_>) -> Result<(), Malformed> {
        self.mode = string(scan, Path::Member(&path, "mode"))?;
        Ok(())
    }

    fn take_tools(&mut self, scan: &mut Scanner<'a>, path: Path<'_>) -> Result<(), Malformed> {
        if scan.kind()? == Kind::Null {
            scan.skip()?;
        } else {
            self.tools = Some(tools(scan, (Path::Member(&path, "tools"), Place::Tools), None)?);
        }
        Ok(())
    }
}

fn choice_object(scan: &mut Scanner<'_>, path: Path<'_>) -> Result<Choice, Malformed> {
    let mut naming = Naming::default();
    let mut flat = List::default();
    let mut nested: Option<List<'_>> = None;
    object(scan, path, &MEMBERS, |scan, _, member| match member {
        Some(Member::Names(part)) => naming.take(scan, path, part),
        Some(Member::Mode) => flat.take_mode(scan, path),
        Some(Member::Tools) => flat.take_tools(scan, path),
        Some(Member::AllowedTools) => {
            nested = nested_list(scan, Path::Member(&path, "allowed_tools"))?;
            Ok(())
        }
        None => scan.skip().map(|_| ()).map_err(Malformed::from),
    })?;
    if nested.is_some() || flat.tools.is_some() || naming.kind() == Some("allowed_tools") {
        return listed(path, &naming, flat, nested.unwrap_or_default()).map(Choice::Listed);
    }
    // `{"type": "auto"}` is the word in an object, as some providers have it.
    if !naming.is_named() && naming.kind().is_some_and(|kind| CHOICE_WORDS.contains(&kind)) {
        return Ok(naming.into_kind().map_or(Choice::Absent, Choice::Word));
    }
    naming.resolve(path, Place::Choice).map(Choice::Forced)
}

fn nested_list<'a>(scan: &mut Scanner<'a>, path: Path<'_>) -> Result<Option<List<'a>>, Malformed> {
    if scan.kind()? == Kind::Null {
        scan.skip()?;
        return Ok(None);
    }
    let mut list = List::default();
    let members = [("mode", Member::Mode), ("tools", Member::Tools)];
    object(scan, path, &members, |scan, _, member| match member {
        Some(Member::Mode) => list.take_mode(scan, path),
        Some(Member::Tools) => list.take_tools(scan, path),
        _ => scan.skip().map(|_| ()).map_err(Malformed::from),
    })?;
    Ok(Some(list))
}

/// One list out of the flat and the nested form. What both could say is refused when both do.
fn listed(
    path: Path<'_>,
    naming: &Naming<'_>,
    flat: List<'_>,
    nested: List<'_>,
) -> Result<Listed, Malformed> {
    if let Some(kind) = naming.kind().filter(|kind| *kind != "allowed_tools") {
        let kind = shown(kind);
        return Err(
            path.malformed(format_args!("has the type {kind} and a list of allowed tools: send one of them"))
        );
    }
    if naming.is_named() {
        return Err(path.malformed("names a tool and has a list of allowed tools: send one of them"));
    }
    if flat.mode.is_some() && nested.mode.is_some() {
        return Err(path.malformed("has two modes, `mode` and `allowed_tools.mode`: send one"));
    }
    let tools = match (flat.tools, nested.tools) {
        (Some(_), Some(_)) => {
            return Err(path.malformed("has two lists, `tools` and `allowed_tools.tools`: send one"));
        }
        (None, None) => {
            return Err(path.malformed("has no list: give it `allowed_tools.tools`, an array of tools"));
        }
        (flat, nested) => flat.or(nested).unwrap_or_default(),
    };
    let mode = flat.mode.or(nested.mode);
    let required = mode.is_some_and(|mode| matches!(&*mode.value, "required" | "any"));
    Ok(Listed { required, tools })
}
