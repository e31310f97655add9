//! A strict scanner for JSON (RFC 8259) that answers with places in the bytes instead of a tree.
//!
//! A chat request goes on byte for byte, so what Orqen needs of it is where things are. A tree would respell
//! numbers, reorder members and collapse repeated ones, and two parsers reading one request differently is how
//! filters are passed by. What the members mean is left to the callers; this module vouches that the whole
//! document is valid, once, so that nobody behind it is handed something that only some parsers accept.

mod edits;
mod open;
mod scanner;
#[cfg(test)]
mod tests;
mod text;
mod token;

pub(crate) use edits::Edits;
pub use scanner::{Kind, Scanner};
pub use text::{LoneSurrogate, Text};
pub use token::has_special;

/// A place in the document: `start` is its first byte, `end` the one after its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

impl Span {
    /// The bytes at this place of `document`.
    pub fn of(self, document: &[u8]) -> &[u8] {
        &document[self.start..self.end]
    }
}

/// Why bytes are no JSON document that is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// There is nothing, or nothing but white space.
    #[error("the body is empty: send a JSON object")]
    Empty,
    /// A byte order mark stands before the document; RFC 8259 forbids to send one, and parsers differ on it.
    #[error("the body begins with a byte order mark: send UTF-8 without one")]
    ByteOrderMark,
    /// The bytes are not UTF-8.
    #[error("the body is not valid UTF-8 at byte {at}: JSON is sent in UTF-8")]
    Encoding {
        /// The first byte that is not.
        at: usize,
    },
    /// A byte that the grammar does not have there.
    #[error("the body is not valid JSON at byte {at}: expected {expected}")]
    Syntax {
        /// Where it stands.
        at: usize,
        /// What would have been right.
        expected: &'static str,
    },
    /// The bytes end within a value.
    #[error(
        "the body is not valid JSON at byte {at}: it ends here, but expected {expected}; was it cut off?"
    )]
    Unterminated {
        /// How many bytes there are.
        at: usize,
        /// What would have been right.
        expected: &'static str,
    },
    /// Arrays and objects lie in each other more deeply than is taken.
    #[error("the body nests arrays and objects more than {limit} deep at byte {at}: send a flatter one")]
    TooDeep {
        /// Where the one too many begins.
        at: usize,
        /// How many are taken.
        limit: usize,
    },
}
