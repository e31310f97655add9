//! What is wrong with a request before any method sees it: `Refusal`, which the error table above turns into an
//! answer, and `Findings`, which gathers every offending field on the way.
//!
//! Findings are counted but not all kept: a list of 100,000 wrong entries must not become 100,000 sentences.

use std::{fmt, time::Duration};

use http::Method as Verb;

/// How many offending fields one answer names; the rest is only counted.
const MOST_FIELDS: usize = 100;
/// How long a field's path may become in an answer, in bytes.
const LONGEST_PATH: usize = 512;

/// Why a request did not become a call. Its `Display` is a sentence for people, with the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No binding has this path (404).
    #[error("there is no route `{verb} {}`", cut(path))]
    RouteNotFound {
        /// The verb that was asked for.
        verb: Verb,
        /// The path that was asked for.
        path: String,
    },
    /// The path is bound, but not to this verb (405). The transcoder itself adds `Allow` to the answer.
    #[error("`{}` does not take {verb}; it takes {}", cut(path), verbs(allow))]
    MethodNotAllowed {
        /// The verb that was asked for.
        verb: Verb,
        /// The path that was asked for.
        path: String,
        /// The verbs that the path takes.
        allow: Vec<Verb>,
    },
    /// The body is declared to be something else than JSON in UTF-8 (415).
    #[error(
        "the body must be JSON, but its content type is `{}`; send -H 'Content-Type: application/json'",
        cut(given)
    )]
    UnsupportedMediaType {
        /// The content type that was sent.
        given: String,
    },
    /// The body is compressed (415).
    #[error(
        "the body must come as it is, but it is encoded as `{}`; leave `Content-Encoding` out, and send it whole or chunked",
        cut(given)
    )]
    UnsupportedEncoding {
        /// The encodings that were sent.
        given: String,
    },
    /// The body is larger than the method takes (413).
    #[error("the body is larger than the {limit} bytes that this route takes; send less")]
    TooLarge {
        /// The bound, in bytes.
        limit: usize,
    },
    /// The body did not arrive in time (408).
    #[error("the body did not arrive within {} s; send it again", limit.as_secs_f64())]
    BodyTimeout {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The connection broke within the body (400; there is mostly nobody left to read it).
    #[error("the body ended before it was complete; send it again")]
    BodyUnreadable,
    /// There is no room for the body (503).
    #[error("too much is under way: try again in a second")]
    Crowded,
    /// The body is no JSON text, or not one of the kind that the method takes (400).
    #[error("the body is not what this route takes: {message}")]
    InvalidJson {
        /// What is wrong, and where.
        message: String,
    },
    /// Fields that cannot be taken as they are (400).
    #[error("{0}")]
    InvalidFields(InvalidFields),
}

/// The offending fields of one request, never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidFields {
    /// Those that are named, in the order they were found; at most 100.
    pub fields: Vec<InvalidField>,
    /// How many more there were.
    pub left_out: usize,
}

/// A field that cannot be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidField {
    /// Its path in the request: `allowed_tools[3]`.
    pub field: String,
    /// What was wrong, with which value, and what to do.
    pub message: String,
}

impl fmt::Display for InvalidFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, InvalidField { field, message }) in self.fields.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}`{field}`: {message}")?;
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// What was found so far, and the place that is being looked at.
#[derive(Debug, Default)]
pub(super) struct Findings {
    place: String,
    fields: Vec<InvalidField>,
    left_out: usize,
}

/// Where a place ended before one went further in; hand it back to `leave`.
#[must_use]
pub(super) struct Mark(usize);

impl Findings {
    /// Goes into a member. Its name may be anything that a client sent.
    pub(super) fn enter(&mut self, member: &str) -> Mark {
        let mark = Mark(self.place.len());
        if !self.place.is_empty() {
            self.place.push('.');
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if member.len() <= 64 && !member.is_empty() && member.chars().all(plain) {
            self.place.push_str(member);
        } else {
            self.place.push_str(&shown(member));
        }
        mark
    }

    /// Goes into an entry of a list.
    pub(super) fn enter_entry(&mut self, index: usize) -> Mark {
        let mark = Mark(self.place.len());
        self.place.push_str(&format!("[{index}]"));
        mark
    }

    /// Comes back out.
    pub(super) fn leave(&mut self, mark: Mark) {
        self.place.truncate(mark.0);
    }

    /// Something is wrong here.
    pub(super) fn add(&mut self, message: impl Into<String>) {
        self.add_with(|| message.into());
    }

    /// Something is wrong here, with a sentence that is only made when it will be read.
    pub(super) fn add_with(&mut self, message: impl FnOnce() -> String) {
        if self.fields.len() == MOST_FIELDS {
            self.left_out += 1;
            return;
        }
        let field = cut_to(&self.place, LONGEST_PATH);
        self.fields.push(InvalidField { field, message: message() });
    }

    /// Something is wrong with the member of this name.
    pub(super) fn add_at(&mut self, member: &str, message: impl Into<String>) {
        let mark = self.enter(member);
        self.add(message);
        self.leave(mark);
    }

    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Adds what others found, but for fields that were found wrong already: those are not in the message that the
    /// others saw. `is_named` says whether a field has a name, in any of its spellings.
    pub(super) fn add_others(&mut self, others: Vec<InvalidField>, is_named: impl Fn(&str, &str) -> bool) {
        let root = |path: &str| path.split(['.', '[']).next().unwrap_or_default().to_owned();
        let wrong: Vec<String> = self.fields.iter().map(|field| root(&field.field)).collect();
        for other in others {
            let field = root(&other.field);
            if wrong.iter().any(|name| is_named(&field, name)) {
                continue;
            }
            if self.fields.len() == MOST_FIELDS {
                self.left_out += 1;
            } else {
                self.fields.push(other);
            }
        }
    }

    /// `Ok` when nothing was found.
    pub(super) fn into_result(self) -> Result<(), Refusal> {
        if self.fields.is_empty() {
            return Ok(());
        }
        Err(Refusal::InvalidFields(InvalidFields { fields: self.fields, left_out: self.left_out }))
    }
}

/// A value as it may stand in a message: quoted, without control characters, cut after 64 characters.
pub(super) fn shown(value: &str) -> String {
    let cut: String = value.chars().take(64).flat_map(char::escape_debug).collect();
    let more = if value.chars().nth(64).is_some() { "…" } else { "" };
    format!("\"{cut}{more}\"")
}

/// What came from outside the body, without the quotes of `shown`.
fn cut(value: &str) -> String {
    let escaped: String = value.chars().take(LONGEST_PATH).flat_map(char::escape_debug).collect();
    cut_to(&escaped, LONGEST_PATH)
}

fn cut_to(text: &str, bytes: usize) -> String {
    match text.len() <= bytes {
        true => text.to_owned(),
        false => format!("{}…", &text[..text.floor_char_boundary(bytes)]),
    }
}

fn verbs(allow: &[Verb]) -> String {
    allow.iter().map(Verb::as_str).collect::<Vec<_>>().join(", ")
}
