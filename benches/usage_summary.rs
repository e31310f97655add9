//! What a month's summary costs over a thousand requests and over a million: it must be the same.
//!
//! `cargo bench --bench usage_summary`. The store is a SQLite file in a temporary folder, filled through the same
//! writes as a server's; a million records take a minute or two, and about half a gigabyte while it runs. The
//! lists of requests are timed beside it, the first page and one deep within.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]
#![allow(clippy::print_stdout, reason = "its figures are what it is for")]

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use orqen::{
    clock::SystemClock,
    config::{Config, Environment},
    domain::{
        key::{AccountId, KeyId},
        request_id::RequestId,
        usage::{Batch, DayTotals, Ended, Record, ToolTally, Totals},
    },
    store::{Of, RecordFilter, RecordPage, Store},
};
use uuid::Uuid;

const FEW: u32 = 1_000;
const MANY: u32 = 1_000_000;
const BATCH: u32 = 10_000;
const KEYS: u128 = 10;
const DAYS: u32 = 30;
const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));
/// How often each call is timed; the median counts.
const TIMES: usize = 201;

struct Figures {
    summary: Duration,
    daily: Duration,
    first_page: Duration,
    deep_page: Duration,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut figures = Vec::new();
    for records in [FEW, MANY] {
        let folder = tempfile::tempdir().unwrap();
        figures.push(runtime.block_on(Box::pin(measured(folder.path(), records))));
    }
    println!("{:24}{FEW:>12}{MANY:>12}{:>8}", "records", "ratio");
    for (name, of) in [
        ("summary", (|figures: &Figures| figures.summary) as fn(&Figures) -> Duration),
        ("daily", |figures| figures.daily),
        ("requests, first page", |figures| figures.first_page),
        ("requests, deep page", |figures| figures.deep_page),
    ] {
        let (few, many) = (of(&figures[0]), of(&figures[1]));
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!("{name:24}{:>12}{:>12}{ratio:>8.2}", format!("{few:.1?}"), format!("{many:.1?}"));
    }
}

fn first_day() -> NaiveDate {
    "2026-01-01".parse().unwrap()
}

/// The time of a record: all of them spread evenly over the days.
fn time_of(number: u32, records: u32) -> DateTime<Utc> {
    let start = first_day().and_time(chrono::NaiveTime::MIN).and_utc();
    let span = i64::from(DAYS) * 86_400_000_000;
    start + TimeDelta::microseconds(span / i64::from(records) * i64::from(number))
}

fn record(number: u32, records: u32) -> Record {
    let id = RequestId::from_bytes(Uuid::from_u128(u128::from(number) << 64 | 7).into_bytes());
    let key = KeyId(Uuid::from_u128(2 + u128::from(number) % KEYS));
    Record {
        model: Some("gpt-4o".into()),
        upstream: Some("openai".into()),
        session: (number.is_multiple_of(4)).then(|| format!("session-{}", number / 40)),
        status: Some(200),
        ended: Ended::Complete,
        tools: ToolTally { input: 32, denied: 2, would_deny: 0, output: 8 },
        ..Record::begun(id, ACCOUNT, Some(key), time_of(number, records))
    }
}

async fn measured(folder: &std::path::Path, records: u32) -> Figures {
    let text = format!("[store]\nurl = \"sqlite://{}\"", folder.join("bench.db").display());
    let config = Config::from_toml(&text, &Environment::default()).unwrap().config;
    let store = Store::connect(&config.store, Arc::new(SystemClock)).await.unwrap();
    let began = Instant::now();
    fill(&store, records).await;
    println!("{records} records written in {:.1?}", began.elapsed());

    let (from, to) = (first_day(), first_day() + Days::new(u64::from(DAYS) + 1));
    let usage = store.usage();
    let any = RecordFilter::default();
    let middle = record(records / 2, records);
    let page = |before| RecordPage { size: 100, before };
    let figures = Figures {
        summary: median(async || {
            black_box(usage.totals(ACCOUNT, Of::Account, from, to).await.unwrap());
        })
        .await,
        daily: median(async || drop(usage.daily(ACCOUNT, from, to).await.unwrap())).await,
        first_page: median(async || drop(usage.requests(ACCOUNT, &any, page(None)).await.unwrap())).await,
        deep_page: median(async || {
            let before = Some((middle.at, middle.id));
            drop(usage.requests(ACCOUNT, &any, page(before)).await.unwrap());
        })
        .await,
    };
    let totals = usage.totals(ACCOUNT, Of::Account, from, to).await.unwrap();
    assert_eq!(totals.complete, i64::from(records));
    store.close().await;
    figures
}

async fn fill(store: &Store, records: u32) {
    let writer = Uuid::now_v7();
    for (number, start) in (1..).zip((0..records).step_by(BATCH as usize)) {
        let records: Vec<_> =
            (start..records.min(start + BATCH)).map(|number| record(number, records)).collect();
        let totals = records.iter().map(|record| DayTotals {
            account_id: record.account_id,
            key_id: record.key_id,
            day: record.at.date_naive(),
            totals: Totals::from(record),
        });
        let batch = Batch { writer, number, totals: totals.collect(), records, used: Vec::new() };
        store.usage().write(&batch).await.unwrap();
    }
}

async fn median(call: impl AsyncFn()) -> Duration {
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let began = Instant::now();
        call().await;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times[TIMES / 2]
}
