//! The issuer's keys by URL: fetched at the start, every ten minutes, and when a token names a key that is not among them.
//!
//! One task fetches, and nobody else: whoever needs new keys asks it and waits. So there is never more than one fetch
//! under way, none is given up because a caller has gone, and between the beginnings of two lies a cool-down, whatever
//! comes in. Checks read a snapshot that is swapped whole. What cannot be fetched is said as such (503), never as a bad
//! token: keys go on for a day without their issuer, and after that there are none.

mod fetch;
#[cfg(test)]
mod tests;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwapOption, Guard};
use chrono::{DateTime, TimeDelta, Utc};
use http::Uri;
use jsonwebtoken::Algorithm;
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::{sleep, timeout},
};

use self::fetch::Source;
use super::{
    Authenticator,
    issuer::{self, IssuerKey},
    jwt::{JwtSetupError, JwtVerifier},
};
use crate::clock::SharedClock;

/// The time between the beginnings of two fetches, at least: also that after which one that failed is repeated.
const COOL_DOWN: TimeDelta = TimeDelta::seconds(30);
/// How old keys become before they are fetched again, so that one which the issuer has withdrawn ends.
const REFRESH: TimeDelta = TimeDelta::minutes(10);
/// The most that a process is earlier with that, so that replicas do not ask all at once.
const JITTER_SECONDS: u64 = 60;
/// How long keys are trusted without an answer of their issuer.
const TRUSTED: TimeDelta = TimeDelta::hours(24);
/// How often the clock is looked at. It is handed in, and one cannot sleep by it.
const TICK: Duration = Duration::from_millis(250);
/// How long a caller waits for a fetch: a little longer than one may take.
const WAIT: Duration = Duration::from_secs(6);
/// How many callers wait at the same time; any more are told to come back.
const WAITING: usize = 256;
/// The shortest time after which a caller is told to come back.
const SOON: Duration = Duration::from_secs(1);

/// Keys as they were fetched.
pub(super) struct Held {
    pub(super) keys: Vec<IssuerKey>,
    fetched_at: DateTime<Utc>,
}

impl Held {
    /// Whether they are still trusted.
    pub(super) fn good_at(&self, now: DateTime<Utc>) -> bool {
        now - self.fetched_at < TRUSTED
    }
}

/// How far the fetching is.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    begun_at: Option<DateTime<Utc>>,
    under_way: bool,
    ended: u64,
    failed: bool,
}

impl Progress {
    /// Whether the last fetch began at least `wait` ago. So it did if the clock was set back since: else a process would
    /// wait for the time that it was set back by.
    fn is_past(&self, wait: TimeDelta, now: DateTime<Utc>) -> bool {
        self.begun_at.is_none_or(|begun_at| !(TimeDelta::zero()..wait).contains(&(now - begun_at)))
    }

    /// When the next may be.
    fn next_in(&self, now: DateTime<Utc>) -> Duration {
        let next = self.begun_at.map_or(TimeDelta::zero(), |begun_at| begun_at + COOL_DOWN - now);
        next.clamp(TimeDelta::zero(), COOL_DOWN).to_std().unwrap_or(SOON).max(SOON)
    }
}

/// The keys at a URL.
pub(super) struct FetchedKeys {
    source: Source,
    /// The URL as it may be shown.
    shown: String,
    algorithms: Vec<Algorithm>,
    held: ArcSwapOption<Held>,
    progress: watch::Sender<Progress>,
    wanted: Notify,
    places: Semaphore,
    failures: AtomicU64,
}

impl FetchedKeys {
    /// The keys at `address`, none of them fetched.
    pub(super) fn new(
        address: Uri,
        shown: String,
        algorithms: Vec<Algorithm>,
    ) -> Result<Self, JwtSetupError> {
        Ok(Self {
            source: Source::new(address)?,
            shown,
            algorithms,
            held: ArcSwapOption::empty(),
            progress: watch::Sender::new(Progress::default()),
            wanted: Notify::new(),
            places: Semaphore::new(WAITING),
            failures: AtomicU64::new(0),
        })
    }

    /// The keys at hand.
    pub(super) fn held(&self) -> Guard<Option<Arc<Held>>> {
        self.held.load()
    }

    /// How often keys were fetched, and how often they could not be.
    pub(super) fn counts(&self) -> (u64, u64) {
        let failures = self.failures.load(Ordering::Relaxed);
        (self.progress.borrow().ended.saturating_sub(failures), failures)
    }

    /// The keys as they are after a fetch, which is waited for unless the last began within the cool-down. The error is
    /// when to ask again: the issuer did not answer, so that nobody can tell which keys it has.
    pub(super) async fn renewed(&self, now: DateTime<Utc>) -> Result<Arc<Held>, Duration> {
        let mut progress = self.progress.subscribe();
        let seen = *progress.borrow_and_update();
        if seen.under_way || seen.is_past(COOL_DOWN, now) {
            let _place = self.places.try_acquire().map_err(|_| SOON)?;
            if !seen.under_way {
                self.wanted.notify_one();
            }
            let ended = progress.wait_for(|progress| progress.ended > seen.ended);
            if timeout(WAIT, ended).await.is_err() {
                return Err(SOON);
            }
        }
        let last = *self.progress.borrow();
        let held = self.held.load_full().filter(|held| !last.failed && held.good_at(now));
        held.ok_or_else(|| last.next_in(now))
    }

    /// Fetches the keys when it is time, until dropped. `seed` says by how much earlier than others.
    pub(super) async fn follow(&self, clock: &SharedClock, seed: u64) {
        let every = REFRESH - TimeDelta::seconds((seed % JITTER_SECONDS).cast_signed());
        let mut wanted = false;
        loop {
            let (now, last) = (clock.now(), *self.progress.borrow());
            let wait = if wanted || last.failed { COOL_DOWN } else { every };
            if last.is_past(wait, now) {
                self.fetch(now).await;
            }
            wanted = tokio::select! {
                () = self.wanted.notified() => true,
                () = sleep(TICK) => false,
            };
        }
    }

    async fn fetch(&self, now: DateTime<Utc>) {
        self.progress.send_modify(|progress| {
            progress.begun_at = Some(now);
            progress.under_way = true;
        });
        let fetched = self.source.fetch().await;
        let read = fetched.and_then(|bytes| {
            issuer::jwks(&bytes, &self.algorithms).map_err(|why| format!("it answered, but {why}"))
        });
        let failed_before = self.progress.borrow().failed;
        let failed = read.is_err();
        match read {
            Ok(read) => self.take(read, now, failed_before),
            Err(problem) => self.miss(&problem, now, failed_before),
        }
        self.progress.send_modify(|progress| {
            progress.under_way = false;
            progress.failed = failed;
            progress.ended += 1;
        });
    }

    /// Holds what was fetched from now on, also if it is nothing: an issuer may withdraw all that it had.
    fn take(&self, read: issuer::Jwks, now: DateTime<Utc>, failed_before: bool) {
        let (url, keys) = (self.shown.as_str(), read.keys.len());
        let before = self.held.load().as_ref().map(|held| held.keys.len());
        if let Some(fault) = read.faults.first() {
            tracing::warn!(
                url,
                fault,
                faults = read.faults.len(),
                "some of the issuer's keys are passed over"
            );
        }
        if keys == 0 && before != Some(0) {
            tracing::warn!(
                url,
                "the issuer has no key that `auth.jwt.algorithms` can use: every token of it is refused"
            );
        } else if failed_before || before.is_none() {
            tracing::info!(url, keys, "the issuer's keys were fetched");
        }
        self.held.store(Some(Arc::new(Held { keys: read.keys, fetched_at: now })));
    }

    /// Goes on with the keys at hand, as long as they are trusted.
    fn miss(&self, problem: &str, now: DateTime<Utc>, failed_before: bool) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let (url, held) = (self.shown.as_str(), self.held.load_full());
        if held.as_ref().is_some_and(|held| !held.good_at(now)) {
            self.held.store(None);
            tracing::error!(
                url,
                problem,
                "the issuer's keys could not be fetched for a day, and are given up: its tokens get 503"
            );
        } else if failed_before {
            tracing::debug!(url, problem, "the issuer's keys still cannot be fetched");
        } else if let Some(held) = held {
            let fetched_at = held.fetched_at;
            tracing::warn!(url, problem, %fetched_at, "the issuer's keys cannot be fetched: the last ones go on for a day");
        } else {
            tracing::warn!(
                url,
                problem,
                "the issuer's keys cannot be fetched: its tokens get 503 until they are"
            );
        }
    }
}

impl Authenticator {
    /// Fetches the keys of the issuer of JWTs when it is time, until dropped; returns at once if they are not fetched.
    /// `seed` spreads the replicas.
    pub async fn follow_issuer(&self, seed: u64) {
        if let Some(keys) = self.jwt.as_ref().and_then(JwtVerifier::fetched) {
            keys.follow(&self.clock, seed).await;
        }
    }
}
