//! The task behind the recorder: takes records in bulk, has their tokens counted on a blocking thread, adds them
//! up and hands batches of records and sums to the sink.
//!
//! Taking, counting and writing go on side by side, each at most once at a time: a store that is slow or away
//! does not stop the queue from being emptied, and a count that takes long does not leave a transaction open.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{sync::mpsc, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    OnCounted, Spared,
    recorder::{Queued, Shared},
    rollup::{Added, Rollup},
};
use crate::{
    domain::usage::{Batch, Record, Saved},
    tokens::{Part, Tokenizer},
};

/// How many records are taken at once.
const BULK: usize = 512;
/// How many are enough to write before the time. A batch writes one row of sums for each key in it, so that with a
/// thousand keys in use a small one writes nearly as many sums as records; a larger one would hold the only writer of
/// a SQLite file for longer than some 80 ms. Half of what may wait, so that there is room while it is written.
const ENOUGH: usize = 8192;

/// How often the last batch is tried when the process stops: three seconds of pauses.
const LAST_ATTEMPTS: u32 = 5;

/// When the writer does what. Its own type so that tests need not wait for it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// How long records are let come before they are taken: taking each by itself would wake this task for every request.
    pub(super) gather: Duration,
    /// How long a record waits at most before it is written: a killed process may lose 250 ms, in which its tokens are
    /// counted and the write itself is done as well.
    pub(super) write: Duration,
    /// The pause after the first write that failed, which then doubles.
    pub(super) pause: Duration,
    /// How often the times of last use are written at most.
    pub(super) touch: Duration,
    /// The longest pause after a write that failed.
    pub(super) longest_pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            gather: Duration::from_millis(10),
            // At 200 ms a kill lost up to 220 ms on a machine that did nothing else. A write of so few records takes
            // a millisecond or two.
            write: Duration::from_millis(100),
            pause: Duration::from_millis(200),
            touch: Duration::from_secs(1),
            longest_pause: Duration::from_secs(10),
        }
    }
}

impl Pace {
    fn pause_after(self, failures: u32) -> Duration {
        self.pause.saturating_mul(2u32.saturating_pow(failures)).min(self.longest_pause)
    }
}

/// Writes what the recorder takes. `S` is `Fn(Arc<Batch>) -> impl Future<Output = Result<(), E>>`.
pub struct UsageWriter<S> {
    queue: mpsc::Receiver<Queued>,
    shared: Arc<Shared>,
    tokenizer: Arc<Tokenizer>,
    on_counted: OnCounted,
    sink: S,
    pace: Pace,
    rollup: Rollup,
    /// The batch whose last write failed. It goes before any other, unchanged.
    failed: Option<Arc<Batch>>,
    /// Records added up since the last write.
    waiting: usize,
    /// Writes that failed since the last that did not.
    failures: u32,
    take_at: Instant,
    write_at: Instant,
    touch_at: Instant,
}

/// Records whose tokens are being counted.
struct Counting {
    records: Vec<Queued>,
    tokens: JoinHandle<Vec<Saved>>,
}

/// A batch that is being written; kept, since it may have to be offered again.
struct Writing {
    batch: Arc<Batch>,
    outcome: BoxFuture<'static, Result<(), String>>,
}

impl<S> UsageWriter<S> {
    pub(super) fn new(
        (queue, shared): (mpsc::Receiver<Queued>, Arc<Shared>),
        rollup: Rollup,
        (tokenizer, on_counted): (Arc<Tokenizer>, OnCounted),
        sink: S,
    ) -> Self {
        let now = Instant::now();
        Self {
            queue,
            tokenizer,
            on_counted,
            sink,
            pace: Pace::default(),
            rollup,
            shared,
            failed: None,
            waiting: 0,
            failures: 0,
            take_at: now,
            write_at: now,
            touch_at: now,
        }
    }

    #[cfg(test)]
    pub(super) fn paced(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }
}

impl<S, F, E> UsageWriter<S>
where
    S: Fn(Arc<Batch>) -> F + Send,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: std::fmt::Display + 'static,
{
    /// Runs until it is cancelled or the last recorder is gone; then takes what is left in the queue, writes it
    /// and returns. Cancel it after the last request has ended: what is recorded later is counted as dropped.
    pub async fn run(mut self, cancellation: CancellationToken) {
        let mut taken = Vec::with_capacity(BULK);
        let (mut counting, mut writing) = (None, None);
        loop {
            tokio::select! {
                () = cancellation.cancelled() => break,
                number = gathered(&mut self.queue, &mut taken, self.take_at), if counting.is_none() => {
                    if number == 0 {
                        break;
                    }
                    // A full bulk is followed by the next at once.
                    let full = number == BULK;
                    self.take_at = Instant::now() + if full { Duration::ZERO } else { self.pace.gather };
                    counting = self.count(std::mem::take(&mut taken));
                }
                tokens = counted(&mut counting) => self.add_up(counting.take(), tokens),
                outcome = written(&mut writing) => self.settle(writing.take(), outcome),
                () = tokio::time::sleep_until(self.write_at), if writing.is_none() => writing = self.write(),
            }
            if self.waiting >= ENOUGH && self.failures == 0 && writing.is_none() {
                writing = self.write();
            }
        }
        self.finish(counting, writing).await;
    }

    /// Has the tokens of some records counted; adds them up at once where there is nothing to count.
    fn count(&mut self, mut records: Vec<Queued>) -> Option<Counting> {
        if records.iter().all(|queued| queued.open.spared.is_empty()) {
            records.into_iter().for_each(|queued| self.add(queued.open.record));
            return None;
        }
        let spared: Vec<Spared> =
            records.iter_mut().map(|queued| std::mem::take(&mut queued.open.spared)).collect();
        let tokenizer = Arc::clone(&self.tokenizer);
        let tokens =
            tokio::task::spawn_blocking(move || spared.iter().map(|one| saved(&tokenizer, one)).collect());
        Some(Counting { records, tokens })
    }

    fn add_up(&mut self, counting: Option<Counting>, tokens: Option<Vec<Saved>>) {
        let records = counting.map_or_else(Vec::new, |counting| counting.records);
        let tokens = tokens.unwrap_or_else(|| {
            // The requests happened all the same.
            tracing::error!(records = records.len(), "removed tools could not be counted");
            self.shared.uncounted(records.len() as u64);
            vec![Saved::default(); records.len()]
        });
        for (queued, counted) in records.into_iter().zip(tokens) {
            // Of a record there are those that were known, or those that were to be counted.
            let known = queued.open.record.saved;
            let saved = Saved {
                pruning: known.pruning.saturating_add(counted.pruning),
                lists: known.lists.saturating_add(counted.lists),
            };
            self.add(Record { saved, ..queued.open.record });
        }
    }

    fn add(&mut self, record: Record) {
        self.waiting += 1;
        // A fault in there must not end the writer.
        let saved = record.saved.pruning.unsigned_abs();
        let told = std::panic::catch_unwind(AssertUnwindSafe(|| (self.on_counted)(&record, saved)));
        if told.is_err() {
            tracing::error!("counting saved tokens for limits panicked; the message and place stand above");
        }
        match self.rollup.add(record) {
            Added::Whole => {}
            Added::SumsOnly => self.shared.unlisted(1),
            Added::Nowhere => self.shared.dropped(1),
        }
    }

    /// Begins to write what there is; the times of last use only when theirs has come.
    fn write(&mut self) -> Option<Writing> {
        let now = Instant::now();
        self.write_at = now + self.pace.write;
        if now >= self.touch_at {
            self.touch_at = now + self.pace.touch;
            self.rollup.used(self.shared.take_used());
        }
        let batch = match self.failed.take() {
            Some(batch) => batch,
            None if self.rollup.is_empty() => return None,
            None => {
                self.waiting = 0;
                Arc::new(self.rollup.take())
            }
        };
        // Called within the guard: a sink may also panic before it returns its future.
        let attempt = AssertUnwindSafe(|| (self.sink)(Arc::clone(&batch)));
        let outcome = match std::panic::catch_unwind(attempt) {
            Ok(write) => AssertUnwindSafe(write).catch_unwind().map(flattened).boxed(),
            Err(_) => std::future::ready(Err(PANICKED.to_owned())).boxed(),
        };
        Some(Writing { batch, outcome })
    }

    fn settle(&mut self, writing: Option<Writing>, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                if self.failures > 0 {
                    tracing::info!(failures = self.failures, "usage is being written again");
                }
                self.failures = 0;
            }
            Err(error) => {
                self.failed = writing.map(|writing| writing.batch);
                let pause = self.pace.pause_after(self.failures);
                self.failures = self.failures.saturating_add(1);
                self.write_at = Instant::now() + pause;
                tracing::warn!(%error, ?pause, "usage could not be written and is tried again");
            }
        }
    }

    async fn finish(mut self, mut counting: Option<Counting>, mut writing: Option<Writing>) {
        self.queue.close();
        loop {
            if counting.is_some() {
                let tokens = counted(&mut counting).await;
                self.add_up(counting.take(), tokens);
            }
            let mut taken = Vec::with_capacity(BULK);
            if self.queue.recv_many(&mut taken, BULK).await == 0 {
                break;
            }
            counting = self.count(taken);
        }
        if writing.is_some() {
            let outcome = written(&mut writing).await;
            self.settle(writing.take(), outcome);
        }
        let mut attempt = 0;
        while attempt < LAST_ATTEMPTS {
            self.touch_at = Instant::now();
            writing = self.write();
            if writing.is_none() {
                return;
            }
            let outcome = written(&mut writing).await;
            self.settle(writing.take(), outcome);
            if self.failed.is_some() {
                attempt += 1;
                if attempt < LAST_ATTEMPTS {
                    tokio::time::sleep(self.pace.pause_after(attempt - 1)).await;
                }
            }
        }
        let rest = self.rollup.take();
        let lost = |batch: &Batch| batch.totals.iter().map(|row| row.totals.requests()).sum::<i64>();
        let requests = lost(&rest) + self.failed.as_deref().map_or(0, lost);
        self.shared.dropped(requests.unsigned_abs());
        tracing::error!(requests, "usage was lost: the store could not be written to at the stop");
    }
}

/// The tokens of what was removed and cut.
fn saved(tokenizer: &Tokenizer, spared: &Spared) -> Saved {
    let sum = |part, set| i64::try_from(tokenizer.sum_set(part, set)).unwrap_or(i64::MAX);
    let cut = sum(Part::Texts, &spared.slimmed);
    Saved {
        pruning: sum(Part::Whole, &spared.by_pruning).saturating_add(cut),
        lists: sum(Part::Whole, &spared.by_lists),
    }
}

const PANICKED: &str = "the write panicked";

fn flattened<E: std::fmt::Display>(outcome: std::thread::Result<Result<(), E>>) -> Result<(), String> {
    match outcome {
        Ok(outcome) => outcome.map_err(|error| error.to_string()),
        Err(_) => Err(PANICKED.to_owned()),
    }
}

/// What has come by this time and after it, as soon as there is something; 0 when nothing comes any more.
async fn gathered(queue: &mut mpsc::Receiver<Queued>, into: &mut Vec<Queued>, at: Instant) -> usize {
    tokio::time::sleep_until(at).await;
    queue.recv_many(into, BULK).await
}

/// The tokens of what is being counted, `None` when the count panicked; waits for ever while there is nothing.
async fn counted(counting: &mut Option<Counting>) -> Option<Vec<Saved>> {
    match counting {
        Some(counting) => (&mut counting.tokens).await.ok(),
        None => std::future::pending().await,
    }
}

/// How the write that is under way ended; waits for ever while there is none.
async fn written(writing: &mut Option<Writing>) -> Result<(), String> {
    match writing {
        Some(writing) => (&mut writing.outcome).await,
        None => std::future::pending().await,
    }
}
