//! The record of a request that is under way: a value that travels with the request, so that there is exactly
//! one record however it ends, also when nobody says how.

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};

use super::UsageRecorder;
use crate::domain::{
    key::{AccountId, KeyId},
    usage::{Ended, Record, ToolTally},
};

/// The record of a request that was admitted and has not ended.
///
/// It is written exactly once: by `end`, or else when it is dropped. hyper drops the future and the body of an
/// answer when the client hangs up, so dropping it without a word means `Ended::Client`; while the thread
/// panics it means `Ended::Error`. Whoever holds it in a value that outlives the panic of its own poll (a body
/// written by hand) has to end it on every other way out.
#[derive(Debug)]
#[must_use = "dropped at once, it says that the client hung up"]
pub struct Pending {
    recorder: UsageRecorder,
    /// There until it is handed to the recorder.
    record: Option<Record>,
}

impl Pending {
    pub(super) fn new(
        recorder: UsageRecorder,
        account_id: AccountId,
        key_id: Option<KeyId>,
        at: DateTime<Utc>,
    ) -> Self {
        let tools = ToolTally::default();
        let record = Record { at, account_id, key_id, ended: Ended::Client, tools, removed: Vec::new() };
        Self { recorder, record: Some(record) }
    }

    /// Notes what became of the tools; `removed` is the JSON of those that were taken out. It is copied: slices
    /// would keep the request's whole buffer, up to 32 MiB, for as long as the answer streams and the record
    /// waits.
    pub fn tools(&mut self, tally: ToolTally, removed: &[Bytes]) {
        if let Some(record) = &mut self.record {
            record.tools = tally;
            record.removed = detached(removed);
        }
    }

    /// Writes the record.
    pub fn end(mut self, ended: Ended) {
        self.settle(ended);
    }

    fn settle(&mut self, ended: Ended) {
        if let Some(record) = self.record.take() {
            self.recorder.record(Record { ended, ..record });
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.settle(if std::thread::panicking() { Ended::Error } else { Ended::Client });
    }
}

/// The same texts in one buffer of their own.
fn detached(texts: &[Bytes]) -> Vec<Bytes> {
    let mut buffer = BytesMut::with_capacity(texts.iter().map(Bytes::len).sum());
    texts.iter().for_each(|text| buffer.extend_from_slice(text));
    let mut buffer = buffer.freeze();
    texts.iter().map(|text| buffer.split_to(text.len())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn detached_texts_are_the_same_and_share_no_memory_with_the_request() {
        let request = Bytes::from_static(b"one two three");
        let texts = [request.slice(0..3), request.slice(3..3), request.slice(8..)];
        let copies = detached(&texts);
        assert_eq!(copies, texts);
        assert!(!request.as_ptr_range().contains(&copies[0].as_ptr()));
        assert!(detached(&[]).is_empty());
    }
}
