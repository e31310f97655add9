//! The connection to Redis as requests see it: there, or away.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use redis::{Client, Script, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, mpsc},
    time::timeout,
};
use uuid::Uuid;

use super::{
    SharedError, Timing, Upkeep, names,
    question::{Answer, Question},
};
use crate::{
    clock::SharedClock,
    config::SecretUrl,
    limits::{
        Permit, Refusal, Stats, SubjectId,
        budget::Amount,
        ledger::Ledger,
        limiter::{Claims, Local, slots},
        verdict::{Seen, judge},
    },
};

/// What may wait for Redis: the slots that 16,384 requests give back. What is beyond it comes back by itself.
const WAITING: usize = 16_384;

/// The way to Redis.
pub(in crate::limits) struct Link {
    pub(super) client: Client,
    pub(super) timing: Timing,
    /// `None` while Redis is away.
    pub(super) connection: ArcSwapOption<MultiplexedConnection>,
    /// Told when it goes away.
    pub(super) lost: Notify,
    script: Script,
    jobs: mpsc::Sender<Job>,
    replica: Uuid,
    leases: AtomicU64,
    /// Whether the log says that Redis is away.
    announced: AtomicBool,
    outages: AtomicU64,
    counted_apart: AtomicU64,
    releases_lost: AtomicU64,
}

/// What has time.
#[derive(Debug)]
pub(super) enum Job {
    /// A slot is given back.
    Release(SubjectId, u64),
    /// The sum that a count begins at.
    Plant(SubjectId, Amount),
    /// A ledger has saved tokens that Redis does not know.
    Saved(Arc<Ledger>),
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the client: its URL holds the password.
        f.debug_struct("Link").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Link {
    pub(in crate::limits) fn open(
        url: &SecretUrl,
        timing: Timing,
        counts: (Arc<Local>, SharedClock),
    ) -> Result<(Arc<Self>, Upkeep), SharedError> {
        let client =
            Client::open(url.expose()).map_err(|source| SharedError::Url { url: url.to_string(), source })?;
        let (jobs, waiting) = mpsc::channel(WAITING);
        let link = Arc::new(Self {
            client,
            timing,
            connection: ArcSwapOption::empty(),
            lost: Notify::new(),
            script: Script::new(include_str!("admit.lua")),
            jobs,
            replica: Uuid::new_v4(),
            leases: AtomicU64::new(0),
            announced: AtomicBool::new(false),
            outages: AtomicU64::new(0),
            counted_apart: AtomicU64::new(0),
            releases_lost: AtomicU64::new(0),
        });
        let upkeep = Upkeep::new(Arc::clone(&link), counts, waiting);
        Ok((link, upkeep))
    }

    /// Asks Redis, or counts here while it is away.
    pub(in crate::limits) async fn admit(
        self: &Arc<Self>,
        local: &Local,
        claims: &Claims,
        now: i64,
    ) -> Result<Permit, Refusal> {
        let mut slots = slots(claims);
        let number = self.leases.fetch_add(1, Ordering::Relaxed);
        if slots.any() {
            slots = slots.leased(number, Arc::clone(self));
        }
        let asked = claims.iter().any(Option::is_some);
        if let Some(connection) = self.connection.load_full().filter(|_| asked) {
            slots.asked(true);
            if let Some(answer) = self.ask(&connection, &Question::of(claims, now), Some(number)).await {
                slots.asked(answer.fits);
                match judge(answer.seen) {
                    Ok(requests) if answer.fits => {
                        return Ok(local.follow(claims, answer.seen, now, (requests, slots)));
                    }
                    Err(refusal) if !answer.fits => return Err(refusal),
                    // The script and `judge` are one piece of arithmetic; should they ever differ, this process
                    // decides.
                    _ => tracing::error!("Redis and this process disagree on a limit"),
                }
            }
        }
        self.counted_apart.fetch_add(u64::from(asked), Ordering::Relaxed);
        local.admit(claims, now, slots)
    }

    /// The subjects of a request as Redis has them, for all replicas together; nothing while it is away. Takes nothing.
    pub(in crate::limits) async fn look(&self, claims: &Claims, now: i64) -> [Option<Seen>; 2] {
        let asked = claims.iter().any(Option::is_some);
        let Some(connection) = self.connection.load_full().filter(|_| asked) else { return [None; 2] };
        let answer = self.ask(&connection, &Question::of(claims, now), None).await;
        answer.map_or([None; 2], |answer| answer.seen)
    }

    /// Puts a question. Without an answer in time Redis counts as away, whoever asked: it would keep the next request
    /// waiting just as long.
    async fn ask(
        &self,
        connection: &Arc<MultiplexedConnection>,
        question: &Question<'_>,
        lease: Option<u64>,
    ) -> Option<Answer> {
        let lease = (lease.map(|number| self.lease(number)), self.life());
        let mut own = MultiplexedConnection::clone(connection);
        match timeout(self.timing.answer, question.put(&self.script, &mut own, lease)).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => self.failed(connection, &error.to_string()),
            Err(_) => self.failed(connection, &format!("no answer within {:?}", self.timing.answer)),
        }
        None
    }

    /// Gives a slot back in Redis. It never waits: what does not fit comes back when its lease runs out, since nobody
    /// renews it.
    pub(in crate::limits) fn release(&self, id: SubjectId, number: u64) {
        if self.jobs.try_send(Job::Release(id, number)).is_err() {
            self.releases_lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Tells Redis of saved tokens, soon. What does not fit is found at the next renewal.
    pub(in crate::limits) fn saved(&self, ledger: Arc<Ledger>) {
        let _ = self.jobs.try_send(Job::Saved(ledger));
    }

    /// Sends Redis the sums that it lacks, before anything that is saved from now on.
    pub(in crate::limits) fn plant(&self, ledger: &Ledger, periods: [bool; 2]) {
        let sums = ledger.lock().budgets().map_or_else(Vec::new, |budgets| budgets.plant(periods));
        for sum in sums {
            let _ = self.jobs.try_send(Job::Plant(ledger.id, sum));
        }
    }

    /// Redis failed on this connection: it is away, unless there is a newer one already.
    pub(super) fn failed(&self, connection: &Arc<MultiplexedConnection>, problem: &str) {
        let before = self.connection.compare_and_swap(connection, None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, connection)) {
            self.announce(problem);
            self.lost.notify_one();
        }
    }

    /// Says that Redis is away, once.
    pub(super) fn announce(&self, problem: &str) {
        if !self.announced.swap(true, Ordering::Relaxed) {
            self.outages.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(problem, "Redis is away: each replica counts limits for itself");
        }
    }

    /// Redis is there.
    pub(super) fn connected(&self, connection: MultiplexedConnection) {
        self.connection.store(Some(Arc::new(connection)));
        if self.announced.swap(false, Ordering::Relaxed) {
            tracing::info!("Redis is back: replicas share limits again");
        }
    }

    pub(in crate::limits) fn stats(&self) -> Stats {
        Stats {
            away: self.connection.load().is_none(),
            outages: self.outages.load(Ordering::Relaxed),
            counted_apart: self.counted_apart.load(Ordering::Relaxed),
            releases_lost: self.releases_lost.load(Ordering::Relaxed),
            ..Stats::default()
        }
    }

    pub(super) fn lease(&self, number: u64) -> String {
        names::lease(self.replica, number)
    }

    /// The life of a lease, in milliseconds.
    pub(super) fn life(&self) -> u64 {
        u64::try_from(self.timing.lease.as_millis()).unwrap_or(u64::MAX)
    }
}
