//! Usage and limits: the writer that drains the recorder, the task that deletes what is too old (calls
//! that were to be made once as well), and those who are
//! told of each record: the limiter, of what was saved, the figures and the exporter of spans.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    clock::SharedClock,
    config::{self, Config},
    domain::usage::{Batch, Record},
    limits::{Days, RateLimiter, SeedError, Subject, SubjectId, Timing},
    store::{Of, REMEMBERED, Store, StoreError},
    telemetry::{
        Metrics,
        otel::{self, LostSpans, Spans},
    },
    tokens::Tokenizer,
    usage::{self, OnCounted, UsageRecorder},
};

/// How often old records are looked for.
const EVERY: Duration = Duration::from_secs(60 * 60);
/// How many are deleted in one transaction: some 50 ms, which writers may have to wait.
const AT_ONCE: u32 = 5_000;
/// The pause between two such transactions, so that whoever waits gets a turn.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a process that writes nothing is remembered: longer than a batch can wait for the store.
const WRITERS: TimeDelta = TimeDelta::days(7);

/// Starts the writer of usage, and gives the handle that feeds it.
pub(super) fn recorder(
    config: &config::Usage,
    (store, clock): (&Store, &SharedClock),
    (tokenizer, on_counted): (&Arc<Tokenizer>, OnCounted),
    (tasks, stop): (&TaskTracker, CancellationToken),
) -> UsageRecorder {
    // While the first provider works on a request that lost tools, and not when its record waits for it: a process that is
    // killed then would lose more than it may.
    let (warming, until) = (Arc::clone(tokenizer), stop.clone());
    tasks.spawn(async move {
        if until.run_until_cancelled(warming.expected()).await.is_some() {
            let _ = tokio::task::spawn_blocking(move || warming.warm_up()).await;
        }
    });
    let parts = usage::Parts {
        bounds: usage::Bounds::default(),
        keeps_records: config.records,
        tokenizer: Arc::clone(tokenizer),
        clock: Arc::clone(clock),
        on_counted,
    };
    let sink = store.clone();
    let (recorder, writer) = usage::open(parts, move |batch: Arc<Batch>| {
        let store = sink.clone();
        async move { store.usage().write(&batch).await }
    });
    tasks.spawn(writer.run(stop));
    recorder
}

/// What is done with each record once its tokens are counted.
pub(super) fn on_counted(limiter: &RateLimiter, metrics: &Arc<Metrics>, spans: Option<Spans>) -> OnCounted {
    let (limiter, metrics) = (limiter.clone(), Arc::clone(metrics));
    Box::new(move |record: &Record, saved| {
        // First, since it decides about requests; the others only tell.
        limiter.saved(record.account_id, record.key_id, record.at, saved);
        metrics.record(record);
        if let Some(spans) = &spans {
            spans.offer(record);
        }
    })
}

/// Who takes spans, if they are configured. The task that sends them ends by itself, once the writer of usage, which
/// gives them, has ended.
pub(super) fn spans(config: &Config, tasks: &TaskTracker) -> anyhow::Result<(Option<Spans>, LostSpans)> {
    let Some(config) = &config.otel else { return Ok((None, LostSpans::default())) };
    let (spans, exporter) = otel::open(config)?;
    tasks.spawn(exporter.run());
    let lost = spans.lost();
    Ok((Some(spans), lost))
}

/// The limiter of chat requests: shared through Redis where that is configured, else of this process.
pub(super) async fn limiter(
    config: &Config,
    (store, clock): (&Store, &SharedClock),
    (tasks, stop): (&TaskTracker, CancellationToken),
) -> anyhow::Result<RateLimiter> {
    let store = store.clone();
    let seed = move |subject: SubjectId, days: Days| {
        let store = store.clone();
        async move { saved(&store, subject, days).await.map_err(SeedError::from) }
    };
    let Some(redis) = &config.redis else { return Ok(RateLimiter::in_process(seed)) };
    let (limiter, mut upkeep) =
        RateLimiter::shared(&redis.url, (Timing::default(), Arc::clone(clock)), seed)?;
    upkeep.connect().await;
    tasks.spawn(upkeep.run(stop));
    Ok(limiter)
}

/// The tokens that pruning has saved a subject on these days.
async fn saved(store: &Store, subject: SubjectId, days: Days) -> Result<i64, StoreError> {
    let of = match subject.subject {
        Subject::Key(key) => Of::Key(key),
        Subject::NoKey => Of::NoKey,
        Subject::Account => Of::Account,
    };
    let after = days.to.succ_opt().unwrap_or(days.to);
    Ok(store.usage().totals(subject.account, of, days.from, after).await?.tokens_saved_pruning)
}

/// Deletes records that are older than configured, now and every hour. Never ends.
pub(super) async fn forget(store: Store, clock: SharedClock, config: config::Usage) {
    loop {
        if let Err(error) = forget_once(&store, &clock, &config).await {
            tracing::warn!(%error, "old records could not be deleted and are tried again in an hour");
        }
        tokio::time::sleep(EVERY).await;
    }
}

async fn forget_once(store: &Store, clock: &SharedClock, config: &config::Usage) -> Result<(), StoreError> {
    let (now, mut deleted) = (clock.now(), 0);
    loop {
        let some = store.usage().forget(now - config.retention, AT_ONCE).await?;
        if some == 0 {
            break;
        }
        deleted += some;
        tokio::time::sleep(PAUSE).await;
    }
    store.usage().forget_writers(now - WRITERS).await?;
    while store.keys().forget_calls(now - REMEMBERED, AT_ONCE).await? > 0 {
        tokio::time::sleep(PAUSE).await;
    }
    if deleted > 0 {
        tracing::info!(deleted, "old records were deleted");
    }
    Ok(())
}
