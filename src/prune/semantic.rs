//! What a comparison by meaning needs, and what it says.
//!
//! Words miss what is said in other words: "what I owe you" has none of `list_invoices`. Vectors of the two are near
//! each other. Whoever has an embedding model gets the texts from here (`Question`), of permitted tools only, and hands
//! back the vectors (`Likeness`); nothing here knows where they come from.

use super::conversation::Conversation;
use crate::domain::{
    chat_request::{EXAMPLES, OfferedTool},
    json::{Invalid, Kind, Scanner},
};

/// The most bytes of a tool's text: small models read no more than some 250 tokens.
const TOOL_MAX: usize = 1000;
/// The most bytes of what was said. A text that is longer than a model takes is an error to many servers, and the
/// commonest bound is 512 tokens.
const SAID_MAX: usize = 1500;

/// What the last message, the one of the user before it and the model's last text count.
const SHARES: [f32; 3] = [1.0, 0.3, 0.3];

/// The texts that have to be compared.
#[derive(Debug)]
pub struct Question<'a> {
    /// What was said, in an order of its own; none of it empty.
    pub said: Vec<String>,
    /// The permitted tools, in their order.
    pub tools: Vec<OfferedTool<'a>>,
    depth: usize,
}

impl<'a> Question<'a> {
    /// `None` where nothing was said that could be compared.
    pub(super) fn new(
        conversation: &Conversation,
        tools: Vec<OfferedTool<'a>>,
        depth: usize,
    ) -> Option<Self> {
        let said: Vec<String> = said(conversation).map(|(_, text)| ends(text)).collect();
        (!said.is_empty()).then_some(Self { said, tools, depth })
    }

    /// What is to be compared of the tool at this place: its name, its description and its examples.
    pub fn tool_text(&self, place: usize) -> String {
        self.tools.get(place).map(|tool| tool_text(tool, self.depth)).unwrap_or_default()
    }
}

/// How alike each thing that was said and each tool are.
#[derive(Debug, Clone, PartialEq)]
pub struct Likeness {
    /// By what was said, then by tool: from -1 to 1.
    cosines: Vec<Vec<f32>>,
}

impl Likeness {
    /// Of the vectors of a question's texts, each of length one, in the question's order; `None` unless all have the
    /// same number of numbers.
    pub fn new<V: AsRef<[f32]>>(said: &[V], tools: &[V]) -> Option<Self> {
        let length = said.first()?.as_ref().len();
        if said.iter().chain(tools).any(|vector| vector.as_ref().len() != length) {
            return None;
        }
        let row = |one: &V| tools.iter().map(|other| product(one.as_ref(), other.as_ref())).collect();
        Some(Self { cosines: said.iter().map(row).collect() })
    }

    /// What it says for each of so many tools; `None` where it is of another conversation or other tools.
    pub(super) fn evidence(&self, conversation: &Conversation, tools: usize) -> Option<Vec<f32>> {
        let shares: Vec<f32> = said(conversation).map(|(share, _)| share).collect();
        if shares.len() != self.cosines.len() || self.cosines.iter().any(|row| row.len() != tools) {
            return None;
        }
        let mut evidence = vec![0.0; tools];
        for (share, cosines) in shares.iter().zip(&self.cosines) {
            let standard = standardised(cosines);
            evidence.iter_mut().zip(standard).for_each(|(sum, value)| *sum += share * value);
        }
        Some(evidence)
    }
}

/// How far each lies from the mean, in standard deviations: models differ in what cosines they give.
fn standardised(cosines: &[f32]) -> Vec<f32> {
    let number = cosines.len().max(1) as f32;
    let mean = cosines.iter().sum::<f32>() / number;
    let variance = cosines.iter().map(|value| (value - mean) * (value - mean)).sum::<f32>() / number;
    let deviation = variance.sqrt().max(1e-4);
    cosines.iter().map(|value| (value - mean) / deviation).collect()
}

/// What was said, with the share that each has in the comparison.
fn said(conversation: &Conversation) -> impl Iterator<Item = (f32, &str)> {
    let before = conversation.earlier.first().map_or("", String::as_str);
    let answer = conversation.assistant.first().map_or("", String::as_str);
    let all = SHARES.into_iter().zip([conversation.last.as_str(), before, answer]);
    all.filter(|(_, text)| !text.trim().is_empty())
}

/// A text, of a long one its two ends: what is wanted stands at either.
fn ends(text: &str) -> String {
    let text = text.trim();
    if text.len() <= SAID_MAX {
        return text.to_owned();
    }
    let head = &text[..text.floor_char_boundary(SAID_MAX / 2)];
    let tail = &text[text.ceil_char_boundary(text.len() - SAID_MAX / 2)..];
    format!("{head}\n{tail}")
}

/// In eight sums side by side, which the compiler makes one instruction of; always in the same order.
fn product(one: &[f32], other: &[f32]) -> f32 {
    let (left, right) = (one.chunks_exact(8), other.chunks_exact(8));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0_f32; 8];
    for (a, b) in left.zip(right) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

fn tool_text(tool: &OfferedTool<'_>, depth: usize) -> String {
    // Models know words and not identifiers.
    let mut text: String =
        tool.name.chars().map(|c| if matches!(c, '_' | '-' | '.') { ' ' } else { c }).collect();
    if let Ok(mut scan) = Scanner::new(tool.json, depth) {
        // What is read before something odd stays read.
        let _ = definition(&mut scan, &mut text, 0);
    }
    text.truncate(text.floor_char_boundary(TOOL_MAX));
    text
}

/// The tool itself, or what stands in its `function` or `custom` member.
fn definition(scan: &mut Scanner<'_>, text: &mut String, inside: usize) -> Result<(), Invalid> {
    if scan.kind()? != Kind::Object {
        return scan.skip().map(drop);
    }
    scan.object(|scan, member| {
        let source = scan.source();
        match &*member.decode(source).unwrap_or_default() {
            "function" | "custom" if inside == 0 => definition(scan, text, 1),
            "description" => append(scan, text),
            EXAMPLES if scan.kind()? == Kind::Array => scan.array(|scan, _| append(scan, text)).map(drop),
            _ => scan.skip().map(drop),
        }
    })
    .map(drop)
}

/// Adds the string that stands here, if it is one and there is room.
fn append(scan: &mut Scanner<'_>, text: &mut String) -> Result<(), Invalid> {
    if scan.kind()? != Kind::Text || text.len() > TOOL_MAX {
        return scan.skip().map(drop);
    }
    let string = scan.text()?;
    text.push_str(": ");
    text.push_str(&string.decode(scan.source()).unwrap_or_default());
    Ok(())
}
