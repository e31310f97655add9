//! The load: a closed loop, in which each connection sends as soon as it is answered, and an open one at a fixed rate,
//! in which latency counts from when a request was meant to start, so that a slow answer delays no other.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinSet, time};

use crate::{
    client::{Answer, Connection},
    figures::{Figures, Spread},
    mock,
    procs::Used,
    wire,
};

/// The phases of a run; it begins with warming up, 0.
const MEASURING: u8 = 1;
const OVER: u8 = 2;
/// How long answers may still take once a run is over.
const PATIENCE: Duration = Duration::from_secs(10);
/// Requests of an open loop that may wait for an answer: with more, the rate is above what the candidate can do.
const AT_ONCE: usize = 512;

/// What to send where, for how long.
#[derive(Clone)]
pub(crate) struct Plan {
    /// The candidate.
    pub(crate) to: SocketAddr,
    /// Its process.
    pub(crate) id: u32,
    /// The requests, which take turns.
    pub(crate) requests: Arc<[Bytes]>,
    /// The chunks that an answer must have; none, if it is no stream.
    pub(crate) chunks: Option<usize>,
    /// How long to go on before measuring.
    pub(crate) warm: Duration,
    /// How long to measure.
    pub(crate) seconds: Duration,
}

/// What all connections write to.
#[derive(Default)]
struct Tally {
    phase: AtomicU8,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    figures: Figures,
    latencies: Vec<u64>,
    firsts: Vec<u64>,
    transits: Vec<u64>,
}

impl Tally {
    /// Notes an answer to what was meant to start at `start`, if it is to be counted.
    fn note(&self, plan: &Plan, start: u64, counts: bool, answer: &io::Result<Answer>) {
        let problem = match answer {
            Err(error) => Some(error.to_string()),
            Ok(answer) if answer.status != 200 => Some(format!("status {}", answer.status)),
            Ok(answer) => wrong(plan, answer),
        };
        let mut sums = self.sums.lock().unwrap();
        if problem.is_some() {
            // Also while it warms up: nothing that is wrong is left untold.
            sums.figures.errors += 1;
            sums.figures.problem = sums.figures.problem.take().or(problem);
        } else if let (true, Ok(answer)) = (counts, answer) {
            sums.figures.served += 1;
            sums.figures.chunks += answer.transits.len() as u64;
            sums.latencies.push(wire::now().saturating_sub(start));
            sums.firsts.extend(answer.first.map(|first| first.saturating_sub(start)));
            sums.transits.extend_from_slice(&answer.transits);
        }
    }

    /// Lets the load warm up, measures, and ends it.
    async fn measure(&self, plan: &Plan) {
        time::sleep(plan.warm).await;
        let (before, began) = (Used::of(plan.id), Instant::now());
        self.phase.store(MEASURING, Relaxed);
        time::sleep(plan.seconds).await;
        self.phase.store(OVER, Relaxed);
        let (used, elapsed) = (Used::of(plan.id).since(before), began.elapsed());
        self.sums.lock().unwrap().figures.used(used, elapsed);
    }

    /// Waits for what still runs, and gives the figures.
    async fn end(&self, mut tasks: JoinSet<()>) -> Figures {
        let ended = time::timeout(PATIENCE, async { while tasks.join_next().await.is_some() {} }).await;
        let mut sums = std::mem::take(&mut *self.sums.lock().unwrap());
        if ended.is_err() {
            sums.figures.errors += tasks.len() as u64;
            sums.figures.problem.get_or_insert("no answer".into());
        }
        sums.figures.latency = Spread::of(&mut sums.latencies);
        sums.figures.first = Spread::of(&mut sums.firsts);
        sums.figures.transit = Spread::of(&mut sums.transits);
        sums.figures
    }
}

/// What is wrong with an answer of status 200.
fn wrong(plan: &Plan, answer: &Answer) -> Option<String> {
    match (plan.chunks, answer.length) {
        (None, Some(length)) if length == mock::ANSWER.len() => None,
        (Some(chunks), None) if answer.transits.len() == chunks => None,
        (None, length) => Some(format!("an answer of {length:?} bytes")),
        (Some(_), _) => Some(format!("a stream of {} chunks", answer.transits.len())),
    }
}

/// A closed loop of so many connections.
pub(crate) async fn closed(plan: &Plan, connections: usize) -> Figures {
    let (tally, mut tasks) = (Arc::new(Tally::default()), JoinSet::new());
    for place in 0..connections {
        let (tally, plan) = (Arc::clone(&tally), plan.clone());
        tasks.spawn(async move {
            let mut kept = None;
            for request in plan.requests.iter().cycle().skip(place) {
                if tally.phase.load(Relaxed) == OVER {
                    return;
                }
                let start = wire::now();
                let answer = exchange(&plan, &mut kept, request).await;
                tally.note(&plan, start, tally.phase.load(Relaxed) == MEASURING, &answer);
                if answer.is_err() {
                    time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    tally.measure(plan).await;
    tally.end(tasks).await
}

/// An open loop at so many requests a second.
pub(crate) async fn open(plan: &Plan, rate: u32) -> Figures {
    let tally = Arc::new(Tally::default());
    let mut ticks = pace(rate);
    let driven = tokio::spawn({
        let (tally, plan) = (Arc::clone(&tally), plan.clone());
        async move {
            let (mut tasks, idle) = (JoinSet::new(), Arc::new(Mutex::new(Vec::new())));
            let mut requests = plan.requests.iter().cycle();
            while let Some(start) = ticks.recv().await {
                let phase = tally.phase.load(Relaxed);
                if phase == OVER {
                    break;
                }
                while tasks.try_join_next().is_some() {}
                if tasks.len() >= AT_ONCE {
                    tally.note(&plan, start, true, &Err(io::Error::other("too many at once")));
                    continue;
                }
                let (tally, plan, idle) = (Arc::clone(&tally), plan.clone(), Arc::clone(&idle));
                let request = requests.next().unwrap().clone();
                tasks.spawn(async move {
                    let mut kept = idle.lock().unwrap().pop();
                    let answer = exchange(&plan, &mut kept, &request).await;
                    idle.lock().unwrap().extend(kept);
                    tally.note(&plan, start, phase == MEASURING, &answer);
                });
            }
            tasks
        }
    });
    tally.measure(plan).await;
    tally.end(driven.await.unwrap()).await
}

/// Intended starts, each told when it has come, by a thread of its own: tokio's timer knows milliseconds alone. It ends
/// when nobody listens any more.
fn pace(rate: u32) -> mpsc::UnboundedReceiver<u64> {
    let (ticks, ticked) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let (step, begin) = (Duration::from_secs(1) / rate, wire::now());
        for number in 1_u32.. {
            let due = begin + u64::try_from((step * number).as_nanos()).unwrap();
            std::thread::sleep(Duration::from_nanos(due.saturating_sub(wire::now())));
            if ticks.send(due).is_err() {
                return;
            }
        }
    });
    ticked
}

/// A request over the kept connection, or a new one; what failed is not kept.
async fn exchange(plan: &Plan, kept: &mut Option<Connection>, request: &[u8]) -> io::Result<Answer> {
    let mut connection = match kept.take() {
        Some(connection) => connection,
        None => Connection::open(plan.to).await?,
    };
    let answer = connection.send(request).await?;
    *kept = Some(connection);
    Ok(answer)
}
