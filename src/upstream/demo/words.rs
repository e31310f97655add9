//! Text as the demo model sees it: identifiers and sentences as sets of words, and cuts that keep characters whole.

use std::collections::HashSet;

/// Words that nearly every sentence has, and that say nothing about which tool is meant.
const COMMON: [&str; 34] = [
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "for", "from", "how", "i", "in", "is",
    "it", "me", "my", "of", "on", "or", "please", "s", "that", "the", "this", "to", "what", "which", "will",
    "with", "you", "your",
];

/// How much of a text is looked at, in bytes: a book in a message must not be a book of work.
pub(super) const LOOKED_AT: usize = 16 * 1024;

/// The words of a text or identifier, in lower case: split where there is neither letter nor digit and where a
/// capital follows a small letter (`getWeather_v2` is `get`, `weather`, `v2`).
pub(super) fn of(text: &str) -> HashSet<String> {
    let mut words = HashSet::new();
    let mut word = String::new();
    let mut was_lower = false;
    for character in prefix(text, LOOKED_AT).chars().chain([' ']) {
        if !character.is_alphanumeric() || (was_lower && character.is_uppercase()) {
            let done = std::mem::take(&mut word);
            if !done.is_empty() && !COMMON.contains(&done.as_str()) {
                words.insert(done);
            }
        }
        if character.is_alphanumeric() {
            word.extend(character.to_lowercase());
        }
        was_lower = character.is_lowercase() || character.is_numeric();
    }
    words
}

/// At most `characters` of a text on one line, with `…` where more was.
pub(super) fn cut(text: &str, characters: usize) -> String {
    let text = prefix(text, LOOKED_AT).split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// At most `bytes` of a text.
pub(super) fn prefix(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_sentences_give_the_same_words() {
        let expected: HashSet<String> = ["get", "weather", "v2"].map(String::from).into();
        for text in ["get_weather-v2", "getWeather.v2", "GET Weather, v2!", "Please get the weather (v2)"] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn a_cut_keeps_characters_whole() {
        assert_eq!(cut("  äöü\n x", 3), "äöü…");
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(prefix("äöü", 3), "ä");
    }
}
