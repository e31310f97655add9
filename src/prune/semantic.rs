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

/// A last message of fewer bytes says nothing by itself ("yes, the second one"), and goes with the one before it.
const FRAGMENT: usize = 40;
/// How many tools a comparison adds to those that words choose. Adds, and never takes away: there are good models and
/// bad ones, and none may lose what words would have kept. Of 2,117 requests of public sources, all needed tools were
/// kept in 99.76 of 100 rather than 99.62 with the three nearest by a small model (MiniLM, 384 numbers), at a saving
/// smaller by a quarter of a point; five were no better. What was said before, as a text of its own, made no difference.
const NEAREST: usize = 3;

/// The texts that have to be compared.
#[derive(Debug)]
pub struct Question<'a> {
    /// What was said; not empty.
    pub said: String,
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
        let last = conversation.last.trim();
        let said = match conversation.earlier.first() {
            Some(before) if last.len() < FRAGMENT => ends(&format!("{}\n{last}", before.trim())),
            _ => ends(last),
        };
        (!said.is_empty()).then_some(Self { said, tools, depth })
    }

    /// What is to be compared of the tool at this place: its name, its description and its examples.
    pub fn tool_text(&self, place: usize) -> String {
        self.tools.get(place).map(|tool| tool_text(tool.name, tool.json, self.depth)).unwrap_or_default()
    }
}

/// How near each tool is to what was said.
#[derive(Debug, Clone, PartialEq)]
pub struct Likeness(Vec<f32>);

impl Likeness {
    /// Of the vectors of a question's texts, each of length one, in the question's order; `None` unless all have the
    /// same number of numbers.
    pub fn new<V: AsRef<[f32]>>(said: &V, tools: &[V]) -> Option<Self> {
        let said = said.as_ref();
        let cosine = |tool: &V| {
            let tool = tool.as_ref();
            (tool.len() == said.len()).then(|| product(said, tool))
        };
        tools.iter().map(cosine).collect::<Option<_>>().map(Self)
    }

    /// The places of the nearest tools, the nearest first, of those that are not kept anyway; `None` where it is of
    /// other tools.
    pub(super) fn nearest(&self, kept: &[bool]) -> Option<Vec<usize>> {
        if self.0.len() != kept.len() {
            return None;
        }
        let mut places: Vec<usize> = (0..kept.len()).filter(|place| !kept[*place]).collect();
        places.sort_by(|one, other| self.0[*other].total_cmp(&self.0[*one]).then(one.cmp(other)));
        places.truncate(NEAREST);
        Some(places)
    }
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
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    sums.iter().sum::<f32>() + rest
}

fn tool_text(name: &str, json: &[u8], depth: usize) -> String {
    // Models know words and not identifiers.
    let mut text: String = name.chars().map(|c| if matches!(c, '_' | '-' | '.') { ' ' } else { c }).collect();
    if let Ok(mut scan) = Scanner::new(json, depth) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(conversation: &Conversation) -> Option<String> {
        Question::new(conversation, Vec::new(), 64).map(|question| question.said)
    }

    #[test]
    fn what_was_said_last_is_compared_and_a_fragment_with_what_came_before() {
        let conversation = |last: &str| Conversation {
            last: last.to_owned(),
            earlier: vec!["Find me a flight".to_owned(), "Hello".to_owned()],
            ..Conversation::default()
        };
        assert_eq!(said(&conversation("Yes.")).unwrap(), "Find me a flight\nYes.");
        let whole = "Book the second one that you found, for two people";
        assert_eq!(said(&conversation(whole)).unwrap(), whole);
        let long = said(&conversation(&format!("first {} last", "ä".repeat(4000)))).unwrap();
        assert!(long.len() <= SAID_MAX + 1 && long.starts_with("first") && long.ends_with("last"));
        assert_eq!(said(&Conversation { last: " \n".to_owned(), ..Conversation::default() }), None);
    }

    #[test]
    fn a_tool_is_its_name_in_words_its_description_and_its_examples_cut_to_a_bound() {
        let text = |json: &str| tool_text("get_my.weather", json.as_bytes(), 64);
        let json = r#"{"type":"function","function":{"parameters":{"description":"no"},"description":"Reads \"it\"",
            "x-orqen-examples":["Is it wet?",7,{"description":"no"}]}}"#;
        assert_eq!(text(json), "get my weather: Reads \"it\": Is it wet?");
        assert_eq!(text("[]"), "get my weather");
        let long = text(&format!(r#"{{"description":"{}"}}"#, "ä".repeat(4000)));
        assert!(long.len() <= TOOL_MAX && long.len() > TOOL_MAX - 2);
    }

    #[test]
    fn the_nearest_are_found_by_the_cosine_and_vectors_of_another_length_are_no_answer() {
        let said = vec![1.0; 9];
        let tools: Vec<Vec<f32>> = (0..6).map(|n| vec![n as f32 / 10.0; 9]).collect();
        let likeness = Likeness::new(&said, &tools).unwrap();
        assert!((likeness.0[5] - 4.5).abs() < 1e-5);
        assert_eq!(likeness.nearest(&[false, false, false, false, true, false]).unwrap(), [5, 3, 2]);
        assert_eq!(likeness.nearest(&[false; 5]), None);
        assert_eq!(Likeness::new(&said, &[vec![1.0; 9], vec![1.0; 8]]), None);
    }
}
