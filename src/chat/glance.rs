//! A look at a piece of a stream, once for all who have to know what it speaks of. Most pieces are whole events with a
//! few words of text, which nobody has to read.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// What a piece of a stream speaks of, as far as its bytes show it without being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Glance {
    /// Whether it ends with an event.
    pub(super) ends_an_event: bool,
    /// Whether it tells figures of usage.
    pub(super) usage: bool,
    /// Whether a tool is called.
    pub(super) call: bool,
    /// Whether it tells why an answer ends, or that it has.
    pub(super) end: bool,
}

impl Glance {
    pub(super) fn of(piece: &[u8]) -> Self {
        static DONE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("[DONE]"));
        static REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"finish_reason\""));
        Self {
            ends_an_event: piece.ends_with(b"\n\n") || piece.ends_with(b"\r\n\r\n"),
            usage: tells_usage(piece),
            call: tells_call(piece),
            end: is_given(&REASON, piece, b'"') || DONE.find(piece).is_some(),
        }
    }

    /// Whether something is spoken of that is for the record.
    pub(super) fn tells(&self) -> bool {
        self.usage || self.call || self.end
    }
}

/// Whether there is a `usage` object; many providers write `"usage":null` into every event.
pub(super) fn tells_usage(bytes: &[u8]) -> bool {
    static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"usage\""));
    is_given(&USAGE, bytes, b'{')
}

/// Whether a tool may be called: there is a `tool_calls` or `function_call`.
pub(super) fn tells_call(bytes: &[u8]) -> bool {
    static CALL: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("_call"));
    CALL.find(bytes).is_some()
}

/// Whether a member has a value that begins with `first`.
fn is_given(member: &Finder<'_>, bytes: &[u8], first: u8) -> bool {
    member.find_iter(bytes).any(|at| {
        let rest = &bytes[at + member.needle().len()..];
        rest.iter().find(|byte| !byte.is_ascii_whitespace() && **byte != b':') == Some(&first)
    })
}
