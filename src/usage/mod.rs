//! One record a request, off the path: `UsageRecorder` takes it without ever waiting, `UsageWriter` counts the
//! tokens, adds it up by account, key and UTC day, and hands the sums to the store in batches.
//!
//! Everything that waits is bounded: the queue by records and by bytes, what is added up by rows. What does not
//! fit is counted, never waited for: an answer must not be held up by its own bookkeeping. Where the sums go is
//! left to `app`, which hands in the sink; what a request is worth recording, to `chat`, which holds a `Pending`.

mod pending;
mod recorder;
mod rollup;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use self::{pending::Pending, recorder::UsageRecorder, writer::UsageWriter};
use crate::{
    domain::{key::KeyId, usage::DayTotals},
    tokens::Tokenizer,
};

/// What may wait for the writer.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Records: at 8192, a second and a half of 5,000 requests a second.
    pub records: usize,
    /// Bytes of removed definitions in them. At 64 MiB, a record of 8 KiB each; definitions that go beyond are
    /// not counted, while the record itself is kept.
    pub bytes: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { records: 8192, bytes: 64 * 1024 * 1024 }
    }
}

/// What is added to the store at once, in one transaction. Only what changed is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Sums to add, at most one for each account, key and day, in that order: two replicas that take the locks
    /// of the same rows take them in the same order.
    pub totals: Vec<DayTotals>,
    /// When keys were last used, each key at most once, in order.
    pub used: Vec<(KeyId, DateTime<Utc>)>,
}

/// A recorder, and the writer that it feeds; `sink` writes a batch as a whole or not at all. A batch whose write
/// failed is offered again, joined with what came in the meantime.
pub fn open<S>(bounds: Bounds, tokenizer: Arc<Tokenizer>, sink: S) -> (UsageRecorder, UsageWriter<S>) {
    let (recorder, queue, shared) = UsageRecorder::open(bounds);
    (recorder, UsageWriter::new(queue, shared, tokenizer, sink))
}
