//! The cheap handle: takes a record, or counts that it could not. Nothing here waits for the writer.
//!
//! The times of last use go past the queue, in a map: a key that is used a thousand times a second leaves one
//! entry and not a thousand messages, which would push records out.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::{Bounds, Pending};
use crate::domain::{
    key::{AccountId, KeyId},
    usage::Record,
};

/// How many keys' times of last use may wait. Beyond it a time is left out: the key's next use says it again.
pub(super) const WAITING_KEYS: usize = 65_536;

/// Takes the records of all requests. Clones share one queue.
#[derive(Debug, Clone)]
pub struct UsageRecorder {
    queue: mpsc::Sender<Queued>,
    shared: Arc<Shared>,
}

/// What the recorder and the writer share beside the queue.
#[derive(Debug)]
pub(super) struct Shared {
    bytes: usize,
    held: AtomicUsize,
    dropped: AtomicU64,
    uncounted: AtomicU64,
    used: Mutex<HashMap<KeyId, DateTime<Utc>>>,
}

/// A record on its way to the writer. Its bytes are given back when it is dropped.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) record: Record,
    _charge: Option<Charge>,
}

/// A share of the bytes that may wait.
#[derive(Debug)]
struct Charge {
    bytes: usize,
    shared: Arc<Shared>,
}

impl UsageRecorder {
    pub(super) fn open(bounds: Bounds) -> (Self, mpsc::Receiver<Queued>, Arc<Shared>) {
        let (queue, receiver) = mpsc::channel(bounds.records);
        let shared = Arc::new(Shared {
            bytes: bounds.bytes,
            held: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            uncounted: AtomicU64::new(0),
            used: Mutex::default(),
        });
        (Self { queue, shared: Arc::clone(&shared) }, receiver, shared)
    }

    /// The record of a request that was admitted `at` this moment; it is written however the request ends.
    pub fn begin(&self, account_id: AccountId, key_id: Option<KeyId>, at: DateTime<Utc>) -> Pending {
        Pending::new(self.clone(), account_id, key_id, at)
    }

    /// Takes a record, or counts it as dropped when too many wait. Requests use `begin`, which also makes sure
    /// that there is exactly one and that `removed` does not keep the request's whole buffer alive.
    pub fn record(&self, mut record: Record) {
        let bytes = record.removed.iter().map(|definition| definition.len()).sum();
        let charge = Charge::take(&self.shared, bytes);
        if charge.is_none() {
            record.removed = Vec::new();
            self.shared.uncounted(1);
        }
        if self.queue.try_send(Queued { record, _charge: charge }).is_err() {
            self.shared.dropped(1);
        }
    }

    /// Notes that a key authenticated a request. The store learns of it within a second or so, at most once a
    /// second for each key.
    pub fn used(&self, key_id: KeyId, at: DateTime<Utc>) {
        // Held for the time of one look-up, by the writer for the time of a swap.
        let mut used = self.shared.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < WAITING_KEYS || used.contains_key(&key_id) {
            let latest = used.entry(key_id).or_insert(at);
            *latest = at.max(*latest);
        }
    }

    /// How many records were lost since the start: the queue was full, or the writer had stopped.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// How many records were kept without the tokens of their removed tools.
    pub fn uncounted(&self) -> u64 {
        self.shared.uncounted.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(super) fn dropped(&self, records: u64) {
        self.dropped.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn uncounted(&self, records: u64) {
        self.uncounted.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn take_used(&self) -> HashMap<KeyId, DateTime<Utc>> {
        std::mem::take(&mut self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Charge {
    fn take(shared: &Arc<Shared>, bytes: usize) -> Option<Self> {
        let room = |held: usize| held.checked_add(bytes).filter(|held| *held <= shared.bytes);
        shared.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Self { bytes, shared: Arc::clone(shared) })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shared.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
