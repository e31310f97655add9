//! Turns what was decided into the bytes that are sent.
//!
//! Everything that goes, by the lists or by a selection, goes in one splice of the client's body, so a selection
//! works on marks that the lists have set already: it can add to them and has no way to take one back.

use std::collections::HashSet;

use super::{
    ChoiceFate, Fate, PermittedRequest, PreparedRequest, Selection, ToolSet,
    permit::{Barred, count, emptied},
    shape::{Choice, Root, Shape, StreamOptions, Tools},
    trim,
};
use crate::domain::json::{Edits, Span};

pub(super) fn prepare(
    request: PermittedRequest,
    selection: &Selection,
    model: Option<&str>,
) -> PreparedRequest {
    let gone = Gone::of(&request, selection);
    let edits = request.edits(&gone, model);

    let hides_usage = request.asks_usage && !request.wants_usage();
    let PermittedRequest { body, shape, barred, mut tally, .. } = request;
    let [removed_by_lists, removed_by_selection, slimmed] = gone.sets(&shape, &barred);
    tally.output -= count(removed_by_selection.len());
    PreparedRequest {
        body: edits.apply(body),
        tally,
        removed_by_lists,
        removed_by_selection,
        slimmed,
        stream: shape.stream,
        hides_usage,
    }
}

/// What became of each tool, by the lists and this selection.
pub(super) fn fates(request: &PermittedRequest, selection: &Selection) -> Vec<Fate> {
    Gone::of(request, selection).fates(&request.barred).collect()
}

/// What becomes of each tool, for whatever reason, by place.
struct Gone {
    tools: Vec<bool>,
    functions: Vec<bool>,
    /// Those that stay, cut down.
    slim_tools: Vec<bool>,
    slim_functions: Vec<bool>,
}

impl Gone {
    fn of(request: &PermittedRequest, selection: &Selection) -> Self {
        let PermittedRequest { shape, barred, .. } = request;
        let mut gone = Self {
            tools: barred.tools.to_vec(),
            functions: barred.functions.to_vec(),
            slim_tools: vec![false; barred.tools.len()],
            slim_functions: vec![false; barred.functions.len()],
        };
        let (whole, slim): (&[usize], &[usize]) = match selection {
            Selection::All => return gone,
            Selection::Only(places) => (places, &[]),
            Selection::Slimmed { whole, slim } => (whole, slim),
        };
        let mut chosen = vec![Chosen::Gone; request.permitted()];
        for (places, as_what) in [(slim, Chosen::Slim), (whole, Chosen::Whole)] {
            for &place in places {
                if let Some(chosen) = chosen.get_mut(place) {
                    *chosen = as_what;
                }
            }
        }
        let pinned = request.pinned();
        let mut chosen = chosen.into_iter();
        for (tools, gone, slim, choice) in [
            (&shape.tools, &mut gone.tools, &mut gone.slim_tools, &shape.tool_choice),
            (&shape.functions, &mut gone.functions, &mut gone.slim_functions, &shape.function_call),
        ] {
            let before = gone.clone();
            let marks = gone.iter_mut().zip(slim.iter_mut());
            for (tool, (gone, slim)) in tools.all().iter().zip(marks).filter(|(_, (gone, _))| !**gone) {
                let named = !pinned.is_empty() && tools.names(tool).any(|name| pinned.contains(name));
                let chosen = chosen.next().unwrap_or(Chosen::Whole);
                *gone = chosen == Chosen::Gone && !named;
                *slim = chosen == Chosen::Slim && !named;
            }
            if emptied(gone) && choice.demands_a_call(&request.body) {
                *gone = before;
            }
        }
        gone
    }
}

impl Gone {
    /// One for each of `tools`, then of `functions`.
    fn fates<'a>(&'a self, barred: &'a Barred) -> impl Iterator<Item = Fate> + 'a {
        let tools = fates_of(&barred.tools, &self.tools, &self.slim_tools);
        tools.chain(fates_of(&barred.functions, &self.functions, &self.slim_functions))
    }

    /// The tools that do not go on as they are: those that the lists removed, those that the selection did, and those
    /// that are cut.
    fn sets(&self, shape: &Shape, barred: &Barred) -> [ToolSet; 3] {
        let mut sets: [ToolSet; 3] = Default::default();
        for (tools, fates) in [
            (&shape.tools, fates_of(&barred.tools, &self.tools, &self.slim_tools)),
            (&shape.functions, fates_of(&barred.functions, &self.functions, &self.slim_functions)),
        ] {
            let Some(array) = &tools.array else { continue };
            let mut places: [Vec<u32>; 3] = Default::default();
            for (place, fate) in (0..).zip(fates) {
                let set = match fate {
                    Fate::Barred => 0,
                    Fate::Pruned => 1,
                    Fate::Slim => 2,
                    Fate::Whole => continue,
                };
                places[set].push(place);
            }
            sets.iter_mut().zip(places).for_each(|(set, places)| set.add(array, places));
        }
        sets
    }
}

/// What becomes of each tool of an array.
fn fates_of<'a>(barred: &'a [bool], gone: &'a [bool], slim: &'a [bool]) -> impl Iterator<Item = Fate> + 'a {
    barred.iter().zip(gone).zip(slim).map(|((barred, gone), slim)| match (barred, gone, slim) {
        (true, _, _) => Fate::Barred,
        (_, true, _) => Fate::Pruned,
        (_, _, true) => Fate::Slim,
        _ => Fate::Whole,
    })
}

/// What a selection makes of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chosen {
    Gone,
    Slim,
    Whole,
}

impl PermittedRequest {
    /// The names that `tool_choice` and `function_call` speak of: tools that stay whatever is selected.
    fn pinned(&self) -> HashSet<&str> {
        let mut pinned = HashSet::new();
        for choice in [&self.shape.tool_choice, &self.shape.function_call] {
            match choice {
                Choice::Absent => {}
                Choice::Word(word) => pinned.extend([word.read(&self.body)]),
                Choice::Forced(names) => pinned.extend(names.all(&self.body)),
                Choice::Listed(listed) => {
                    let tools = &listed.tools;
                    pinned.extend(tools.all().iter().flat_map(|tool| tools.names(tool)));
                }
            }
        }
        pinned
    }

    fn edits(&self, gone: &Gone, model: Option<&str>) -> Edits {
        let mut edits = Edits::default();
        let members = self.members_gone(gone);
        self.write_model(model, emptied(&members), &mut edits);
        if self.asks_usage {
            self.ask_usage_in(&mut edits);
        }
        if members.contains(&true) {
            edits.take_out(self.shape.members.iter().map(|member| member.whole).zip(members.iter().copied()));
        }
        for (tools, gone) in [(&self.shape.tools, &gone.tools), (&self.shape.functions, &gone.functions)] {
            // When all of them go, the whole member does.
            if !emptied(gone) {
                edits.take_out(marked(tools, gone));
            }
        }
        if !emptied(&gone.tools) {
            self.write_choice(&mut edits);
        }
        for (tools, gone, slim) in [
            (&self.shape.tools, &gone.tools, &gone.slim_tools),
            (&self.shape.functions, &gone.functions, &gone.slim_functions),
        ] {
            for ((tool, gone), slim) in tools.all().iter().zip(gone).zip(slim) {
                if !gone && (*slim || tool.exemplified) {
                    edits.trim(tools.place(tool), trim::cuts(tool.span.of(tools.json()), *slim));
                }
            }
        }
        edits
    }

    /// For each member of the root, whether it goes. With the last tool go the members that providers refuse
    /// without tools.
    fn members_gone(&self, gone: &Gone) -> Vec<bool> {
        let (no_tools, no_functions) = (emptied(&gone.tools), emptied(&gone.functions));
        let goes = |root| match root {
            Some(Root::Tools | Root::ToolChoice | Root::ParallelToolCalls) => no_tools,
            Some(Root::Functions | Root::FunctionCall) => no_functions,
            _ => false,
        };
        let mut members: Vec<bool> = self.shape.members.iter().map(|member| goes(member.root)).collect();
        for &place in &self.barred.members {
            members[place] = true;
        }
        members
    }

    fn write_choice(&self, edits: &mut Edits) {
        match (&self.choice, &self.shape.tool_choice, self.shape.member(Root::ToolChoice)) {
            (ChoiceFate::Without(gone), Choice::Listed(listed), _) => {
                edits.take_out(marked(&listed.tools, gone))
            }
            (ChoiceFate::CallNothing, _, Some(member)) => edits.replace(member.value, "\"none\"".to_owned()),
            _ => {}
        }
    }

    /// Whether the client itself asked for the usage of its stream.
    fn wants_usage(&self) -> bool {
        self.shape.stream_options.and_then(|options| options.include_usage).is_some_and(|(_, yes)| yes)
    }

    /// Has `stream_options.include_usage` say `true`.
    fn ask_usage_in(&self, edits: &mut Edits) {
        let here = |place| Span { start: place, end: place };
        match (self.shape.stream_options, self.shape.member(Root::StreamOptions)) {
            (Some(StreamOptions { include_usage: Some((value, yes)), .. }), _) => {
                if !yes {
                    edits.replace(value, "true".to_owned());
                }
            }
            (Some(options), _) => {
                let comma = if options.empty { "" } else { "," };
                edits.replace(here(options.open), format!("\"include_usage\":true{comma}"));
            }
            (None, Some(null)) => edits.replace(null.value, "{\"include_usage\":true}".to_owned()),
            // `stream` is there, and stays: something follows.
            (None, None) => edits
                .replace(here(self.shape.open), "\"stream_options\":{\"include_usage\":true},".to_owned()),
        }
    }

    /// Writes the upstream's name of the model over the client's, or as the first member where there is none.
    fn write_model(&self, model: Option<&str>, alone: bool, edits: &mut Edits) {
        let Some(model) = model else { return };
        if self.shape.model.as_ref().is_some_and(|name| name.read(&self.body) == model) {
            return;
        }
        let value = serde_json::to_string(model).expect("a string always encodes");
        if let Some(member) = self.shape.member(Root::Model) {
            edits.replace(member.value, value);
            return;
        }
        let first = Span { start: self.shape.open, end: self.shape.open };
        let comma = if alone || self.shape.members.is_empty() { "" } else { "," };
        edits.replace(first, format!("\"model\":{value}{comma}"));
    }
}

fn marked<'a>(tools: &'a Tools, marks: &'a [bool]) -> impl Iterator<Item = (Span, bool)> + 'a {
    tools.all().iter().map(|tool| tools.place(tool)).zip(marks.iter().copied())
}
