//! Counts tokens of tool definitions with `o200k_base`, the vocabulary of the current OpenAI models, and
//! remembers each count under a digest of the definition: agents send the same tools on every turn.
//!
//! Whose tokens they are is left to `usage`. The costs are bounded here and not there, since only this file
//! knows them: loading the vocabulary takes some 300 ms, and counting is slow on text that is no language.
//! Everything here burns CPU: call it from a blocking thread, never from the path of a request.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
};

use moka::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use xxhash_rust::xxh3::Xxh3;

use crate::domain::chat_request::{TokenCounts, ToolSet, slimmed};

/// How many definitions are remembered: about 15 MB.
const REMEMBERED: u64 = 100_000;

/// How many sets of definitions have their sum remembered: some 10 MB.
const REMEMBERED_SUMS: u64 = 100_000;

/// How much of one definition is counted; what lies beyond is taken to be as dense. Measured in a release build
/// on one core: 64 KiB of JSON Schema take 2 ms, 64 KiB of one letter 22 ms, of one sign 35 ms, and 1 MiB of
/// that 1.1 s. A definition of this size is 13,000 tokens, ten times what a large real one has.
const WINDOW: usize = 64 * 1024;

/// How much is given to the tokenizer in one piece. It is exact within one, and grows faster than linearly with
/// the longest run without a space; on a run of a million spaces it gives up. At this size the worst text
/// found takes 5 ms, and practically every definition is a single piece.
const PIECE: usize = 16 * 1024;

/// How much text that is not remembered yet `sum` counts: 10 ms of JSON Schema, 0.1 s of the worst text found.
/// The 128 tools that OpenAI takes at most are some 100 KB.
const FRESH: usize = 256 * 1024;

/// Tokens are this many bytes where nothing better is known: the usual figure for English and JSON.
const BYTES_A_TOKEN: usize = 4;

/// A digest and not the text, so that no definition is kept; SHA-256 and not a quick hash, so that nobody can
/// make two definitions that share a count.
type DefinitionKey = [u8; 32];

/// What of a definition is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// The texts that its slim form leaves out.
    Texts,
}

impl Part {
    /// What a count of a definition is remembered under. No JSON begins with the byte that tells the two apart.
    fn key(self, json: &[u8]) -> DefinitionKey {
        match self {
            Self::Whole => Sha256::digest(json).into(),
            Self::Texts => Sha256::new_with_prefix([0]).chain_update(json).finalize().into(),
        }
    }

    fn fresh_count(self, json: &[u8]) -> u32 {
        let whole = fresh_count(json);
        match self {
            Self::Whole => whole,
            Self::Texts => whole.saturating_sub(fresh_count(&slimmed(json))),
        }
    }

    /// What is remembered with the definition itself.
    fn noted(self, tokens: &TokenCounts) -> Option<u32> {
        match self {
            Self::Whole => tokens.whole(),
            Self::Texts => tokens.texts(),
        }
    }

    fn note(self, tokens: &TokenCounts, count: u32) {
        match self {
            Self::Whole => tokens.set_whole(count),
            Self::Texts => tokens.set_texts(count),
        }
    }

    /// How much text is given to the tokenizer for it, at most.
    fn cost(self, json: &[u8]) -> usize {
        let texts = match self {
            Self::Whole => 1,
            Self::Texts => 2,
        };
        texts * json.len().min(WINDOW)
    }
}

/// Counts tokens, and remembers the counts. The vocabulary is loaded by `warm_up`, or else the first count.
#[derive(Debug)]
pub struct Tokenizer {
    counts: Cache<DefinitionKey, u32>,
    /// Sums of whole sets, by a hash that is quick enough for the path of a request.
    sums: Cache<u128, u64>,
    seed: u64,
    /// Whether somebody has said that there will be something to count, and who waits for it.
    expects: AtomicBool,
    expected: Notify,
}

impl Tokenizer {
    /// One that remembers nothing yet.
    pub fn new() -> Self {
        let seed = rand::Rng::next_u64(&mut rand::rng());
        Self {
            counts: Cache::new(REMEMBERED),
            sums: Cache::new(REMEMBERED_SUMS),
            seed,
            expects: AtomicBool::new(false),
            expected: Notify::new(),
        }
    }

    /// Says that there will be something to count, so that the vocabulary can be loaded meanwhile: 40 MB that a process
    /// which never has anything to count need not have.
    pub fn expect(&self) {
        if !self.expects.swap(true, Ordering::Relaxed) {
            self.expected.notify_one();
        }
    }

    /// Waits until somebody has said so. For one who waits.
    pub async fn expected(&self) {
        self.expected.notified().await;
    }

    /// Loads the vocabulary, which the first count would otherwise do: whatever is to be written after that count would
    /// wait for it.
    pub fn warm_up(&self) {
        piece_count("");
    }

    /// The tokens of one definition, given as JSON. Exact up to 16 KiB; beyond that every further 16 KiB may
    /// be off by a token, and beyond 64 KiB the density of the first 64 KiB is taken for the rest.
    pub fn count(&self, json: &[u8]) -> u32 {
        self.counts.get_with(Part::Whole.key(json), || fresh_count(json))
    }

    /// The tokens of this part of a set of tools, as `sum` has it. What was counted is noted with the definitions.
    pub fn sum_set(&self, part: Part, set: &ToolSet) -> u64 {
        if let Some(sum) = noted(part, set) {
            return sum;
        }
        let sum = self.sum(part, set.definitions().map(|definition| definition.json));
        for definition in set.definitions() {
            if let Some(count) = self.counts.get(&part.key(definition.json)) {
                part.note(definition.tokens, count);
            }
        }
        sum
    }

    /// The tokens of this part of a set of tools, where all of it was counted before: an addition where that is noted with
    /// the definitions, else the hash of them.
    pub fn known_set(&self, part: Part, set: &ToolSet) -> Option<u64> {
        noted(part, set).or_else(|| self.known(part, set.definitions().map(|definition| definition.json)))
    }

    /// The tokens of this part of all definitions that one request lost. At most 256 KiB of them that were never seen
    /// are counted; what is left then is taken to be as dense, so that a request of 32 MiB cannot occupy a core.
    pub fn sum<'a>(
        &self,
        part: Part,
        definitions: impl IntoIterator<Item = &'a [u8], IntoIter: Clone>,
    ) -> u64 {
        let definitions = definitions.into_iter();
        let set = self.set(part, definitions.clone());
        if let Some(sum) = self.sums.get(&set) {
            return sum;
        }
        let (sum, exact) = self.fresh_sum(part, definitions);
        // What is not counted yet is counted further the next time.
        if exact {
            self.sums.insert(set, sum);
        }
        sum
    }

    /// The tokens of each of these definitions, within the same bound: those that were not counted are taken to be as
    /// dense as the others.
    pub fn each<'a>(&self, definitions: impl Iterator<Item = &'a [u8]>) -> Vec<u64> {
        let counts: Vec<_> = self.counted(Part::Whole, definitions).collect();
        let counted = counts.iter().filter_map(|(bytes, count)| Some((*bytes, u64::from((*count)?))));
        let (seen, tokens) =
            counted.fold((0, 0), |(seen, all), (bytes, tokens)| (seen + bytes, all + tokens));
        let of = |(bytes, count): &(u64, Option<u32>)| match count {
            Some(count) => u64::from(*count),
            None => scaled(tokens, seen, *bytes),
        };
        counts.iter().map(of).collect()
    }

    /// The tokens of definitions that were counted before, in the same order; `None` where they were not. Cheap enough
    /// for the path of a request: it hashes them, and no more.
    pub fn known<'a>(&self, part: Part, definitions: impl Iterator<Item = &'a [u8]>) -> Option<u64> {
        let mut definitions = definitions.peekable();
        if definitions.peek().is_none() {
            return Some(0);
        }
        self.sums.get(&self.set(part, definitions))
    }

    /// A hash with a seed that nobody outside knows, so that nobody can make two sets that share a sum.
    fn set<'a>(&self, part: Part, definitions: impl Iterator<Item = &'a [u8]>) -> u128 {
        let mut hash = Xxh3::with_seed(self.seed);
        hash.update(&[u8::from(part == Part::Texts)]);
        for json in definitions {
            hash.update(&(json.len() as u64).to_le_bytes());
            hash.update(json);
        }
        hash.digest128()
    }

    /// The sum, and whether all of it was counted.
    fn fresh_sum<'a>(&self, part: Part, definitions: impl Iterator<Item = &'a [u8]>) -> (u64, bool) {
        let (mut tokens, mut bytes, mut uncounted) = (0u64, 0u64, 0u64);
        for (length, count) in self.counted(part, definitions) {
            match count {
                Some(count) => {
                    tokens += u64::from(count);
                    bytes += length;
                }
                None => uncounted += length,
            }
        }
        (tokens + scaled(tokens, bytes, uncounted), uncounted == 0)
    }

    /// For each definition its bytes and its tokens, `None` once no more are counted.
    fn counted<'a>(
        &self,
        part: Part,
        definitions: impl Iterator<Item = &'a [u8]>,
    ) -> impl Iterator<Item = (u64, Option<u32>)> {
        let mut allowance = FRESH;
        definitions.map(move |json| {
            let key = part.key(json);
            let cost = part.cost(json);
            let count = match self.counts.get(&key) {
                Some(count) => Some(count),
                None if cost <= allowance => {
                    allowance -= cost;
                    Some(self.counts.get_with(key, || part.fresh_count(json)))
                }
                None => None,
            };
            (json.len() as u64, count)
        })
    }
}

impl Default for Tokenizer {
    fn default() -> Self {
        Self::new()
    }
}

/// What is noted with the definitions of a set, if it is with all of them.
fn noted(part: Part, set: &ToolSet) -> Option<u64> {
    set.definitions().map(|definition| part.noted(definition.tokens).map(u64::from)).sum()
}

fn fresh_count(json: &[u8]) -> u32 {
    let seen = json.len().min(WINDOW);
    // The definitions were checked to be UTF-8; lossy all the same, since the window may cut a character.
    let text = String::from_utf8_lossy(&json[..seen]);
    let tokens: usize = pieces(&text).map(piece_count).sum();
    let rest = scaled(tokens as u64, seen as u64, (json.len() - seen) as u64);
    u32::try_from(tokens as u64 + rest).unwrap_or(u32::MAX)
}

/// `bytes` more at the density of `tokens` in `seen`.
fn scaled(tokens: u64, seen: u64, bytes: u64) -> u64 {
    tokens.saturating_mul(bytes).checked_div(seen).unwrap_or(bytes / BYTES_A_TOKEN as u64)
}

fn pieces(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let cut = text.floor_char_boundary(PIECE);
        let (piece, rest) = text.split_at(cut);
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn piece_count(piece: &str) -> usize {
    // `encode` and not `encode_ordinary`, which panics where its expression gives up. No special token is
    // allowed: `<|endoftext|>` in a description is text.
    tiktoken_rs::o200k_base_singleton()
        .encode(piece, &HashSet::new())
        .map_or(piece.len() / BYTES_A_TOKEN, |(tokens, _)| tokens.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEATHER: &[u8] = br#"{"type":"function","function":{"name":"get_weather","description":"The weather of a city.","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}"#;

    #[test]
    fn a_definition_has_the_tokens_of_the_vocabulary() {
        let tokenizer = Tokenizer::new();
        assert_eq!(tokenizer.count(b"hello world"), 2);
        assert_eq!(tokenizer.count(b""), 0);
        let whole =
            tiktoken_rs::o200k_base_singleton().encode_ordinary(std::str::from_utf8(WEATHER).unwrap());
        assert_eq!(tokenizer.count(WEATHER) as usize, whole.len());
    }

    #[test]
    fn a_special_token_in_a_description_is_text() {
        assert!(Tokenizer::new().count(b"<|endoftext|>") > 1);
    }

    #[test]
    fn a_known_definition_is_not_counted_again() {
        let tokenizer = Tokenizer::new();
        tokenizer.counts.insert(Sha256::digest(WEATHER).into(), 12_345);
        assert_eq!(tokenizer.count(WEATHER), 12_345);
        assert_eq!(tokenizer.sum(Part::Whole, [WEATHER, WEATHER]), 24_690);
    }

    #[test]
    fn the_sum_of_a_set_is_known_once_it_was_counted() {
        let tokenizer = Tokenizer::new();
        assert_eq!(tokenizer.known(Part::Whole, [WEATHER, b"{}"].into_iter()), None);
        let sum = tokenizer.sum(Part::Whole, [WEATHER, b"{}"]);
        assert_eq!(tokenizer.known(Part::Whole, [WEATHER, b"{}"].into_iter()), Some(sum));
        assert_eq!(tokenizer.known(Part::Whole, [WEATHER].into_iter()), None);
        assert_eq!(tokenizer.known(Part::Whole, [&[WEATHER, b"{}"].concat()[..]].into_iter()), None);
    }

    #[test]
    fn the_texts_of_a_definition_are_what_the_whole_has_more_than_the_slim_one() {
        let tokenizer = Tokenizer::new();
        let wordy = br#"{"name":"a","description":"Does a thing well. And a lot more than that."}"#;
        let texts = tokenizer.sum(Part::Texts, [&wordy[..], WEATHER]);
        assert_eq!(texts, u64::from(tokenizer.count(wordy) - tokenizer.count(&slimmed(wordy))));
        assert!(texts > 4, "{texts}");
        assert_eq!(tokenizer.known(Part::Texts, [&wordy[..], WEATHER].into_iter()), Some(texts));
        assert_eq!(tokenizer.known(Part::Whole, [&wordy[..], WEATHER].into_iter()), None);
        assert_eq!(tokenizer.sum(Part::Whole, [&wordy[..]]), u64::from(tokenizer.count(wordy)));
    }

    #[test]
    fn cutting_into_pieces_costs_at_most_a_token_each() {
        let text = String::from_utf8_lossy(WEATHER).repeat(WINDOW / WEATHER.len());
        let exact = tiktoken_rs::o200k_base_singleton().encode_ordinary(&text).len();
        let counted = Tokenizer::new().count(text.as_bytes()) as usize;
        assert!(counted.abs_diff(exact) <= WINDOW / PIECE, "{counted} is not about {exact}");
    }

    #[test]
    fn beyond_the_window_the_density_is_taken_for_the_rest() {
        let once = "word ".repeat(WINDOW / 5);
        let tokenizer = Tokenizer::new();
        let (one, ten) = (tokenizer.count(once.as_bytes()), tokenizer.count(once.repeat(10).as_bytes()));
        assert!(ten.abs_diff(one * 10) < one / 100, "{ten} is not ten times {one}");
    }

    #[test]
    fn a_request_of_many_new_definitions_is_counted_in_part() {
        let tokenizer = Tokenizer::new();
        let definitions: Vec<_> = (0..64).map(|i| format!("{i:02} {}", "word ".repeat(WINDOW / 5))).collect();
        let sum = tokenizer.sum(Part::Whole, definitions.iter().map(String::as_bytes));
        tokenizer.counts.run_pending_tasks();
        assert!(tokenizer.counts.entry_count() <= (FRESH / WINDOW) as u64);
        let one = u64::from(tokenizer.count(definitions[0].as_bytes()));
        assert!(sum.abs_diff(one * 64) < one, "{sum} is not 64 times {one}");
        let each = tokenizer.each(definitions.iter().map(String::as_bytes));
        assert_eq!((each.len(), each.iter().sum::<u64>().abs_diff(sum) < one), (64, true));
    }

    #[test]
    fn text_that_no_language_has_and_bytes_that_are_no_text_are_counted_too() {
        let tokenizer = Tokenizer::new();
        for hostile in [" ".repeat(1 << 20), "a".repeat(1 << 20), "😀".repeat(1 << 18), "\\".repeat(1 << 20)]
        {
            assert!(tokenizer.count(hostile.as_bytes()) > 0);
        }
        assert!(tokenizer.count(&[0xff; 100_000]) > 0);
    }
}
