//! Attacks: every way that was thought of to bring a tool past a key's lists, to be taken for somebody else, or to say
//! one thing to Orqen and another to whoever reads on.
//!
//! Each is a row of a table, and what is asserted is what the upstream received or the agent got. An upstream may read
//! JSON otherwise than Orqen does, so that what arrives is read in every lenient way at once (`readers`).

mod answers;
mod http;
mod readers;
mod requests;
mod timing;
mod tokens;
mod typed;

/// The tool that no key here may use.
pub(crate) const DENIED: &str = "task_kill";

/// All attempts, each row once, however many doors and keys it is tried with.
const ATTEMPTS: usize = requests::ROWS
    + requests::BUILT
    + typed::EXTRAS.len()
    + answers::CALLS.len()
    + http::FRAMINGS.len()
    + http::HEADERS.len()
    + tokens::HEADERS.len()
    + tokens::CLAIMS.len();

#[test]
fn the_corpus_is_large() {
    const { assert!(ATTEMPTS >= 150) };
}
