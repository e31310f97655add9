//! Being told of changes: keeps a listener on the store, and wakes whoever follows the changes when it hears of one.
//!
//! It is a matter of speed alone. The follower polls all the same and decides what was seen; should it find changes that
//! the listener did not hear of (a pooler in between, a connection that a network swallowed), it says so, and the
//! listener is opened anew.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::{
    domain::backoff::Backoff,
    store::{ChangeLog, StoreError},
};

/// Pauses between attempts to listen. Polling goes on meanwhile, so that there is no hurry.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(10) };
/// How long a listener has to hold before its loss counts as a first failure again.
const STEADY: Duration = Duration::from_secs(10);
/// How long a change may be known from a poll before the listener has to have heard of it.
const DEAF_AFTER: Duration = Duration::from_secs(1);

/// What the listener and the follower tell each other.
#[derive(Debug, Default)]
pub(super) struct Pushed {
    listening: AtomicBool,
    /// The latest change that was heard of.
    heard: AtomicI64,
    /// Whether the listener began since the follower last caught up: what came before, it need not have heard.
    begun: AtomicBool,
    wake: Notify,
    deaf: Notify,
    /// The first change that was found and not heard of, and when.
    unheard: Mutex<Option<(i64, Instant)>>,
    failures: AtomicU32,
}

impl Pushed {
    /// Whether changes are heard of.
    pub(super) fn listening(&self) -> bool {
        self.listening.load(Ordering::SeqCst)
    }

    /// Waits until a change is heard of, for `at_most`. What was heard since the last wait counts, once.
    pub(super) async fn wait(&self, at_most: Duration) {
        let _ = timeout(at_most, self.wake.notified()).await;
    }

    /// To be called before the follower reads: what `caught_up` wants to know.
    pub(super) fn begun(&self) -> bool {
        self.begun.swap(false, Ordering::SeqCst)
    }

    /// The follower has seen every change up to `position`.
    pub(super) fn caught_up(&self, position: i64, begun: bool) {
        if begun {
            self.heard.store(position, Ordering::SeqCst);
        }
        let mut unheard = self.unheard.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = self.heard.load(Ordering::SeqCst);
        if !self.listening() || heard >= position {
            *unheard = None;
            return;
        }
        match *unheard {
            Some((change, since)) if change > heard => {
                if since.elapsed() >= DEAF_AFTER {
                    *unheard = None;
                    self.deaf.notify_one();
                }
            }
            _ => *unheard = Some((position, Instant::now())),
        }
    }

    /// Listens until dropped. `seed` is for the pauses.
    pub(super) async fn listen(&self, log: &ChangeLog, seed: u64) {
        if !log.can_push() {
            return;
        }
        let mut chance = StdRng::seed_from_u64(seed);
        loop {
            let began = Instant::now();
            let Err(error) = self.listen_once(log).await;
            self.listening.store(false, Ordering::SeqCst);
            if began.elapsed() >= STEADY {
                self.failures.store(0, Ordering::SeqCst);
            }
            let failures = self.failures.fetch_add(1, Ordering::SeqCst);
            // Once, until it works again: whoever runs behind a pooler for good knows after the first line.
            if failures == 0 {
                let reason = std::error::Error::source(&error).map(ToString::to_string);
                let reason = reason.unwrap_or_else(|| error.to_string());
                tracing::warn!(reason, "changes of keys are not pushed: they are found by polling");
            }
            sleep(BACKOFF.pause(failures, chance.next_u64())).await;
        }
    }

    async fn listen_once(&self, log: &ChangeLog) -> Result<std::convert::Infallible, StoreError> {
        let mut listener = log.listen().await?;
        self.begun.store(true, Ordering::SeqCst);
        self.listening.store(true, Ordering::SeqCst);
        // What was changed before somebody listened is read at once.
        self.wake.notify_one();
        if self.failures.load(Ordering::SeqCst) > 0 {
            tracing::info!("changes of keys are pushed again");
        }
        loop {
            tokio::select! {
                heard = listener.heard() => {
                    self.heard.store(heard?, Ordering::SeqCst);
                    self.wake.notify_one();
                }
                () = self.deaf.notified() => {
                    return Err(StoreError::Unavailable { source: "changes were found that nobody told of".into() });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening() -> Pushed {
        let pushed = Pushed::default();
        pushed.listening.store(true, Ordering::SeqCst);
        pushed.heard.store(5, Ordering::SeqCst);
        pushed
    }

    async fn is_deaf(pushed: &Pushed) -> bool {
        timeout(Duration::from_millis(1), pushed.deaf.notified()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_misses_a_change_counts_as_deaf_after_a_second() {
        let pushed = listening();
        for _ in 0..10 {
            pushed.caught_up(6, false);
            assert!(!is_deaf(&pushed).await);
            tokio::time::advance(Duration::from_millis(90)).await;
        }
        tokio::time::advance(Duration::from_millis(200)).await;
        pushed.caught_up(6, false);
        assert!(is_deaf(&pushed).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_that_is_always_a_little_late_does_not() {
        let pushed = listening();
        for change in 6..100 {
            // The poll is first, what it found is heard a moment later.
            pushed.caught_up(change, false);
            pushed.heard.store(change, Ordering::SeqCst);
            tokio::time::advance(Duration::from_millis(250)).await;
            assert!(!is_deaf(&pushed).await);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_changed_before_it_listened_it_need_not_have_heard() {
        let pushed = listening();
        pushed.begun.store(true, Ordering::SeqCst);
        let begun = pushed.begun();
        pushed.caught_up(9, begun);
        tokio::time::advance(Duration::from_secs(2)).await;
        pushed.caught_up(9, pushed.begun());
        assert!(!is_deaf(&pushed).await);
        pushed.caught_up(10, pushed.begun());
        tokio::time::advance(Duration::from_secs(2)).await;
        pushed.caught_up(10, pushed.begun());
        assert!(is_deaf(&pushed).await, "but of what came later it has to");
    }
}
