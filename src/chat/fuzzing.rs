//! The sieve for the fuzz targets, which may not see more of it than what goes in and what comes out.

use bytes::Bytes;

use super::{glance::Glance, sieve::Sieve};
use crate::domain::{chat_answer::AnswerGuard, key::ToolMode, toollist::Toollist};

/// What passes of a stream that comes in these pieces, and why it ends early where it does; `None` where nothing is
/// kept back.
pub(crate) fn sifted(
    hides_usage: bool,
    toollist: &Toollist,
    pieces: &[&[u8]],
) -> Option<(Vec<u8>, Option<String>)> {
    let mut sieve = Sieve::new(hides_usage, AnswerGuard::new(toollist, ToolMode::Filter))?;
    let mut passed = Vec::new();
    for piece in pieces {
        let piece = Bytes::copy_from_slice(piece);
        let glance = Glance::of(&piece);
        let sifted = sieve.push(piece, glance);
        passed.extend_from_slice(&sifted.passed);
        if let Some(failed) = sifted.failed {
            return Some((passed, Some(failed.to_string())));
        }
    }
    let sifted = sieve.rest();
    passed.extend_from_slice(&sifted.passed);
    Some((passed, sifted.failed.map(|failed| failed.to_string())))
}
