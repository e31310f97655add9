//! Words: cuts identifiers and prose of any script into terms that can be compared.
//!
//! `getUserIDs`, `get-user_ids` and "gets the user's ids" must meet: cut where case, digits or punctuation change,
//! lower case, English stems (Snowball's), common words out. Scripts that are written without spaces are cut into
//! pairs of characters, which needs no dictionary. A term is a hash: comparing is all that anyone does with it.

use std::{cell::RefCell, collections::HashMap};

use rust_stemmers::{Algorithm, Stemmer};
use xxhash_rust::xxh3::xxh3_64;

/// A word as it is compared.
pub(super) type Term = u64;

/// The longest word, in bytes; the rest of it says nothing that its beginning does not. Base64 has no end.
const LONGEST: usize = 48;

/// Stems that a thread remembers. Stemming costs ten times a look-up, and people use few words.
const REMEMBERED: usize = 32_768;

thread_local! {
    /// Stems by word. A cache of a pure function, for each thread its own: no lock, and nothing depends on it.
    static STEMS: RefCell<HashMap<u64, Option<Term>, PassThrough>> = RefCell::default();
    static STEMMER: Stemmer = Stemmer::create(Algorithm::English);
}

/// The keys are hashes already.
#[derive(Default, Clone, Copy)]
pub(super) struct PassThrough;

/// Gives back the number that it was given.
#[derive(Default)]
pub(super) struct PassedThrough(u64);

impl std::hash::BuildHasher for PassThrough {
    type Hasher = PassedThrough;

    fn build_hasher(&self) -> PassedThrough {
        PassedThrough(0)
    }
}

impl std::hash::Hasher for PassedThrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64(bytes);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }

    fn write_u32(&mut self, number: u32) {
        // The table takes its place from one end of the hash and its tag from the other.
        self.0 = u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// What a character is to the cutter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Lower,
    Upper,
    Digit,
    /// Written without spaces between words.
    Dense,
    Break,
}

impl Class {
    fn of(c: char) -> Self {
        match c {
            'a'..='z' => Class::Lower,
            'A'..='Z' => Class::Upper,
            '0'..='9' => Class::Digit,
            c if c.is_ascii() => Class::Break,
            // Kana, Han, Hangul; Thai, Lao, Myanmar and Khmer.
            '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' => Class::Dense,
            '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}' => Class::Dense,
            '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => Class::Dense,
            c if c.is_uppercase() => Class::Upper,
            c if c.is_alphabetic() => Class::Lower,
            c if c.is_numeric() => Class::Digit,
            _ => Class::Break,
        }
    }
}

/// Calls `each` with every word of `text`, in lower case and in order; of a dense script with every pair.
pub(super) fn words(text: &str, mut each: impl FnMut(&str)) {
    let mut word = String::with_capacity(LONGEST);
    let mut last = Class::Break;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let class = Class::of(c);
        if class == Class::Dense {
            flush(&mut word, last, &mut each);
            dense(c, &mut rest, &mut word, &mut each);
            last = Class::Break;
            continue;
        }
        let cut = match (last, class) {
            (Class::Lower, Class::Upper) => true,
            // The last capital begins the next word: `HTTPServer`. But `IDs` is one.
            (Class::Upper, Class::Upper) => begins_word(rest.clone()),
            (last, class) => last != class && !(last == Class::Upper && class == Class::Lower),
        };
        if cut {
            flush(&mut word, last, &mut each);
        }
        if class != Class::Break && word.len() < LONGEST {
            if c.is_ascii() {
                word.push(c.to_ascii_lowercase());
            } else {
                word.extend(c.to_lowercase());
            }
        }
        last = class;
    }
    flush(&mut word, last, &mut each);
}

/// Whether a capital that is followed by `rest` is the first letter of a word.
fn begins_word(mut rest: std::str::Chars<'_>) -> bool {
    match rest.next().map(|c| (c, Class::of(c))) {
        Some(('s', _)) => rest.next().is_some_and(|c| Class::of(c) == Class::Lower),
        Some((_, class)) => class == Class::Lower,
        None => false,
    }
}

fn flush(word: &mut String, last: Class, each: &mut impl FnMut(&str)) {
    if last != Class::Break && !word.is_empty() {
        each(word);
    }
    word.clear();
}

/// The pairs of a run of a dense script; a single character is itself.
fn dense(first: char, rest: &mut std::str::Chars<'_>, pair: &mut String, each: &mut impl FnMut(&str)) {
    let mut last = first;
    let mut alone = true;
    loop {
        let mut ahead = rest.clone();
        match ahead.next() {
            Some(c) if Class::of(c) == Class::Dense => {
                pair.clear();
                pair.push(last);
                pair.push(c);
                each(pair);
                (last, alone) = (c, false);
                *rest = ahead;
            }
            _ => break,
        }
    }
    if alone {
        pair.clear();
        pair.push(last);
        each(pair);
    }
    pair.clear();
}

/// The term of a word that `words` gave; `None` for one that says nothing.
pub(super) fn term(word: &str) -> Option<Term> {
    if word.len() < 2 && word.is_ascii() {
        return word
            .as_bytes()
            .first()
            .filter(|byte| byte.is_ascii_digit())
            .map(|_| xxh3_64(word.as_bytes()));
    }
    let key = xxh3_64(word.as_bytes());
    STEMS.with_borrow_mut(|stems| {
        if let Some(term) = stems.get(&key) {
            return *term;
        }
        if stems.len() >= REMEMBERED {
            stems.clear();
        }
        let term = (!COMMON.contains(&word)).then(|| {
            if word.is_ascii() { STEMMER.with(|stemmer| xxh3_64(stemmer.stem(word).as_bytes())) } else { key }
        });
        stems.insert(key, term);
        term
    })
}

/// Calls `each` with every term of `text`, in order.
pub(super) fn terms(text: &str, mut each: impl FnMut(Term)) {
    words(text, |word| {
        if let Some(term) = term(word) {
            each(term);
        }
    });
}

/// Calls `each` with the hash of every group of three and of four characters of a word, its two ends marked.
pub(super) fn grams(word: &str, mut each: impl FnMut(u32)) {
    let mut window = ['\u{2}'; 4];
    let mut length = 1;
    for c in word.chars().chain(std::iter::once('\u{3}')) {
        window.rotate_left(1);
        window[3] = c;
        length += 1;
        if length >= 3 {
            each(gram(&window[1..]));
        }
        if length >= 4 {
            each(gram(&window));
        }
    }
}

fn gram(characters: &[char]) -> u32 {
    // FNV-1a over the code points: the groups are short, and a collision costs a little of one feature.
    characters.iter().fold(0x811c_9dc5, |hash, c| (hash ^ *c as u32).wrapping_mul(0x0100_0193))
}

/// Words that every text has. Those that tools are named after (`get`, `find`, `no`, `on`, `off`) are not among them.
const COMMON: [&str; 118] = [
    "a", "about", "after", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be", "because",
    "been", "before", "being", "both", "but", "by", "can", "could", "did", "do", "does", "doing", "each",
    "either", "etc", "few", "for", "from", "had", "has", "have", "having", "he", "her", "here", "him", "his",
    "how", "however", "if", "in", "into", "is", "it", "its", "just", "ll", "may", "me", "might", "more",
    "most", "must", "my", "of", "once", "only", "or", "other", "our", "please", "re", "same", "shall", "she",
    "should", "so", "some", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they",
    "this", "those", "through", "to", "too", "under", "until", "us", "ve", "very", "was", "we", "were",
    "what", "when", "where", "which", "while", "who", "whom", "why", "will", "with", "would", "you", "your",
    "yours", "thanks", "thank", "let", "im", "dont", "want", "need", "like", "using",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        words(text, |word| found.push(word.to_owned()));
        found
    }

    #[test]
    fn identifiers_are_cut_where_their_writers_meant_it() {
        assert_eq!(cut("getUserIDs"), ["get", "user", "ids"]);
        assert_eq!(cut("HTTPServer2go_now.then-v3"), ["http", "server", "2", "go", "now", "then", "v", "3"]);
        assert_eq!(cut("the user's e-mail"), ["the", "user", "s", "e", "mail"]);
        assert_eq!(cut("Straße ÜBER_alles"), ["straße", "über", "alles"]);
        assert_eq!(cut(""), [""; 0]);
    }

    #[test]
    fn scripts_without_spaces_are_cut_into_pairs() {
        assert_eq!(cut("天气预报"), ["天气", "气预", "预报"]);
        assert_eq!(cut("查 weather 날씨"), ["查", "weather", "날씨"]);
    }

    #[test]
    fn forms_of_a_word_are_one_term_and_common_words_none() {
        assert_eq!(term("bookings"), term("booking"));
        assert_eq!(term("searching"), term("search"));
        assert_ne!(term("search"), term("book"));
        assert_eq!((term("the"), term("s")), (None, None));
    }

    #[test]
    fn groups_of_characters_know_where_a_word_begins_and_ends() {
        let of = |word: &str| {
            let mut found = Vec::new();
            grams(word, |gram| found.push(gram));
            found
        };
        assert_eq!(of("ab").len(), 3, "three of three, one of four");
        assert!(of("weather").iter().filter(|gram| of("whether").contains(gram)).count() >= 5);
        assert_eq!(of(""), [0; 0]);
    }
}
