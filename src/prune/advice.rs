//! What is wrong with an account's tools, and what to change.
//!
//! A model, like the pruner, knows a tool by its name and description. One that says nothing, or what three others
//! say too, is called wrongly and left out wrongly; both are cheaper to mend in the definition than anywhere else.

use super::{
    health::Sum,
    tool::{Field, Tool},
    words::Term,
};
use crate::domain::tool_health::{Finding, FindingKind, ToolHealth};

/// A description with fewer words than this that the name does not have says nothing.
const TELLING: usize = 2;
/// Descriptions that share this much of their words, the same of all words of both, collide.
const COLLIDING: f32 = 0.8;
/// Descriptions shorter than this are vague; that they are alike says no more.
const COMPARABLE: usize = 4;
/// The most tools that are compared with each other, those offered most; every pair is looked at.
const COMPARED: usize = 500;
/// The most others that a finding names.
const NAMED: usize = 5;
/// How often a tool must have been offered for that it was never called to mean anything.
const OFTEN: u64 = 200;

/// The health of these tools, in their order.
pub(super) fn health(sums: Vec<Sum>) -> Vec<ToolHealth> {
    let collisions = collisions(&sums);
    let findings: Vec<Vec<Finding>> =
        sums.iter().zip(collisions).map(|(sum, others)| findings(sum, &others, &sums)).collect();
    let health = sums.into_iter().zip(findings).map(|(sum, findings)| ToolHealth {
        name: sum.definition.name.into(),
        offered: sum.offered,
        forwarded: sum.forwarded,
        called: sum.called,
        missed: sum.missed,
        last_missed_at: sum.last_missed,
        definition_bytes: sum.definition.bytes,
        findings,
    });
    health.collect()
}

fn findings(sum: &Sum, others: &[usize], sums: &[Sum]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut add = |kind, message: String| found.push(Finding { kind, others: Vec::new(), message });
    if sum.missed > 0 {
        add(
            FindingKind::Missed,
            format!(
                "it was called {} times although pruning had left it out: say in its description when it is needed, or give what users say for it in `x-orqen-examples`; `k_target_override` keeps more tools for a key",
                sum.missed
            ),
        );
    }
    if sum.twins {
        add(
            FindingKind::DuplicateName,
            "a request offers several tools of this name, of which a call cannot tell which it means: rename all but one".to_owned(),
        );
    }
    match unsaid(&sum.definition.tool) {
        Some(FindingKind::NoDescription) => add(
            FindingKind::NoDescription,
            "it has no description: say in a sentence what it does, to what, and when to use it".to_owned(),
        ),
        Some(kind) => add(
            kind,
            "its description says no more than its name: say what it does, to what, and when to use it rather than another".to_owned(),
        ),
        None => {}
    }
    if sum.called == 0 && sum.missed == 0 && sum.offered >= OFTEN {
        add(
            FindingKind::NeverCalled,
            format!(
                "it was offered {} times and never called: take it out of the agent's tools, or put it on the key's `denied_tools`",
                sum.offered
            ),
        );
    }
    if !others.is_empty() {
        let others: Vec<String> =
            others.iter().take(NAMED).map(|other| String::from(&*sums[*other].definition.name)).collect();
        let message = format!(
            "its description is nearly that of {}: say in each what tells it from the others",
            others.join(", ")
        );
        found.push(Finding { kind: FindingKind::CollidingDescription, others, message });
    }
    found.sort_by_key(|finding| finding.kind);
    found
}

/// Whether a tool's description is missing, or says nothing that its name does not.
fn unsaid(tool: &Tool) -> Option<FindingKind> {
    if !tool.described {
        return Some(FindingKind::NoDescription);
    }
    let description = &tool.fields[Field::Description as usize];
    let new = description.iter().filter(|(term, _)| !tool.name.contains(term)).take(TELLING).count();
    (new < TELLING).then_some(FindingKind::VagueDescription)
}

/// For each tool those whose descriptions are nearly its own.
fn collisions(sums: &[Sum]) -> Vec<Vec<usize>> {
    let mut most: Vec<usize> = (0..sums.len()).collect();
    most.sort_by_key(|place| std::cmp::Reverse(sums[*place].offered));
    most.truncate(COMPARED);
    let mut found = vec![Vec::new(); sums.len()];
    for (rank, one) in most.iter().enumerate() {
        for other in &most[rank + 1..] {
            if collide(&sums[*one].definition.tool, &sums[*other].definition.tool) {
                found[*one].push(*other);
                found[*other].push(*one);
            }
        }
    }
    found
}

fn collide(one: &Tool, other: &Tool) -> bool {
    let (one, other) = (&one.fields[Field::Description as usize], &other.fields[Field::Description as usize]);
    let (short, long) = (one.len().min(other.len()), one.len().max(other.len()));
    if short < COMPARABLE || (short as f32) < COLLIDING * long as f32 {
        return false;
    }
    let both = shared(one, other);
    both as f32 >= COLLIDING * (one.len() + other.len() - both) as f32
}

/// How many terms two sorted lists have in common.
fn shared(one: &[(Term, u16)], other: &[(Term, u16)]) -> usize {
    let (mut left, mut right, mut both) = (one.iter().peekable(), other.iter().peekable(), 0);
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        let order = a.cmp(b);
        both += usize::from(order.is_eq());
        if order.is_le() {
            left.next();
        }
        if order.is_ge() {
            right.next();
        }
    }
    both
}
