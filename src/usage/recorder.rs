//! The cheap handle: takes a record, or counts that it could not. Nothing here waits for the writer.
//!
//! The times of last use go past the queue, in a map: a secret that is used a thousand times a second leaves one
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

use super::{Bounds, Pending, Spared, pending::Open};
use crate::{
    clock::SharedClock,
    domain::{chat_request::ToolSet, key::Generation, usage::Record},
};

/// How many secrets' times of last use may wait. Beyond it a time is left out: the next use says it again.
pub(super) const WAITING_SECRETS: usize = 65_536;

/// Takes the records of all requests. Clones are one and the same: each request has one.
#[derive(Debug, Clone)]
pub struct UsageRecorder(Arc<Recording>);

#[derive(Debug)]
struct Recording {
    queue: mpsc::Sender<Queued>,
    shared: Arc<Shared>,
    clock: SharedClock,
}

/// What the recorder and the writer share beside the queue.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) bounds: Bounds,
    held: AtomicUsize,
    dropped: AtomicU64,
    unlisted: AtomicU64,
    uncounted: AtomicU64,
    used: Mutex<HashMap<Generation, DateTime<Utc>>>,
}

/// A record on its way to the writer. Its bytes are given back when it is dropped.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) open: Box<Open>,
    _charge: Option<Charge>,
}

/// A share of the bytes that may wait.
#[derive(Debug)]
struct Charge {
    bytes: usize,
    shared: Arc<Shared>,
}

impl UsageRecorder {
    pub(super) fn open(bounds: Bounds, clock: SharedClock) -> (Self, mpsc::Receiver<Queued>, Arc<Shared>) {
        let (queue, receiver) = mpsc::channel(bounds.records);
        let shared = Arc::new(Shared {
            bounds,
            held: AtomicUsize::new(0),
            dropped: AtomicU64::new(0),
            unlisted: AtomicU64::new(0),
            uncounted: AtomicU64::new(0),
            used: Mutex::default(),
        });
        (Self(Arc::new(Recording { queue, shared: Arc::clone(&shared), clock })), receiver, shared)
    }

    /// The record of a request that has just been let in, `Record::begun`; it is written however the request ends.
    pub fn begin(&self, record: Record) -> Pending {
        Pending::new(self.clone(), record)
    }

    /// Takes a record, or counts it as dropped when too many wait.
    pub(super) fn record(&self, mut open: Box<Open>) {
        let Recording { queue, shared, .. } = &*self.0;
        let mut charge = None;
        if !open.spared.is_empty() {
            charge = Charge::take(shared, open.spared.held());
            if charge.is_none() {
                open.spared = Spared::default();
                shared.uncounted(1);
            }
        }
        if queue.try_send(Queued { open, _charge: charge }).is_err() {
            shared.dropped(1);
        }
    }

    /// Notes that a secret authenticated a request. The store learns of it within a second or so, at most once a
    /// second for each secret.
    pub fn used(&self, secret: Generation, at: DateTime<Utc>) {
        // Held for the time of one look-up, by the writer for the time of a swap.
        let mut used = self.0.shared.used.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() < WAITING_SECRETS || used.contains_key(&secret) {
            let latest = used.entry(secret).or_insert(at);
            *latest = at.max(*latest);
        }
    }

    pub(super) fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    /// How many records wait for the writer, and how many may.
    pub fn waiting(&self) -> (usize, usize) {
        let most = self.0.queue.max_capacity();
        (most - self.0.queue.capacity(), most)
    }

    /// How many records were lost since the start, with what they add to the sums: the queue was full, the writer
    /// had stopped, or the store could not be written to before the stop.
    pub fn dropped(&self) -> u64 {
        self.0.shared.dropped.load(Ordering::Relaxed)
    }

    /// How many records are in the sums alone, since too many waited for the store.
    pub fn unlisted(&self) -> u64 {
        self.0.shared.unlisted.load(Ordering::Relaxed)
    }

    /// How many records were kept without the tokens of their removed tools.
    pub fn uncounted(&self) -> u64 {
        self.0.shared.uncounted.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(super) fn dropped(&self, records: u64) {
        self.dropped.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn unlisted(&self, records: u64) {
        self.unlisted.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn uncounted(&self, records: u64) {
        self.uncounted.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn take_used(&self) -> HashMap<Generation, DateTime<Utc>> {
        std::mem::take(&mut self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Spared {
    pub(super) fn is_empty(&self) -> bool {
        self.sets().iter().all(|set| set.is_empty())
    }

    /// The bytes that it keeps in memory.
    fn held(&self) -> usize {
        ToolSet::held(self.sets())
    }

    fn sets(&self) -> [&ToolSet; 3] {
        [&self.by_lists, &self.by_pruning, &self.slimmed]
    }
}

impl Charge {
    fn take(shared: &Arc<Shared>, bytes: usize) -> Option<Self> {
        let room = |held: usize| held.checked_add(bytes).filter(|held| *held <= shared.bounds.bytes);
        shared.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        Some(Self { bytes, shared: Arc::clone(shared) })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shared.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
