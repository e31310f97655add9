//! What the fuzz targets in `fuzz/` call: one function for each of the places where bytes of strangers are read.
//!
//! A function takes any bytes, drives the code that a request or an answer goes through, and judges what came of it
//! by an oracle of its own, which reads JSON and event streams with nothing of ours. A broken promise is a panic. They
//! live here and not in the targets, so that every `cargo test` runs them over the corpora, without a nightly
//! compiler; a release has none of it. `fuzz/README.md` tells how inputs are written.

mod answer;
mod client;
mod given;
mod json;
mod names;
mod promises;
mod splicer;
mod sse;
mod transcoder;
mod wire;

pub use self::{answer::answer, splicer::splicer, sse::sse, transcoder::transcoder};

#[cfg(test)]
mod tests;
