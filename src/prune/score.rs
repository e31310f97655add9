//! How much each tool speaks for itself this turn: a weighted sum of what can be counted.
//!
//! No model and no I/O: the terms that conversation and tool share (BM25 by field and by part of the conversation),
//! groups of characters, words that people use for one another, and what the state of the conversation says. The
//! same conversation and tools give the same scores, to the bit.

use std::collections::HashMap;

use super::{
    conversation::Conversation,
    index::Index,
    synonyms,
    tool::{ACT_CLASSES, FIELDS, Field, act},
    words::{PassThrough, Term, grams, term, terms, words},
};

/// What is counted of a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    /// The last message over the summary, the description, the texts of the parameters and their values.
    LastSummary,
    LastDescription,
    LastParameterTexts,
    LastValues,
    /// What the model said over the description.
    AssistantDescription,
    /// All of the conversation over all of the tool, its logarithm.
    Overall,
    /// The share of the name's words, by rarity, that the conversation has.
    NameCovered,
    /// Groups of characters that the last message shares with name and summary.
    Grams,
    /// Words that people use for those of the last message, over name and summary.
    SynonymName,
    SynonymSummary,
    /// The class of verb that the last message has is that of the name.
    Act,
    /// The last message holds a path, and the tool takes one.
    Path,
    /// It may bring what one of the best tools requires.
    Supplies,
    /// The share of its required parameters that the conversation speaks of.
    Flow,
    /// It requires nothing.
    RequiresNothing,
    /// It is useful whatever is asked.
    Core,
    /// It resembles what was just called.
    Sibling,
    /// It is about what the best are about, and what was called before.
    Kin,
    CalledKin,
    /// It requires what the tool that was just called is named after: `find_user_id` feeds `user_id`.
    Fed,
    /// Examples of its use over the last message.
    Examples,
    /// Seen more often than others, and after what was just called.
    UsedOften,
    UsedNext,
}

/// How many features there are.
pub(super) const FEATURES: usize = 23;

/// The features of one tool.
pub(super) type Row = [f32; FEATURES];

/// How much each feature counts. Fitted to 2,117 requests of 22 public sources, which are not part of this project: the
/// softmax of the needed tool among those that need not be kept anyway, all weights at least zero, so that no
/// evidence for a tool can ever count against it. `Examples`, `UsedOften` and `UsedNext` occur in none of them and
/// are set by hand: examples are worth what a summary and a name are, together.
pub(super) const WEIGHTS: Row = [
    0.112, // LastSummary
    0.677, // LastDescription
    0.660, // LastParameterTexts
    1.652, // LastValues
    0.677, // AssistantDescription
    0.583, // Overall
    2.340, // NameCovered
    3.698, // Grams
    1.667, // SynonymName
    0.814, // SynonymSummary
    0.273, // Act
    1.460, // Path
    0.370, // Supplies
    0.686, // Flow
    0.129, // RequiresNothing
    1.367, // Core
    1.352, // Sibling
    0.409, // Kin
    0.780, // CalledKin
    1.235, // Fed
    1.000, // Examples
    0.100, // UsedOften
    0.950, // UsedNext
];

/// How much a tool's fields count for `Overall`.
const OVERALL_FIELDS: [f32; FIELDS] = [3.0, 0.5, 1.0, 0.7, 0.3, 0.5, 3.0];
/// How much the parts of the conversation count for it.
const OVERALL_PARTS: [f32; PARTS] = [1.0, 0.5, 0.4, 0.25];
/// How much an earlier message counts against the one after it.
const EARLIER: f32 = 0.6;
/// The mass from which on a last message speaks for itself.
const TELLING: f32 = 20.0;
/// The tools of a first pass whose requirements are looked at.
const FIRST: usize = 8;

/// The parts of a conversation that are matched.
#[derive(Clone, Copy)]
enum Part {
    Last,
    Earlier,
    Assistant,
    Results,
}

const PARTS: usize = 4;

/// The weighted terms of a part.
type Bag = HashMap<Term, f32, PassThrough>;

/// A conversation as it is matched with tools.
pub(super) struct Query {
    bags: [Bag; PARTS],
    /// The message before the last one, at full weight.
    before: Bag,
    synonyms: Bag,
    grams: Vec<u32>,
    acts: [bool; ACT_CLASSES],
    /// Terms of arguments and of what was written in the conversation, for what a parameter may take.
    known: Bag,
    path: bool,
}

/// What was learnt of a tool set, for each of its tools.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usage<'a> {
    pub(super) often: &'a [f32],
    pub(super) next: &'a [f32],
}

impl Query {
    pub(super) fn new(conversation: &Conversation) -> Self {
        let mut query = Self {
            bags: Default::default(),
            before: Bag::default(),
            synonyms: Bag::default(),
            grams: Vec::new(),
            acts: [false; ACT_CLASSES],
            known: Bag::default(),
            path: false,
        };
        query.read_last(&conversation.last);
        let mut weight = 1.0;
        for text in &conversation.earlier {
            weight *= EARLIER;
            terms(text, |term| *query.bags[Part::Earlier as usize].entry(term).or_default() += weight);
        }
        for (part, texts) in
            [(Part::Assistant, &conversation.assistant), (Part::Results, &conversation.results)]
        {
            let mut weight = 1.0;
            for text in texts {
                terms(text, |term| *query.bags[part as usize].entry(term).or_default() += weight);
                weight *= 0.5;
            }
        }
        for arguments in &conversation.arguments {
            terms(arguments, |term| {
                query.known.insert(term, 1.0);
            });
        }
        for part in [Part::Last, Part::Results] {
            query.known.extend(query.bags[part as usize].keys().map(|term| (*term, 1.0)));
        }
        if let Some(text) = conversation.earlier.first() {
            terms(text, |term| *query.before.entry(term).or_default() += 1.0);
        }
        for bag in query.bags.iter_mut().chain([&mut query.before]) {
            bag.values_mut().for_each(|weight| *weight = 1.5 * *weight / (*weight + 0.5));
        }
        query
    }

    /// "Yes, the second one" asks for what was spoken of before: the less the last message says about these tools,
    /// the more the one before it counts as a part of it.
    fn lean_back(&mut self, index: &Index) {
        let last = &mut self.bags[Part::Last as usize];
        let mass: f32 = last.iter().filter_map(|(term, weight)| Some(weight * index.term(*term)?.idf)).sum();
        let share = 1.0 - mass / TELLING;
        if share > 0.0 {
            for (term, weight) in &self.before {
                let here = last.entry(*term).or_default();
                *here = here.max(weight * share);
            }
        }
    }

    fn read_last(&mut self, text: &str) {
        words(text, |word| {
            if let Some(class) = act(word) {
                self.acts[usize::from(class)] = true;
            }
            if let Some(term) = term(word) {
                *self.bags[Part::Last as usize].entry(term).or_default() += 1.0;
                grams(word, |gram| self.grams.push(gram));
            }
        });
        self.grams.sort_unstable();
        self.grams.dedup();
        let last = &self.bags[Part::Last as usize];
        for term in last.keys() {
            synonyms::of(*term, |other| {
                if !last.contains_key(&other) {
                    self.synonyms.insert(other, 1.0);
                }
            });
        }
        self.path = text.split_whitespace().any(|word| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric() && c != '/' && c != '~' && c != '.');
            (word.starts_with('/') || word.starts_with("~/") || word.starts_with("./")) && word.len() > 2
                || word.rsplit_once('.').is_some_and(|(stem, end)| {
                    !stem.is_empty()
                        && (2..=4).contains(&end.len())
                        && end.bytes().all(|b| b.is_ascii_lowercase())
                })
        });
    }
}

/// Sums of matches, by part, field and tool.
struct Sums {
    tools: usize,
    sums: Vec<f32>,
}

impl Sums {
    fn new(parts: usize, tools: usize) -> Self {
        Self { tools, sums: vec![0.0; parts * FIELDS * tools] }
    }

    fn of(&self, part: usize, field: Field) -> &[f32] {
        let start = (part * FIELDS + field as usize) * self.tools;
        &self.sums[start..start + self.tools]
    }

    /// Adds the matches of a part; gives its mass, the sum of what its terms could match.
    fn add(&mut self, part: usize, bag: &Bag, index: &Index) -> f32 {
        let start = part * FIELDS * self.tools;
        let sums = &mut self.sums[start..start + FIELDS * self.tools];
        // In an order of its own: sums of floats depend on it, and a map's is not the same twice.
        let mut found: Vec<_> =
            bag.iter().filter_map(|(term, weight)| Some((*term, *weight, index.term(*term)?))).collect();
        found.sort_unstable_by_key(|(term, ..)| *term);
        let mut mass = 0.0;
        for (_, weight, entry) in found {
            let worth = weight * entry.idf;
            mass += worth;
            for posting in index.postings(entry) {
                sums[usize::from(posting.field) * self.tools + usize::from(posting.tool)] +=
                    worth * posting.impact;
            }
        }
        mass
    }
}

/// The features of every tool.
pub(super) fn features(index: &Index, conversation: &Conversation, usage: Usage<'_>) -> Vec<Row> {
    let mut query = Query::new(conversation);
    query.lean_back(index);
    let tools = index.tools.len();
    let mut sums = Sums::new(PARTS + 1, tools);
    let mut masses = [0.0; PARTS + 1];
    for (part, bag) in query.bags.iter().chain([&query.synonyms]).enumerate() {
        masses[part] = sums.add(part, bag, index);
    }
    let scale = masses.map(|mass| 1.0 / (1.0 + mass).sqrt());
    let mut rows = vec![[0.0; FEATURES]; tools];
    let grams = gram_likeness(index, &query.grams);
    let recent: Vec<usize> =
        conversation.called.iter().rev().take(3).filter_map(|name| index.named(name)).collect();
    for (place, row) in rows.iter_mut().enumerate() {
        let at = |part: Part, field: Field| sums.of(part as usize, field)[place];
        let mut set = |feature: Feature, value: f32| row[feature as usize] = value;
        let last = scale[Part::Last as usize];
        set(Feature::LastSummary, at(Part::Last, Field::Summary) * last);
        set(Feature::LastDescription, at(Part::Last, Field::Description) * last);
        set(Feature::LastParameterTexts, at(Part::Last, Field::ParameterTexts) * last);
        set(Feature::LastValues, at(Part::Last, Field::Values) * last);
        set(Feature::Examples, at(Part::Last, Field::Examples) * last);
        let said = scale[Part::Assistant as usize];
        set(Feature::AssistantDescription, at(Part::Assistant, Field::Description) * said);
        let overall: f32 = (0..PARTS)
            .flat_map(|part| (0..FIELDS).map(move |field| (part, field)))
            .map(|(part, field)| {
                OVERALL_PARTS[part]
                    * OVERALL_FIELDS[field]
                    * sums.sums[(part * FIELDS + field) * tools + place]
            })
            .sum();
        set(Feature::Overall, overall.ln_1p());
        set(Feature::Grams, grams[place]);
        set(Feature::SynonymName, sums.of(PARTS, Field::Name)[place] * scale[PARTS]);
        set(Feature::SynonymSummary, sums.of(PARTS, Field::Summary)[place] * scale[PARTS]);
        let tool = &index.tools[place];
        set(Feature::NameCovered, covered(index, &query, &tool.name));
        let flag = |on: bool| f32::from(u8::from(on));
        set(Feature::Act, flag(tool.act.is_some_and(|class| query.acts[usize::from(class)])));
        set(Feature::Path, flag(query.path && tool.takes_path));
        set(Feature::RequiresNothing, flag(tool.required.is_empty()));
        set(Feature::Core, flag(tool.core));
        set(Feature::Flow, flow(&tool.required, |term| query.known.contains_key(&term)));
        set(Feature::UsedOften, usage.often.get(place).copied().unwrap_or_default());
        set(Feature::UsedNext, usage.next.get(place).copied().unwrap_or_default());
        if conversation.after_tool && !recent.is_empty() {
            let likeness = recent.iter().map(|other| likeness(&tool.name, &index.tools[*other].name));
            set(Feature::Sibling, likeness.fold(0.0, f32::max));
        }
    }
    after_calls(index, &recent, &mut rows);
    second_pass(index, &mut rows);
    rows
}

/// What the latest calls say about the next one.
fn after_calls(index: &Index, recent: &[usize], rows: &mut [Row]) {
    let mut kin = vec![0.0; rows.len()];
    let mut weight = 1.0;
    for called in recent {
        index.add_kin(*called, weight, &mut kin);
        weight *= 0.7;
    }
    for (row, kin) in rows.iter_mut().zip(kin) {
        row[Feature::CalledKin as usize] = kin;
    }
    if let Some(last) = recent.first() {
        let brought = &index.tools[*last].name;
        for (row, tool) in rows.iter_mut().zip(&index.tools) {
            row[Feature::Fed as usize] = flow(&tool.required, |term| brought.contains(&term));
        }
    }
}

/// What depends on how the others did: what the best require, and the best of each family.
fn second_pass(index: &Index, rows: &mut [Row]) {
    let scores: Vec<f32> = rows.iter().map(score).collect();
    let mut best: Vec<u16> = (0..scores.len()).map(|place| place as u16).collect();
    let order = |one: &u16, other: &u16| {
        scores[usize::from(*other)].total_cmp(&scores[usize::from(*one)]).then(one.cmp(other))
    };
    if best.len() > FIRST {
        best.select_nth_unstable_by(FIRST, order);
        best.truncate(FIRST);
    }
    let mut kin = vec![0.0; scores.len()];
    let top = best.iter().map(|tool| scores[usize::from(*tool)]).fold(0.0, f32::max);
    let shares: Vec<f32> = best.iter().map(|tool| (scores[usize::from(*tool)] - top).exp()).collect();
    let all: f32 = shares.iter().sum();
    for (tool, share) in best.iter().zip(&shares) {
        index.add_kin(usize::from(*tool), share / all, &mut kin);
    }
    for (place, row) in rows.iter_mut().enumerate() {
        row[Feature::Kin as usize] = kin[place];
    }
    for tool in &best {
        for supplier in &index.suppliers[usize::from(*tool)] {
            rows[usize::from(*supplier)][Feature::Supplies as usize] = 1.0;
        }
    }
}

/// The score of a tool.
pub(super) fn score(row: &Row) -> f32 {
    row.iter().zip(&WEIGHTS).map(|(value, weight)| value * weight).sum()
}

fn gram_likeness(index: &Index, grams: &[u32]) -> Vec<f32> {
    let mut shared = vec![0.0; index.tools.len()];
    let mut norm = 0.0;
    for gram in grams {
        let Some((entry, tools)) = index.gram(*gram) else { continue };
        let square = entry.idf * entry.idf;
        norm += square;
        for tool in tools {
            shared[usize::from(*tool)] += square;
        }
    }
    let norm = norm.sqrt().max(1e-3);
    shared.iter().zip(&index.gram_norms).map(|(shared, length)| shared / (norm * length)).collect()
}

/// The share of a name's words, by rarity, that the user or the model wrote.
fn covered(index: &Index, query: &Query, name: &[Term]) -> f32 {
    let (mut whole, mut found) = (0.0, 0.0);
    for term in name {
        let idf = index.term(*term).map_or(0.0, |entry| entry.idf);
        whole += idf;
        let said = [Part::Last, Part::Earlier, Part::Assistant]
            .iter()
            .any(|part| query.bags[*part as usize].contains_key(term));
        if said {
            found += idf;
        }
    }
    if whole > 0.0 { found / whole } else { 0.0 }
}

/// The share of the required parameters whose words are known; words that every parameter has do not count.
fn flow(required: &[Box<[Term]>], known: impl Fn(Term) -> bool) -> f32 {
    if required.is_empty() {
        return 0.0;
    }
    let generic = generic();
    let found = required.iter().filter(|words| {
        let mut telling = words.iter().filter(|term| !generic.contains(term)).peekable();
        if telling.peek().is_none() {
            return !words.is_empty() && words.iter().all(|term| known(*term));
        }
        telling.all(|term| known(*term))
    });
    found.count() as f32 / required.len() as f32
}

/// Terms that say no more than that something is meant.
fn generic() -> &'static [Term] {
    static GENERIC: std::sync::LazyLock<Vec<Term>> = std::sync::LazyLock::new(|| {
        ["id", "ids", "name", "number", "code", "key"].iter().filter_map(|word| term(word)).collect()
    });
    &GENERIC
}
/// Dice's likeness of two names by their words.
fn likeness(one: &[Term], other: &[Term]) -> f32 {
    let shared = one.iter().filter(|term| other.contains(term)).count();
    let all = one.len() + other.len();
    if all == 0 { 0.0 } else { 2.0 * shared as f32 / all as f32 }
}
