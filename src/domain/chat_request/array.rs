//! An array of tools as it was read: its JSON, what its tools are called, and what others have found out about them.
//!
//! Agents send the same array turn after turn, and it is most of what they send. So what is read of one is kept, and the
//! next request that brings the very same bytes is spared the reading (`familiar`). It has a copy of its own of the JSON,
//! since the request's buffer may be far larger and must not be held for it.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{
    shape::{Name, Tools},
    tool::Tool,
};
use crate::domain::{
    json::Span,
    toollist::{Toollist, ToollistHandle},
};

/// For how many lists an array remembers which of its tools they bar. Of more keys that offer the same array with lists
/// of their own, the latest.
const LISTS: usize = 64;

/// A count that nobody has made yet.
const UNKNOWN: u32 = u32::MAX;

/// An array of tools, read and valid.
#[derive(Debug)]
pub struct ToolArray {
    json: Box<[u8]>,
    tools: Box<[Tool]>,
    facts: Box<[Facts]>,
    /// All its names, in bytes, and of them those that are not ASCII: what it costs to compare them.
    names: NameBytes,
    seed: u64,
    barred: ArcSwap<Vec<(ToollistHandle, Arc<[bool]>)>>,
}

/// How long the names of some tools are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NameBytes {
    /// All of them; an empty one counts for one, since it costs a look too.
    pub(super) all: usize,
    /// Those that are not ASCII.
    pub(super) foldable: usize,
}

impl NameBytes {
    pub(super) fn add(&mut self, name: &str) {
        self.all += name.len().max(1);
        self.foldable += if name.is_ascii() { 0 } else { name.len() };
    }

    /// Adds those of an array, which were added up when it was read.
    pub(super) fn add_array(&mut self, tools: &Tools) {
        if let Some(array) = &tools.array {
            self.all += array.names.all;
            self.foldable += array.names.foldable;
        }
    }
}

/// What was found out about one definition.
#[derive(Debug)]
struct Facts {
    digest: OnceLock<u128>,
    tokens: TokenCounts,
}

/// How many tokens a definition has, once somebody has counted them.
#[derive(Debug)]
pub struct TokenCounts {
    whole: AtomicU32,
    texts: AtomicU32,
}

impl TokenCounts {
    fn new() -> Self {
        Self { whole: AtomicU32::new(UNKNOWN), texts: AtomicU32::new(UNKNOWN) }
    }

    /// Those of all of it.
    pub fn whole(&self) -> Option<u32> {
        known(&self.whole)
    }

    /// Those of the texts that its slim form leaves out.
    pub fn texts(&self) -> Option<u32> {
        known(&self.texts)
    }

    /// Notes those of all of it.
    pub fn set_whole(&self, tokens: u32) {
        self.whole.store(tokens, Relaxed);
    }

    /// Notes those of the texts that its slim form leaves out.
    pub fn set_texts(&self, tokens: u32) {
        self.texts.store(tokens, Relaxed);
    }
}

fn known(count: &AtomicU32) -> Option<u32> {
    Some(count.load(Relaxed)).filter(|count| *count != UNKNOWN)
}

impl ToolArray {
    /// The array that stands at `span` of `body`, with the tools that were read there.
    pub(super) fn new(body: &[u8], span: Span, mut tools: Vec<Tool>, seed: u64) -> Self {
        let json: Box<[u8]> = span.of(body).into();
        tools.iter_mut().for_each(|tool| tool.moved(span.start));
        let mut names = NameBytes::default();
        tools.iter().flat_map(|tool| tool.names.all(&json)).for_each(|name| names.add(name));
        let fact = |_: &Tool| Facts { digest: OnceLock::new(), tokens: TokenCounts::new() };
        let facts = tools.iter().map(fact).collect();
        Self { json, tools: tools.into(), facts, names, seed, barred: ArcSwap::default() }
    }

    /// Its JSON, from bracket to bracket.
    pub(super) fn json(&self) -> &[u8] {
        &self.json
    }

    pub(super) fn tools(&self) -> &[Tool] {
        &self.tools
    }

    /// The definition of the tool at this place.
    pub(super) fn definition(&self, place: usize) -> Definition<'_> {
        Definition { json: self.tools[place].span.of(&self.json), tokens: &self.facts[place].tokens }
    }

    /// A hash of the definition at this place, with a seed that nobody outside knows.
    pub(super) fn digest(&self, place: usize) -> u128 {
        let hash = || xxh3_128_with_seed(self.definition(place).json, self.seed);
        *self.facts[place].digest.get_or_init(hash)
    }

    /// For each tool whether `toollist` bars it: as remembered, or as `judge` says.
    pub(super) fn barred(&self, toollist: &Toollist, judge: impl Fn(&Tool) -> bool) -> Arc<[bool]> {
        let Some(handle) = toollist.handle() else { return self.tools.iter().map(judge).collect() };
        let remembered = self.barred.load();
        if let Some((_, marks)) = remembered.iter().find(|(known, _)| *known == handle) {
            return Arc::clone(marks);
        }
        let marks: Arc<[bool]> = self.tools.iter().map(judge).collect();
        // Of two that do this at once one may be forgotten, and is remembered the next time.
        let newest = [(handle, Arc::clone(&marks))].into_iter();
        let next = newest.chain(remembered.iter().cloned()).take(LISTS).collect();
        self.barred.store(Arc::new(next));
        marks
    }

    /// How many bytes of memory it takes at most: names that had escapes are copies, shorter than what they were read from.
    pub(super) fn bytes(&self) -> usize {
        let names: usize = self.tools.iter().map(|tool| tool.names.more.len() * size_of::<Name>()).sum();
        let each = size_of::<Tool>() + size_of::<Facts>() + LISTS * size_of::<bool>();
        size_of::<Self>() + 2 * self.json.len() + self.tools.len() * each + names
    }
}

/// The definition of one tool.
#[derive(Debug, Clone, Copy)]
pub struct Definition<'a> {
    /// Its JSON, as the client wrote it.
    pub json: &'a [u8],
    /// Where its tokens are remembered.
    pub tokens: &'a TokenCounts,
}

/// Some of the tools of a request: what was removed, or cut. It holds the arrays that they stand in, and nothing else of
/// the request.
#[derive(Debug, Clone, Default)]
pub struct ToolSet(Vec<(Arc<ToolArray>, Vec<u32>)>);

impl ToolSet {
    /// A set of these definitions, each of which is a tool.
    #[cfg(test)]
    pub(crate) fn of(definitions: &[&str]) -> Self {
        let body = format!(r#"{{"tools":[{}]}}"#, definitions.join(","));
        let request =
            super::ChatRequest::parse(body.into(), &super::Bounds { depth: 64 }).expect("they are tools");
        let mut set = Self::default();
        if let Some(array) = &request.shape.tools.array {
            set.add(array, (0..).take(definitions.len()).collect());
        }
        set
    }

    pub(super) fn add(&mut self, array: &Arc<ToolArray>, places: Vec<u32>) {
        if !places.is_empty() {
            self.0.push((Arc::clone(array), places));
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|(_, places)| places.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their definitions, in the client's order.
    pub fn definitions(&self) -> impl Iterator<Item = Definition<'_>> + Clone {
        self.0.iter().flat_map(|(array, places)| {
            places.iter().map(|place| array.definition(usize::try_from(*place).unwrap_or(usize::MAX)))
        })
    }

    /// The bytes of what several sets keep in memory: their arrays, each whole and once.
    pub fn held(sets: [&Self; 3]) -> usize {
        let mut arrays: Vec<&Arc<ToolArray>> =
            sets.iter().flat_map(|set| &set.0).map(|(array, _)| array).collect();
        arrays.sort_unstable_by_key(|array| Arc::as_ptr(array));
        arrays.dedup_by_key(|array| Arc::as_ptr(array));
        arrays.iter().map(|array| array.bytes()).sum()
    }
}
