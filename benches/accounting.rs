//! What accounting costs a request: its limits and its record, each apart, in one run; and what it costs a process
//! that goes on for long.
//!
//! `cargo bench --bench accounting`, with `-- 5000000` for a longer soak, and with `-- postgres://USER@HOST/EMPTY` for what a
//! PostgreSQL takes in a second, from one writer and from four as four replicas have them. Bounds: 2 µs of processor time a request for
//! limits, 10 µs for its record, the writer and SQLite included. The soak admits and records over a bounded set of
//! keys and prints the resident memory as it goes: it must come to a stand. Processor time is that of the whole
//! process (`/proc`, so on Linux alone), in ticks of 10 ms.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]
#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use orqen::{
    clock::{Clock, SystemClock},
    config::{Config, Environment},
    domain::{
        key::{AccountId, KeyId},
        request_id::RequestId,
        usage::{Batch, Ended, Record, Tokens, ToolTally},
    },
    limits::{Ask, RateLimiter, Rules},
    store::Store,
    tokens::Tokenizer,
    usage::{self, Bounds, UsageRecorder},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// As in the product.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ADMITTED: u32 = 1_000_000;
const RECORDED: u32 = 200_000;
/// Requests of the soak where nothing else is said.
const SOAKED: u32 = 2_000_000;
/// How often the soak prints.
const LINES: u32 = 10;
const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));
const KEYS: u128 = 1_000;
/// Writers that share a PostgreSQL, each with its recorder, queue and connections, as replicas have them.
const WRITERS: u32 = 4;
/// Records that are sent before the writer is waited for: what its queue holds.
const AHEAD: u32 = 8_192;

const WIDE: Rules = Rules {
    requests_per_minute: Some(60_000_000),
    concurrent_requests: Some(1_000_000),
    daily_token_budget: Some(1_000_000_000),
    weekly_token_budget: Some(1_000_000_000),
};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let soaked = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(SOAKED);
    // A budget's first sight asks the store, with a time limit, which wants a timer.
    let entered = runtime.enter();
    limits();
    drop(entered);
    runtime.block_on(Box::pin(recording()));
    if let Some(url) = std::env::args().find(|argument| argument.starts_with("postgres")) {
        for writers in [1, WRITERS] {
            runtime.block_on(Box::pin(recording_together(&url, writers)));
        }
    }
    runtime.block_on(Box::pin(soak(soaked)));
}

fn key(number: u32) -> Option<KeyId> {
    Some(KeyId(Uuid::from_u128(2 + u128::from(number) % KEYS)))
}

fn ask(number: u32, now: DateTime<Utc>) -> Ask {
    Ask { account: ACCOUNT, key: key(number), key_rules: WIDE, account_rules: WIDE, now }
}

fn limiter() -> RateLimiter {
    RateLimiter::in_process(|_, _| std::future::ready(Ok(0)))
}

/// Admits and lets go; every limit of key and account is counted.
fn admit(limiter: &RateLimiter, number: u32, now: DateTime<Utc>) {
    drop(limiter.admit(&ask(number, now)).now_or_never().expect("nothing is waited for").unwrap());
}

fn limits() {
    let (limiter, start) = (limiter(), SystemClock.now());
    let (began, used) = (Instant::now(), processor_time());
    for number in 0..ADMITTED {
        admit(&limiter, number, start + TimeDelta::microseconds(i64::from(number)));
    }
    report("limits", ADMITTED, began.elapsed(), processor_time() - used);
}

async fn recording() {
    let books = Books::open().await;
    let (began, used) = (Instant::now(), processor_time());
    for number in 0..RECORDED {
        books.record(number).await;
    }
    books.close(RECORDED).await;
    report("recording", RECORDED, began.elapsed(), processor_time() - used);
}

/// What a PostgreSQL takes from so many writers: records a second, all written when the clock stops.
async fn recording_together(url: &str, writers: u32) {
    let mut all = Vec::new();
    for _ in 0..writers {
        all.push(Books::at(url).await);
    }
    let (each, began) = (RECORDED / writers, Instant::now());
    let recording = all.into_iter().map(|books| async move {
        for number in 0..each {
            books.record(number).await;
        }
        books.close(each).await;
    });
    futures_util::future::join_all(recording).await;
    let second = f64::from(each * writers) / began.elapsed().as_secs_f64();
    println!("PostgreSQL  {second:>8.0} records a second from {writers} writers");
}

async fn soak(requests: u32) {
    let (books, limiter) = (Books::open().await, limiter());
    println!("{:>12}{:>16}{:>12}", "requests", "resident KiB", "subjects");
    for number in 0..requests {
        if number.is_multiple_of((requests / LINES).max(1)) {
            println!("{number:>12}{:>16}{:>12}", resident_kib(), limiter.stats().subjects);
        }
        let now = SystemClock.now();
        drop(limiter.admit(&ask(number, now)).await.unwrap());
        limiter.saved(ACCOUNT, key(number), now, 3);
        books.record(number).await;
    }
    books.close(requests).await;
    println!("{requests:>12}{:>16}{:>12}", resident_kib(), limiter.stats().subjects);
}

/// A recorder, its writer, and the SQLite file that it writes to.
struct Books {
    recorder: UsageRecorder,
    writer: JoinHandle<()>,
    written: Arc<AtomicU64>,
    stop: CancellationToken,
    store: Store,
    /// Ids count up from here, apart from those of every other run: a record with an id that is there is not written.
    first_id: u128,
    upstream: Arc<str>,
    _folder: Option<tempfile::TempDir>,
}

impl Books {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut books = Self::at(&format!("sqlite://{}", folder.path().join("bench.db").display())).await;
        books._folder = Some(folder);
        books
    }

    async fn at(url: &str) -> Self {
        let text = format!("[store]\nurl = \"{url}\"");
        let config = Config::from_toml(&text, &Environment::default()).unwrap().config;
        let store = Store::connect(&config.store, Arc::new(SystemClock)).await.unwrap();
        let (written, sink) = (Arc::new(AtomicU64::new(0)), store.clone());
        let parts = usage::Parts {
            bounds: Bounds::default(),
            keeps_records: true,
            tokenizer: Arc::new(Tokenizer::new()),
            clock: Arc::new(SystemClock),
            on_counted: Box::new(|_, _| {}),
        };
        let counter = Arc::clone(&written);
        let (recorder, writer) = usage::open(parts, move |batch: Arc<Batch>| {
            let (store, counter) = (sink.clone(), Arc::clone(&counter));
            async move {
                let done = store.usage().write(&batch).await;
                if done.is_ok() {
                    counter.fetch_add(batch.records.len() as u64, Ordering::Relaxed);
                }
                done
            }
        });
        let stop = CancellationToken::new();
        let writer = tokio_util::task::TaskTracker::new().spawn(writer.run(stop.clone()));
        let (first_id, upstream) = (Uuid::now_v7().as_u128(), "openai".into());
        Self { recorder, writer, written, stop, store, first_id, upstream, _folder: None }
    }

    /// Records a request as chat does, and waits where the writer is far behind, which chat never does.
    async fn record(&self, number: u32) {
        while number.saturating_sub(AHEAD) as u64 > self.written.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let id = RequestId::from_bytes(Uuid::from_u128(self.first_id + u128::from(number)).into_bytes());
        let record = Record::begun(id, ACCOUNT, key(number), SystemClock.now());
        let mut pending = self.recorder.begin(record);
        pending.policy(1);
        pending.asked(Some("gpt-4o"), true);
        pending.upstream(&self.upstream);
        pending.tools(ToolTally { input: 32, denied: 2, would_deny: 0, output: 8 });
        pending.sent();
        pending.status(200);
        pending.piece();
        pending.called(1, 0);
        pending.tokens(Tokens { prompt: Some(900), completion: Some(80), cached: None });
        pending.end(Ended::Complete);
    }

    async fn close(self, sent: u32) {
        self.stop.cancel();
        self.writer.await.unwrap();
        assert_eq!(self.recorder.dropped(), 0);
        assert_eq!(self.written.load(Ordering::Relaxed), u64::from(sent), "none is lost");
        self.store.close().await;
    }
}

fn report(what: &str, times: u32, wall: Duration, processor: Duration) {
    let each = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(times);
    println!(
        "{what:12}{:>8.2} µs of processor time a request, {:.2} µs of time",
        each(processor),
        each(wall)
    );
}

/// What the process used so far, in the kernel and out of it.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name of the process may hold blanks, and ends with the last bracket.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
