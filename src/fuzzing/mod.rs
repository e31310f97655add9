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
mod tests {
    use std::{fs, path::Path};

    /// Runs every file of a corpus, and names the one that fails.
    fn run(corpus: &str, target: fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(corpus);
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{corpus} has no corpus");
        for file in files {
            let input = fs::read(&file).unwrap();
            let outcome = std::panic::catch_unwind(|| target(&input));
            assert!(outcome.is_ok(), "{} breaks a promise", file.display());
        }
    }

    #[test]
    fn every_request_of_the_corpus_keeps_the_promises() {
        run("splicer", super::splicer);
    }

    #[test]
    fn every_event_stream_of_the_corpus_is_read_alike() {
        run("sse", super::sse);
    }

    #[test]
    fn every_answer_of_the_corpus_keeps_the_promises() {
        run("answer", super::answer);
    }

    #[test]
    fn every_message_of_the_corpus_reads_back() {
        run("transcoder", super::transcoder);
    }
}
