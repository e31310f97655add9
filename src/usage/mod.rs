//! One record a request, off the path: `UsageRecorder` takes it without ever waiting, `UsageWriter` counts the
//! tokens, adds it up by account, key and UTC day, and hands records and sums to the store in batches.
//!
//! Everything that waits is bounded: the queue by records and by bytes, what is to be written by rows. What does
//! not fit is counted, never waited for: an answer must not be held up by its own bookkeeping. Where batches go is
//! left to `app`, which hands in the sink; what a request is worth recording, to `chat`, which holds a `Pending`.

mod pending;
mod recorder;
mod rollup;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::rollup::Rollup;
pub use self::{
    pending::{Pending, Spared},
    recorder::UsageRecorder,
    writer::UsageWriter,
};
use crate::{clock::SharedClock, domain::usage::Record, tokens::Tokenizer};

/// What may wait for the writer.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Records: at 32,768, a second of 30,000 requests a second, half a kilobyte each. With 8192 a busy core that stood still
    /// for a third of a second lost some.
    pub records: usize,
    /// Bytes of removed definitions in them. At 64 MiB, a record of 8 KiB each; definitions that go beyond are
    /// not counted, while the record itself is kept.
    pub bytes: usize,
    /// Records that wait for the store, and again in the batch that is being written. At 16,384, some three seconds
    /// of 5,000 requests a second, at most 20 MB, and a batch that is written within a second. Of what goes
    /// beyond only the sums are kept.
    pub unwritten: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { records: 32_768, bytes: 64 * 1024 * 1024, unwritten: 16_384 }
    }
}

/// Told of each record once its tokens are counted, with those that pruning saved. It must not wait.
pub type OnCounted = Box<dyn Fn(&Record, u64) + Send + Sync>;

/// What recording works with.
pub struct Parts {
    /// What may wait.
    pub bounds: Bounds,
    /// Whether records are written, and not their sums alone.
    pub keeps_records: bool,
    /// Counts the tokens of removed tools.
    pub tokenizer: Arc<Tokenizer>,
    /// The time.
    pub clock: SharedClock,
    /// Whoever counts saved tokens for limits.
    pub on_counted: OnCounted,
}

/// A recorder, and the writer that it feeds; `sink` is `Fn(Arc<Batch>) -> impl Future<Output = Result<(), E>>`
/// and writes a batch as a whole or not at all. A batch whose write failed is offered again as it was, under the
/// same number, before any other: it may have been written all the same.
pub fn open<S>(parts: Parts, sink: S) -> (UsageRecorder, UsageWriter<S>) {
    let Parts { bounds, keeps_records, tokenizer, clock, on_counted } = parts;
    let (recorder, queue, shared) = UsageRecorder::open(bounds, clock);
    let rollup = Rollup::new(keeps_records.then_some(bounds.unwritten));
    (recorder, UsageWriter::new((queue, shared), rollup, (tokenizer, on_counted), sink))
}
