//! The task behind the link: connects, gives back slots, renews those of running requests and sends what was saved.
//!
//! One task, one thing after the other: a slot that is given back while leases are renewed is taken back after it.

use std::{sync::Arc, time::Duration};

use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisError, RedisResult, aio::MultiplexedConnection};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    link::{Job, Link},
    names,
};
use crate::{
    clock::SharedClock,
    domain::backoff::Backoff,
    limits::{
        SubjectId,
        budget::Amount,
        ledger::{FURTHEST, Ledger},
        limiter::Local,
    },
};

/// How many commands go out at once.
const BULK: usize = 256;

/// The pause after the first failure, which then doubles.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a connection has to hold before the next failure counts as the first again: a Redis that answers once
/// and then stalls would otherwise be tried for ever at the shortest pause.
const STEADY: Duration = Duration::from_secs(10);

/// How many seconds a sum is kept in Redis: longer than its window, for clocks that differ.
const KEPT: u64 = 8 * 24 * 60 * 60;

/// Keeps a shared limiter connected. Without it every replica counts for itself.
#[derive(Debug)]
pub struct Upkeep {
    link: Arc<Link>,
    local: Arc<Local>,
    clock: SharedClock,
    waiting: mpsc::Receiver<Job>,
    /// Taken from the queue and not done.
    jobs: Vec<Job>,
    failures: u32,
    renew_at: Instant,
    /// Since when, while it is.
    connected_at: Option<Instant>,
}

/// Commands for Redis, and what to put back should they fail.
#[derive(Default)]
struct Batch {
    commands: Pipeline,
    amounts: Vec<(Arc<Ledger>, Amount)>,
}

impl Upkeep {
    pub(super) fn new(
        link: Arc<Link>,
        (local, clock): (Arc<Local>, SharedClock),
        waiting: mpsc::Receiver<Job>,
    ) -> Self {
        let now = Instant::now();
        Self { link, local, clock, waiting, jobs: Vec::new(), failures: 0, renew_at: now, connected_at: None }
    }

    /// Tries once to connect, for `Timing::background` at most beside what is to be told: before the first request, so
    /// that it is counted where all are. Returns whether it worked; `run` goes on trying.
    pub async fn connect(&mut self) -> bool {
        let problem = match self.reached().await {
            Ok(connection) => {
                let now = Instant::now();
                self.connected_at = Some(now);
                self.renew_at = now + self.link.timing.lease / 3;
                self.link.connected(connection);
                return true;
            }
            Err(error) => error.to_string(),
        };
        self.failures = self.failures.saturating_add(1);
        self.link.announce(&problem);
        false
    }

    /// Runs until it is cancelled; then gives back what was to be given back, and returns. Cancel it after the last
    /// request has ended: slots that are given back later come back when their leases run out.
    pub async fn run(mut self, cancellation: CancellationToken) {
        while !cancellation.is_cancelled() {
            let Some(connection) = self.link.connection.load_full() else {
                self.lost();
                let pause = pause(self.failures, self.link.timing.longest_pause);
                tokio::select! {
                    () = cancellation.cancelled() => {}
                    () = sleep(pause) => { self.connect().await; }
                }
                continue;
            };
            if !self.jobs.is_empty() {
                self.work(&connection).await;
                continue;
            }
            tokio::select! {
                () = cancellation.cancelled() => {}
                () = self.link.lost.notified() => {}
                _ = self.waiting.recv_many(&mut self.jobs, BULK) => {}
                () = sleep_until(self.renew_at) => {
                    self.renew_at = Instant::now() + self.link.timing.lease / 3;
                    self.renew(&connection).await;
                }
            }
        }
        self.finish().await;
    }

    /// A connection that can be used: it answers within the time that requests have, takes writes, and has heard of
    /// everything that was counted without it, or that a server which was started anew has forgotten.
    async fn reached(&self) -> RedisResult<MultiplexedConnection> {
        let background = self.link.timing.background;
        let mut connection = match timeout(background, self.opened()).await {
            Ok(opened) => opened?,
            Err(_) => return Err(too_slow(format!("no connection within {background:?}"))),
        };
        // Outside of that bound, which many keys would exceed at every attempt; each batch has one of its own.
        for ledgers in self.local.ledgers.by_shard() {
            self.send(&mut connection, self.report(&ledgers, true)).await?;
        }
        Ok(connection)
    }

    async fn opened(&self) -> RedisResult<MultiplexedConnection> {
        let timing = &self.link.timing;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timing.background))
            .set_response_timeout(Some(timing.background))
            .set_pipeline_buffer_size(1024);
        let mut connection = self.link.client.get_multiplexed_async_connection_with_config(&config).await?;
        let probe = renewal(&names::probe(), self.link.life(), &["probe".to_owned()]);
        match timeout(timing.answer, probe.query_async::<()>(&mut connection)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(too_slow("it answers too slowly".into())),
        }
        Ok(connection)
    }

    /// Leases and saved tokens of some ledgers, and how full their buckets are where the server may not know.
    fn report(&self, ledgers: &[Arc<Ledger>], rates: bool) -> Batch {
        let mut batch = Batch::default();
        for ledger in ledgers {
            let (arrival, leases) = {
                let state = ledger.lock();
                (
                    state.arrival,
                    state.leases.iter().map(|number| self.link.lease(*number)).collect::<Vec<_>>(),
                )
            };
            if rates {
                batch.raise(ledger.id, arrival - self.clock.now().timestamp_micros());
            }
            if !leases.is_empty() {
                let renewal = renewal(&names::leases(ledger.id), self.link.life(), &leases);
                batch.commands.add_command(renewal);
            }
            batch.saved(ledger);
        }
        batch
    }

    async fn renew(&mut self, connection: &Arc<MultiplexedConnection>) {
        let mut own = MultiplexedConnection::clone(connection);
        for ledgers in self.local.ledgers.by_shard() {
            if let Err(error) = self.send(&mut own, self.report(&ledgers, false)).await {
                self.link.failed(connection, &error.to_string());
                return;
            }
        }
    }

    /// Does what was taken from the queue. What fails stays, for the next connection.
    async fn work(&mut self, connection: &Arc<MultiplexedConnection>) {
        let mut batch = Batch::default();
        for job in &self.jobs {
            match job {
                Job::Release(id, number) => batch.release(*id, self.link.lease(*number)),
                Job::Plant(id, sum) => batch.plant(*id, *sum),
                Job::Saved(ledger) => batch.saved(ledger),
            }
        }
        let mut own = MultiplexedConnection::clone(connection);
        match self.send(&mut own, batch).await {
            Ok(()) => self.jobs.clear(),
            Err(error) => self.link.failed(connection, &error.to_string()),
        }
    }

    async fn send(&self, connection: &mut MultiplexedConnection, batch: Batch) -> RedisResult<()> {
        if batch.commands.is_empty() {
            return Ok(());
        }
        let sent = match timeout(self.link.timing.background, batch.commands.exec_async(connection)).await {
            Ok(sent) => sent,
            Err(_) => Err(too_slow("no answer in time".into())),
        };
        if sent.is_err() {
            // Should they have arrived all the same they count twice: pruning then stops a little early.
            for (ledger, amount) in batch.amounts {
                if let Some(budgets) = ledger.lock().budgets() {
                    budgets.put_back(amount);
                }
            }
        }
        sent
    }

    /// Redis went away since the last look, or had not been there.
    fn lost(&mut self) {
        if let Some(connected_at) = self.connected_at.take() {
            let steady = connected_at.elapsed() >= STEADY;
            self.failures = if steady { 0 } else { self.failures.saturating_add(1) };
        }
    }

    async fn finish(mut self) {
        self.waiting.close();
        while let Some(connection) = self.link.connection.load_full() {
            if self.jobs.is_empty() && self.waiting.recv_many(&mut self.jobs, BULK).await == 0 {
                return self.renew(&connection).await;
            }
            self.work(&connection).await;
        }
    }
}

impl Batch {
    /// Tells how full a bucket is, unless it is empty. What lies too far ahead is a clock that stepped back.
    fn raise(&mut self, id: SubjectId, ahead: i64) {
        if (1..FURTHEST).contains(&ahead) {
            let mut command = redis::cmd("EVAL");
            command.arg(include_str!("raise.lua")).arg(1).arg(names::arrival(id)).arg(ahead);
            self.commands.add_command(command).ignore();
        }
    }

    fn release(&mut self, id: SubjectId, lease: String) {
        self.commands.zrem(names::leases(id), lease).ignore();
    }

    fn plant(&mut self, id: SubjectId, sum: Amount) {
        let mut command = redis::cmd("SET");
        command.arg(names::saved_in(id, sum)).arg(sum.tokens).arg("NX").arg("EX").arg(KEPT);
        self.commands.add_command(command).ignore();
    }

    fn saved(&mut self, ledger: &Arc<Ledger>) {
        let amounts = ledger.lock().budgets().map_or_else(Vec::new, |budgets| budgets.take_unsent());
        for amount in amounts {
            let mut command = redis::cmd("EVAL");
            command.arg(include_str!("add.lua")).arg(1);
            command.arg(names::saved_in(ledger.id, amount)).arg(amount.tokens);
            self.commands.add_command(command).ignore();
            self.amounts.push((Arc::clone(ledger), amount));
        }
    }
}

/// Not by its hash: it is short, rare, and goes out in pipelines, where a script that is missing cannot be sent again.
fn renewal(key: &str, life: u64, leases: &[String]) -> Cmd {
    let mut command = redis::cmd("EVAL");
    command.arg(include_str!("renew.lua")).arg(1).arg(key).arg(life).arg(leases);
    command
}

fn too_slow(problem: String) -> RedisError {
    (redis::ErrorKind::Io, "it is too slow", problem).into()
}

/// Half of the pause and, by chance, up to the other half: replicas that lost Redis together do not come back
/// together.
fn pause(failures: u32, longest: Duration) -> Duration {
    Backoff { first: PAUSE, longest }.pause(failures, rand::Rng::next_u64(&mut rand::rng()))
}
