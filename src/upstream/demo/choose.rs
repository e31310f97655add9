//! Which tool the demo model calls: the one whose name and description share most words with the last user
//! message, the first of them on a tie. A choice that the client forces is obeyed, as by a real model.

use super::{
    request::{Asked, Choice, Problem, Tool},
    words,
};

/// The tool to call; `None` when the answer is text.
pub(super) fn tool<'t, 'a>(asked: &'t Asked<'a>) -> Result<Option<&'t Tool<'a>>, Problem> {
    match &asked.choice {
        Choice::None => Ok(None),
        Choice::Any => Ok(best(asked, |_| true)),
        Choice::AnyOf(names) => Ok(best(asked, |tool| names.contains(&tool.name))),
        Choice::Forced(name) => {
            let forced = asked.tools.iter().find(|tool| tool.name == *name);
            let message =
                || format!("`tool_choice` names `{}`, which is not in `tools`", words::cut(name, 64));
            forced.map(Some).ok_or_else(|| Problem::new("tool_choice", message()))
        }
    }
}

fn best<'t, 'a>(asked: &'t Asked<'a>, may_call: impl Fn(&Tool<'a>) -> bool) -> Option<&'t Tool<'a>> {
    let wanted = words::of(&asked.user_text);
    let shared = |tool: &Tool<'a>| {
        let mut known = words::of(&tool.name);
        known.extend(words::of(&tool.description));
        known.intersection(&wanted).count()
    };
    let mut best: Option<(usize, &'t Tool<'a>)> = None;
    for tool in asked.tools.iter().filter(|tool| may_call(tool)) {
        let score = shared(tool);
        if best.is_none_or(|(highest, _)| score > highest) {
            best = Some((score, tool));
        }
    }
    best.map(|(_, tool)| tool)
}
