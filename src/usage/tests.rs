//! The recorder, the writer and the records of requests together, at a quicker pace than the real one.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use super::{Bounds, Parts, Pending, Spared, UsageRecorder, writer::Pace};
use crate::{
    clock::ManualClock,
    domain::{
        chat_request::ToolSet,
        key::{AccountId, Generation, KeyId},
        request_id::RequestId,
        usage::{Batch, Ended, Latency, Record, Routing, Saved, ToolTally, Totals},
    },
    tokens::Tokenizer,
};

const ACCOUNT: AccountId = AccountId(Uuid::from_u128(1));
const KEY: KeyId = KeyId(Uuid::from_u128(2));
const SECRET: Generation = Generation { key_id: KEY, number: 1 };
const OTHER_KEY: KeyId = KeyId(Uuid::from_u128(3));
const WEATHER: &str = r#"{"type":"function","function":{"name":"get_weather"}}"#;
const EMPTY: &str = r#"{"name":"e"}"#;
const WORDY: &str = r#"{"name":"a","description":"Does a thing well. And a lot more than that."}"#;

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_772_366_400, 0).unwrap()
}

const PACE: Pace = Pace {
    gather: Duration::from_millis(1),
    write: Duration::from_millis(5),
    pause: Duration::from_millis(5),
    touch: Duration::from_millis(100),
    longest_pause: Duration::from_millis(40),
};

/// A store that remembers its batches, after failing as often as it is told to.
#[derive(Clone, Default)]
struct Ledger {
    batches: Arc<Mutex<Vec<Arc<Batch>>>>,
    /// What was offered and refused.
    refused: Arc<Mutex<Vec<Arc<Batch>>>>,
    failures: Arc<AtomicUsize>,
    panics: Arc<AtomicUsize>,
    /// Held by a test, it makes writes hang.
    gate: Arc<tokio::sync::Mutex<()>>,
}

impl Ledger {
    fn written(&self) -> Vec<Batch> {
        self.batches.lock().unwrap().iter().map(|batch| Batch::clone(batch)).collect()
    }

    fn records(&self) -> Vec<Record> {
        self.written().into_iter().flat_map(|batch| batch.records).collect()
    }

    fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for totals in self.written().iter().flat_map(|batch| &batch.totals).map(|row| row.totals) {
            sum += totals;
        }
        sum
    }

    async fn write(self, batch: Arc<Batch>) -> Result<(), &'static str> {
        drop(self.gate.lock().await);
        let once = |left: usize| left.checked_sub(1);
        assert!(self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, once).is_err(), "told to panic");
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, once).is_ok() {
            self.refused.lock().unwrap().push(batch);
            return Err("the store is away");
        }
        self.batches.lock().unwrap().push(batch);
        Ok(())
    }
}

/// A recorder whose writer runs.
struct Bookkeeping {
    recorder: UsageRecorder,
    clock: Arc<ManualClock>,
    /// What was told of each record: its id, and what pruning saved.
    told: Arc<Mutex<Vec<(RequestId, u64)>>>,
    ledger: Ledger,
    tasks: TaskTracker,
    cancellation: CancellationToken,
}

impl Bookkeeping {
    fn start() -> Self {
        Self::with(Bounds::default(), Ledger::default())
    }

    fn with(bounds: Bounds, ledger: Ledger) -> Self {
        Self::keeping(true, bounds, ledger)
    }

    fn keeping(keeps_records: bool, bounds: Bounds, ledger: Ledger) -> Self {
        let (tasks, cancellation) = (TaskTracker::new(), CancellationToken::new());
        let store = ledger.clone();
        let sink = move |batch| store.clone().write(batch);
        let (clock, told) = (Arc::new(ManualClock::at(noon())), Arc::new(Mutex::new(Vec::new())));
        let telling = Arc::clone(&told);
        let parts = Parts {
            bounds,
            keeps_records,
            tokenizer: Arc::new(Tokenizer::new()),
            clock: clock.clone(),
            on_counted: Box::new(move |record, saved| telling.lock().unwrap().push((record.id, saved))),
        };
        let (recorder, writer) = super::open(parts, sink);
        tasks.spawn(writer.paced(PACE).run(cancellation.clone()));
        tasks.close();
        Self { recorder, clock, told, ledger, tasks, cancellation }
    }

    fn begin(&self) -> Pending {
        self.recorder.begin(begun(Some(KEY), noon()))
    }

    /// Waits until so many requests are written.
    async fn wait_for(&self, complete: i64) {
        let written = async {
            while self.ledger.totals().complete < complete {
                tokio::time::sleep(PACE.write).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), written).await.expect("it is written in the end");
    }

    async fn stop(&self) {
        self.cancellation.cancel();
        self.tasks.wait().await;
    }
}

/// A record with an id of its own.
fn begun(key_id: Option<KeyId>, at: DateTime<Utc>) -> Record {
    Record::begun(RequestId::generate(at, &mut rand::rng()), ACCOUNT, key_id, at)
}

fn tally() -> ToolTally {
    ToolTally { input: 3, denied: 1, would_deny: 0, output: 2 }
}

#[tokio::test]
async fn a_request_leaves_exactly_one_record_however_it_ends() {
    let books = Bookkeeping::start();
    for ended in [Ended::Complete, Ended::Client, Ended::Upstream, Ended::Error] {
        books.begin().end(ended);
    }
    drop(books.begin());
    let request = books.begin();
    let panicked = std::panic::catch_unwind(AssertUnwindSafe(move || {
        let _request = request;
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    books.stop().await;
    let expected = Totals { complete: 1, client: 2, upstream: 1, error: 2, ..Totals::default() };
    assert_eq!(books.ledger.totals(), expected);
}

#[tokio::test]
async fn a_future_that_is_dropped_halfway_counts_as_left_by_the_client() {
    let books = Bookkeeping::start();
    let request = books.begin();
    let answer = async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        request.end(Ended::Complete);
    };
    assert!(tokio::time::timeout(Duration::from_millis(10), answer).await.is_err());
    books.stop().await;
    assert_eq!(books.ledger.totals(), Totals { client: 1, ..Totals::default() });
}

#[tokio::test]
async fn records_are_added_up_by_key_and_day_and_their_tokens_counted() {
    let books = Bookkeeping::start();
    let next_day = noon() + TimeDelta::hours(12);
    for (key, at) in [(KEY, noon()), (KEY, noon()), (OTHER_KEY, noon()), (KEY, next_day)] {
        let mut request = books.recorder.begin(begun(Some(key), at));
        request.tools(tally());
        request.spared(Spared { by_lists: ToolSet::of(&[WEATHER]), ..Spared::default() });
        request.end(Ended::Complete);
    }
    books.recorder.begin(begun(None, noon())).end(Ended::Error);
    books.stop().await;

    let rows: Vec<_> = books.ledger.written().into_iter().flat_map(|batch| batch.totals).collect();
    let places: Vec<_> = rows.iter().map(|row| (row.key_id, row.day)).collect();
    let (today, tomorrow) = (noon().date_naive(), next_day.date_naive());
    assert_eq!(places, [(None, today), (Some(KEY), today), (Some(KEY), tomorrow), (Some(OTHER_KEY), today)]);
    let tokens = i64::from(Tokenizer::new().count(WEATHER.as_bytes()));
    let twice = Totals {
        complete: 2,
        tools_input: 6,
        tools_denied: 2,
        tools_output: 4,
        tokens_saved: 2 * tokens,
        tokens_saved_lists: 2 * tokens,
        ..Totals::default()
    };
    assert_eq!(rows[1].totals, twice);
    assert_eq!(books.recorder.uncounted(), 0);
}

#[tokio::test]
async fn what_is_recorded_is_written_without_a_stop_and_only_once() {
    let books = Bookkeeping::start();
    tokio::time::sleep(4 * PACE.write).await;
    for sent in 1..=3 {
        books.begin().end(Ended::Complete);
        books.wait_for(sent).await;
    }
    tokio::time::sleep(4 * PACE.write).await;
    assert_eq!(books.ledger.written().len(), 3, "nothing is written when there is nothing to write");
}

#[tokio::test]
async fn what_overflows_is_counted_and_nothing_waits() {
    let bounds = Bounds { records: 4, ..Bounds::default() };
    let books = Bookkeeping::with(bounds, Ledger::default());
    for _ in 0..10 {
        books.begin().end(Ended::Complete);
    }
    assert_eq!(books.recorder.dropped(), 6);
    books.stop().await;
    assert_eq!(books.ledger.totals().complete, 4);
    books.begin().end(Ended::Complete);
    assert_eq!(books.recorder.dropped(), 7, "after the stop");
}

/// The bytes that a set of this one tool holds.
fn held(tool: &str) -> usize {
    ToolSet::held([&ToolSet::of(&[tool]), &ToolSet::default(), &ToolSet::default()])
}

#[tokio::test]
async fn definitions_beyond_the_byte_bound_are_not_counted_but_the_request_is() {
    let bounds = Bounds { bytes: held(WEATHER), ..Bounds::default() };
    let books = Bookkeeping::with(bounds, Ledger::default());
    for _ in 0..3 {
        let mut request = books.begin();
        request.tools(tally());
        request.spared(Spared { by_lists: ToolSet::of(&[WEATHER]), ..Spared::default() });
        request.end(Ended::Complete);
    }
    assert_eq!(books.recorder.uncounted(), 2);
    books.stop().await;
    let totals = books.ledger.totals();
    assert_eq!((totals.complete, totals.tools_denied), (3, 3));
    assert_eq!(totals.tokens_saved, i64::from(Tokenizer::new().count(WEATHER.as_bytes())));
}

#[tokio::test]
async fn bytes_are_given_back_when_their_records_are_done_or_refused() {
    let bounds = Bounds { records: 1, bytes: 2 * held(WEATHER), ..Bounds::default() };
    let clock = Arc::new(ManualClock::at(noon()));
    let (recorder, mut queue, shared) = UsageRecorder::open(bounds, clock);
    for _ in 0..3 {
        let mut request = recorder.begin(begun(None, noon()));
        request.tools(tally());
        request.spared(Spared { by_lists: ToolSet::of(&[WEATHER]), ..Spared::default() });
        request.end(Ended::Complete);
    }
    assert_eq!((recorder.dropped(), recorder.uncounted()), (2, 0));
    assert_eq!(shared.held(), held(WEATHER));
    drop(queue.recv().await);
    assert_eq!(shared.held(), 0);
}

#[tokio::test]
async fn a_clean_stop_loses_nothing() {
    let books = Bookkeeping::start();
    for _ in 0..5_000 {
        let mut request = books.begin();
        request.tools(tally());
        request.spared(Spared { by_lists: ToolSet::of(&[WEATHER]), ..Spared::default() });
        request.end(Ended::Complete);
    }
    books.recorder.used(SECRET, noon());
    books.stop().await;
    assert_eq!(books.ledger.totals().complete, 5_000);
    assert_eq!(books.ledger.written().last().unwrap().used, [(SECRET, noon())]);
}

#[tokio::test]
async fn a_store_that_is_away_gets_every_sum_once_when_it_is_back() {
    let ledger = Ledger { failures: Arc::new(AtomicUsize::new(6)), ..Ledger::default() };
    let books = Bookkeeping::with(Bounds { records: 8, ..Bounds::default() }, ledger);
    for _ in 0..100 {
        books.begin().end(Ended::Complete);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(books.recorder.dropped(), 0, "the queue is emptied while the store is away");
    assert_eq!(books.recorder.unlisted(), 0);
    books.wait_for(100).await;
    books.stop().await;
    assert_eq!(books.ledger.totals().complete, 100);
    assert_eq!(books.ledger.failures.load(Ordering::SeqCst), 0);
    let refused = books.ledger.refused.lock().unwrap().clone();
    let written = books.ledger.written();
    assert!(refused.iter().all(|batch| **batch == written[0]), "offered again as it was: {refused:?}");
    assert!(written[1].totals[0].totals.complete > 10, "what comes meanwhile is joined");
    let numbers: Vec<_> = written.iter().map(|batch| (batch.writer, batch.number)).collect();
    assert!(
        numbers.is_sorted() && numbers[0].0 == numbers[1].0 && numbers[0].1 < numbers[1].1,
        "{numbers:?}"
    );
}

#[tokio::test]
async fn a_sink_that_panics_is_a_write_that_failed() {
    let ledger = Ledger { panics: Arc::new(AtomicUsize::new(2)), ..Ledger::default() };
    let books = Bookkeeping::with(Bounds::default(), ledger);
    books.begin().end(Ended::Complete);
    books.wait_for(1).await;
    books.stop().await;
    assert_eq!(books.ledger.totals().complete, 1);
}

#[tokio::test]
async fn a_write_that_hangs_does_not_stop_the_queue_from_being_emptied() {
    let ledger = Ledger::default();
    let gate = Arc::clone(&ledger.gate).lock_owned().await;
    let books = Bookkeeping::with(Bounds { records: 8, ..Bounds::default() }, ledger);
    for _ in 0..100 {
        books.begin().end(Ended::Complete);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((books.recorder.dropped(), books.ledger.written().len()), (0, 0));
    drop(gate);
    books.stop().await;
    assert_eq!(books.ledger.totals().complete, 100);
}

#[tokio::test(start_paused = true)]
async fn a_stop_while_the_store_is_away_ends_with_the_last_attempt() {
    let ledger = Ledger { failures: Arc::new(AtomicUsize::new(usize::MAX)), ..Ledger::default() };
    let books = Bookkeeping::with(Bounds::default(), ledger);
    books.begin().end(Ended::Complete);
    let began = tokio::time::Instant::now();
    books.stop().await;
    // Five attempts have four pauses between them, of 5, 10, 20 and 40 ms.
    assert!(began.elapsed() < Duration::from_millis(90), "{:?}", began.elapsed());
    assert!(books.ledger.written().is_empty());
    assert_eq!(books.recorder.dropped(), 1, "and says what is lost");
}

#[tokio::test]
async fn the_last_use_of_a_key_is_written_at_a_slower_pace_and_never_goes_back() {
    let books = Bookkeeping::start();
    let begun = tokio::time::Instant::now();
    for i in 0..100 {
        books.recorder.used(SECRET, noon() + TimeDelta::milliseconds(i));
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    let touches: Vec<_> = books.ledger.written().into_iter().flat_map(|batch| batch.used).collect();
    let most = begun.elapsed().div_duration_f64(PACE.touch) as usize + 1;
    assert!((1..=most).contains(&touches.len()), "{} of {most}", touches.len());
    assert!(touches.is_sorted());
    // A clock that steps back takes no use back.
    books.recorder.used(SECRET, noon() + TimeDelta::hours(1));
    books.recorder.used(SECRET, noon());
    books.stop().await;
    assert_eq!(books.ledger.written().last().unwrap().used, [(SECRET, noon() + TimeDelta::hours(1))]);
}

#[tokio::test]
async fn two_secrets_of_a_key_are_in_use_each_by_itself() {
    let books = Bookkeeping::start();
    let older = noon() - TimeDelta::hours(1);
    let newer = Generation { number: 2, ..SECRET };
    books.recorder.used(newer, noon());
    books.recorder.used(SECRET, older);
    books.stop().await;
    assert_eq!(books.ledger.written().last().unwrap().used, [(SECRET, older), (newer, noon())]);
}

#[tokio::test]
async fn the_writer_ends_when_the_last_recorder_is_gone() {
    let Bookkeeping { recorder, ledger, tasks, .. } = Bookkeeping::start();
    recorder.begin(begun(Some(KEY), noon())).end(Ended::Complete);
    drop(recorder);
    tasks.wait().await;
    assert_eq!(ledger.totals().complete, 1);
}

#[tokio::test]
async fn beyond_the_records_that_may_wait_the_sums_are_kept() {
    let ledger = Ledger::default();
    let gate = Arc::clone(&ledger.gate).lock_owned().await;
    let books = Bookkeeping::with(Bounds { unwritten: 10, ..Bounds::default() }, ledger);
    for _ in 0..100 {
        books.begin().end(Ended::Complete);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(gate);
    books.stop().await;
    let (listed, unlisted) = (books.ledger.records().len() as u64, books.recorder.unlisted());
    assert_eq!((books.ledger.totals().complete, listed + unlisted), (100, 100));
    assert!((10..=20).contains(&listed), "{listed}: the batch that hangs, and the one that waits");
    assert_eq!(books.recorder.dropped(), 0);
}

#[tokio::test]
async fn without_records_the_sums_are_all_that_is_written() {
    let books = Bookkeeping::keeping(false, Bounds::default(), Ledger::default());
    for _ in 0..3 {
        books.begin().end(Ended::Complete);
    }
    books.begin().end(Ended::Error);
    books.stop().await;
    let totals = books.ledger.totals();
    assert_eq!((totals.complete, totals.requests(), books.ledger.records()), (3, 4, Vec::new()));
    assert_eq!(books.told.lock().unwrap().len(), 4, "limits and figures count them all the same");
    assert_eq!((books.recorder.unlisted(), books.recorder.dropped()), (0, 0), "nothing was lost");
}

#[tokio::test]
async fn a_record_says_what_was_noted_and_its_latencies_add_up() {
    let books = Bookkeeping::start();
    let advance = |micros| books.clock.advance(TimeDelta::microseconds(micros));
    let mut request = books.begin();
    request.asked(Some(&"m".repeat(300)), true);
    request.session("s");
    request.policy(3);
    request.upstream(&"openai".into());
    let [by_lists, by_pruning, slimmed] = [WEATHER, EMPTY, WORDY].map(|json| ToolSet::of(&[json]));
    request.tools(tally());
    request.spared(Spared { by_lists, by_pruning, slimmed });
    request.routing(Some(Routing::Keyword));
    advance(5);
    request.sent();
    request.status(200);
    advance(100);
    request.piece();
    advance(1_000);
    request.piece();
    request.missed();
    request.called(2, 1);
    request.end(Ended::Complete);
    books.stop().await;

    let record = books.ledger.records().remove(0);
    let texts =
        [record.model.as_deref(), record.session.as_deref(), record.upstream.as_deref()].map(Option::unwrap);
    assert_eq!(texts, ["m".repeat(256).as_str(), "s", "openai"]);
    let latency = Latency { total_us: 1_105, upstream_us: Some(1_100), own_us: 5, first_byte_us: Some(105) };
    assert_eq!(record.latency, latency);
    let tokenizer = Tokenizer::new();
    let tokens = |json: &str| i64::from(tokenizer.count(json.as_bytes()));
    let cut = tokens(WORDY) - tokens(r#"{"name":"a","description":"Does a thing well."}"#);
    let pruning = tokens(EMPTY) + cut;
    assert_eq!(record.saved, Saved { pruning, lists: tokens(WEATHER) });
    assert_eq!((record.status, record.called, record.recall_misses), (Some(200), 2, 2));
    assert_eq!((record.policy_revision, record.routing), (Some(3), Some(Routing::Keyword)));
    assert_eq!(*books.told.lock().unwrap(), [(record.id, pruning.unsigned_abs())]);
    assert_eq!(Totals::from(&record), books.ledger.totals());
}

#[tokio::test]
async fn a_clock_that_steps_back_makes_no_negative_latency() {
    let books = Bookkeeping::start();
    let mut request = books.begin();
    request.sent();
    books.clock.advance(TimeDelta::seconds(-5));
    request.piece();
    request.end(Ended::Complete);
    books.stop().await;
    let latency = Latency { upstream_us: Some(0), first_byte_us: Some(0), ..Latency::default() };
    assert_eq!(books.ledger.records()[0].latency, latency);
}
