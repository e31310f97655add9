//! Asks an upstream for the vectors of what was said and of the tools, and keeps them.
//!
//! Pruning gets better with them and does without: whatever goes wrong here, the words decide. So a chat request waits
//! for a bounded time, and what it waited for in vain is there for the next one, since a task of its own fetches it.
//! Only the `Question` of a `PermittedRequest` is ever sent: a tool that the lists took out is in none.

mod cooldown;
mod fetch;
mod flights;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{
    cooldown::Permit,
    fetch::{Fetcher, Keys},
    flights::{Landing, landed},
};
use crate::{
    prune::{Likeness, Question},
    upstream::{EmbeddingModel, EmbeddingProblem},
};

/// The most requests for which calls are made at the same time; one more goes on without vectors.
const FETCHES: usize = 64;

/// How vectors are asked for and kept.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long a request waits.
    pub timeout: Duration,
    /// The most bytes of vectors.
    pub cache_bytes: u64,
    /// A number that nobody outside knows.
    pub seed: u64,
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that had all vectors at hand, without a call.
    pub hits: u64,
    /// Requests that waited for calls and got what they needed.
    pub waits: u64,
    /// Requests that had to go on without.
    pub without: u64,
    /// Calls that failed.
    pub failures: u64,
}

/// Gives vectors to those who choose tools. Shared by all requests.
pub struct Embedder {
    timeout: Duration,
    fetcher: Arc<Fetcher>,
    fetches: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
    hits: AtomicU64,
    waits: AtomicU64,
    without: AtomicU64,
}

impl Embedder {
    /// One that asks `model`, in tasks that end when `stop` says so.
    pub fn new(
        model: EmbeddingModel,
        settings: Settings,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        Self {
            timeout: settings.timeout,
            fetcher: Arc::new(Fetcher::new(model, settings.cache_bytes, settings.seed)),
            fetches: Arc::new(Semaphore::new(FETCHES)),
            tasks,
            stop,
            hits: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            without: AtomicU64::new(0),
        }
    }

    /// How alike what was said and the tools are; `None` unless the vectors of all of them are there, since some alone
    /// could not be compared with the others. Takes no longer than the timeout.
    pub async fn likeness(&self, question: &Question<'_>) -> Option<Likeness> {
        let deadline = Instant::now() + self.timeout;
        let keys = self.fetcher.keys(question);
        if let Some(likeness) = self.fetcher.find(&keys) {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Some(likeness);
        }
        let likeness = self.fetched(question, &keys, deadline).await;
        let count = if likeness.is_some() { &self.waits } else { &self.without };
        count.fetch_add(1, Ordering::Relaxed);
        likeness
    }

    /// The same from vectors that are at hand: nobody is asked, and nothing is counted.
    pub fn known(&self, question: &Question<'_>) -> Option<Likeness> {
        self.fetcher.find(&self.fetcher.keys(question))
    }

    /// What came of it since the start.
    pub fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            hits: read(&self.hits),
            waits: read(&self.waits),
            without: read(&self.without),
            failures: self.fetcher.failures(),
        }
    }

    async fn fetched(&self, question: &Question<'_>, keys: &Keys, deadline: Instant) -> Option<Likeness> {
        if self.fetcher.is_set_aside(keys) {
            return None;
        }
        let permit = self.fetcher.cooldown.permit(Instant::now())?;
        let landings = self.fetch(question, keys, permit)?;
        if timeout_at(deadline, join_all(landings.into_iter().map(landed))).await.is_err() {
            self.fetcher.failed(permit, &EmbeddingProblem::TooSlow(self.timeout));
            return None;
        }
        let likeness = self.fetcher.find(keys)?;
        self.fetcher.succeeded();
        Some(likeness)
    }

    /// Begins to fetch what is missing and nobody else is fetching; gives what to wait for. `None` where too much is
    /// being fetched already.
    fn fetch(&self, question: &Question<'_>, keys: &Keys, permit: Permit) -> Option<Vec<Landing>> {
        let slot = Arc::clone(&self.fetches).try_acquire_owned().ok()?;
        let (claim, landings) = self.fetcher.claim(keys);
        if let Some(claim) = claim {
            let texts = keys.texts(question, &claim);
            let (fetcher, stop) = (Arc::clone(&self.fetcher), self.stop.clone());
            self.tasks.spawn(async move {
                stop.run_until_cancelled(fetcher.run(texts, permit)).await;
                // Only now: whoever waits must find what came.
                drop(claim);
                drop(slot);
            });
        }
        Some(landings)
    }
}
