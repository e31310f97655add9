//! Usage by day and by request, one writer at a time.

use chrono::{Days, NaiveDate, TimeDelta};

use super::*;
use crate::{
    domain::{
        request_id::RequestId,
        usage::{Batch, DayTotals, Ended, Latency, Record, Routing, Saved, Tokens, ToolTally, Totals},
    },
    store::{Of, RecordFilter, RecordPage},
};

pub(super) fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Figures that differ from each other, so that no two can be mixed up.
pub(super) fn figures(times: i64) -> Totals {
    let mut figures = Totals::default().figures();
    for (place, figure) in (1..).zip(&mut figures) {
        *figure = (place * place + 1) * times;
    }
    Totals::from_figures(figures)
}

/// A batch of a process that writes no other.
pub(super) fn batch(totals: Vec<DayTotals>, records: Vec<Record>) -> Batch {
    Batch { writer: Uuid::now_v7(), number: 1, records, totals, used: Vec::new() }
}

#[tokio::test]
async fn figures_add_up_by_key_by_account_and_by_day() {
    on_every_store(async |world| {
        let usage = world.store.usage();
        let account = AccountId(Uuid::now_v7());
        let (one, two) = (KeyId(Uuid::now_v7()), KeyId(Uuid::now_v7()));
        let entry = |key_id, date, times| DayTotals {
            account_id: account,
            key_id,
            day: day(date),
            totals: figures(times),
        };
        let foreign = DayTotals { account_id: AccountId(Uuid::now_v7()), ..entry(None, "2026-02-01", 1_000) };
        let (from, to) = (day("2026-02-01"), day("2026-03-01"));
        assert_eq!(usage.totals(account, Of::Account, from, to).await.unwrap(), Totals::default());
        usage.write(&batch(Vec::new(), Vec::new())).await.unwrap();
        let rows = vec![
            entry(Some(one), "2026-02-01", 1),
            entry(Some(two), "2026-02-28", 10),
            entry(Some(one), "2026-02-01", 1),
            entry(None, "2026-02-10", 100),
            entry(Some(one), "2026-01-31", 7),
            entry(Some(one), "2026-03-01", 7),
            foreign,
        ];
        usage.write(&batch(rows.clone(), Vec::new())).await.unwrap();
        assert_eq!(usage.totals(account, Of::Account, from, to).await.unwrap(), figures(112));
        assert_eq!(usage.totals(account, Of::Key(one), from, to).await.unwrap(), figures(2));
        usage.write(&batch(rows[..2].to_vec(), Vec::new())).await.unwrap();
        assert_eq!(usage.totals(account, Of::Key(one), from, to).await.unwrap(), figures(3));
        assert_eq!(usage.totals(account, Of::Key(two), from, to).await.unwrap(), figures(20));
        assert_eq!(usage.totals(account, Of::NoKey, from, to).await.unwrap(), figures(100));
        assert_eq!(usage.totals(account, Of::Account, from, from).await.unwrap(), Totals::default());

        let days = usage.daily(account, from, to).await.unwrap();
        let expected = [("2026-02-01", 3), ("2026-02-10", 100), ("2026-02-28", 20)];
        assert_eq!(days, expected.map(|(date, times)| (day(date), figures(times))));
    })
    .await;
}

#[tokio::test]
async fn keys_are_summed_up_newest_first_page_by_page() {
    on_every_store(async |world| {
        let usage = world.store.usage();
        let account = world.account("a").await.id;
        let named = world.store.keys().create(new_key(account, "named")).await.unwrap().id;
        let (gone, today) = (KeyId(Uuid::now_v7()), day("2026-02-01"));
        let row =
            |key_id, times| DayTotals { account_id: account, key_id, day: today, totals: figures(times) };
        usage
            .write(&batch(vec![row(Some(named), 1), row(Some(gone), 2), row(None, 3)], vec![]))
            .await
            .unwrap();
        let days = (today, today + Days::new(1));
        let page = async |last, size| {
            let keys = usage.by_key(account, days, last, size).await.unwrap();
            keys.into_iter().map(|key| (key.key_id, key.name, key.totals)).collect::<Vec<_>>()
        };
        let all = [
            (Some(gone), None, figures(2)),
            (Some(named), Some("named".to_owned()), figures(1)),
            (None, None, figures(3)),
        ];
        assert_eq!(page(None, 10).await, all);
        assert_eq!(page(None, 1).await, all[..1]);
        assert_eq!(page(Some(Some(gone)), 2).await, all[1..]);
        assert_eq!(page(Some(None), 2).await, []);
    })
    .await;
}

#[tokio::test]
async fn a_batch_larger_than_a_statement_is_written_whole() {
    on_every_store(async |world| {
        let account_id = AccountId(Uuid::now_v7());
        let first = day("2026-01-01");
        let rows: Vec<_> = (0..1_200)
            .map(|number| DayTotals {
                account_id,
                key_id: Some(KeyId(Uuid::now_v7())),
                day: first + Days::new(number % 5),
                totals: figures(1),
            })
            .collect();
        world.store.usage().write(&batch(rows, Vec::new())).await.unwrap();
        let sums = world.store.usage().totals(account_id, Of::Account, first, first + Days::new(5)).await;
        assert_eq!(sums.unwrap(), figures(1_200));
    })
    .await;
}

#[tokio::test]
async fn a_batch_that_is_offered_again_adds_nothing() {
    on_every_store(async |world| {
        let usage = world.store.usage();
        let key = world.account("a").await.id;
        let key = world.store.keys().create(new_key(key, "k")).await.unwrap();
        let (today, account_id) = (day("2026-02-01"), key.account_id);
        let row = DayTotals { account_id, key_id: Some(key.id), day: today, totals: figures(1) };
        let first = Batch {
            used: vec![(generation(key.id, 1), world.now())],
            ..batch(vec![row], vec![record(account_id, 1, world.now())])
        };
        let sums = async || usage.totals(account_id, Of::Account, today, today + Days::new(1)).await.unwrap();
        for _ in 0..3 {
            usage.write(&first).await.unwrap();
        }
        assert_eq!(sums().await, figures(1));
        let second = Batch { number: 2, ..batch(vec![row], vec![record(account_id, 2, world.now())]) };
        let second = Batch { writer: first.writer, ..second };
        usage.write(&second).await.unwrap();
        usage.write(&first).await.unwrap();
        usage.write(&second).await.unwrap();
        assert_eq!(sums().await, figures(2));
        assert_eq!(listed(&world, account_id, &RecordFilter::default()).await, [2, 1]);
        assert_eq!(
            world.store.keys().find_any(key.id).await.unwrap().unwrap().last_used_at,
            Some(world.now())
        );

        // Another process writes the same numbers, and one that was forgotten begins anew.
        usage.write(&Batch { writer: Uuid::now_v7(), records: Vec::new(), ..first.clone() }).await.unwrap();
        usage.forget_writers(world.now()).await.unwrap();
        usage.write(&first).await.unwrap();
        assert_eq!(sums().await, figures(3));
        usage.forget_writers(world.now() + TimeDelta::seconds(1)).await.unwrap();
        usage.write(&first).await.unwrap();
        assert_eq!(sums().await, figures(4));
        assert_eq!(listed(&world, account_id, &RecordFilter::default()).await, [2, 1], "an id is there once");
    })
    .await;
}

#[tokio::test]
async fn records_and_sums_are_written_together_or_not_at_all() {
    on_every_store(async |world| {
        let account = AccountId(Uuid::now_v7());
        let today = day("2026-02-01");
        let row = DayTotals { account_id: account, key_id: None, day: today, totals: figures(1) };
        let offered = batch(vec![row], vec![record(account, 1, world.now())]);
        world.sql("ALTER TABLE usage_daily RENAME TO elsewhere").await;
        world.store.usage().write(&offered).await.unwrap_err();
        world.sql("ALTER TABLE elsewhere RENAME TO usage_daily").await;
        assert!(listed(&world, account, &RecordFilter::default()).await.is_empty());
        world.store.usage().write(&offered).await.unwrap();
        assert_eq!(listed(&world, account, &RecordFilter::default()).await, [1]);
    })
    .await;
}

/// An id that was made at this time, and ends with the number.
fn id_of(number: u8, at: DateTime<Utc>) -> RequestId {
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&at.timestamp_millis().to_be_bytes()[2..]);
    bytes[15] = number;
    RequestId::from_bytes(bytes)
}

/// A record of which every figure is another one.
fn record(account: AccountId, number: u8, at: DateTime<Utc>) -> Record {
    Record {
        generation: Some(2),
        policy_revision: Some(3),
        session: Some("s\0".into()),
        model: Some("gpt-\u{1f600}".into()),
        upstream: Some("openai".into()),
        streamed: true,
        status: Some(200),
        ended: Ended::Complete,
        latency: Latency { total_us: 10, upstream_us: Some(11), own_us: 12, first_byte_us: Some(13) },
        tools: ToolTally { input: 14, denied: 15, would_deny: 16, output: 17 },
        routing: Some(Routing::Semantic),
        called: 18,
        recall_misses: 19,
        tokens: Tokens { prompt: Some(20), completion: Some(21), cached: Some(22) },
        saved: Saved { pruning: 23, lists: 24 },
        ..Record::begun(id_of(number, at), account, Some(KeyId(Uuid::nil())), at)
    }
}

/// Records as the writer hands them over, with what they add to their days.
fn with_sums(records: Vec<Record>) -> Batch {
    let sums = records.iter().map(|record| DayTotals {
        account_id: record.account_id,
        key_id: record.key_id,
        day: record.at.date_naive(),
        totals: Totals::from(record),
    });
    batch(sums.collect(), records)
}

/// The numbers of the requests that fit, in the order in which they are listed.
async fn listed(world: &World, account: AccountId, filter: &RecordFilter) -> Vec<u8> {
    let page = RecordPage { size: 100, before: None };
    let records = world.store.usage().requests(account, filter, page).await.unwrap().records;
    records.iter().map(|record| record.id.bytes()[15]).collect()
}

#[tokio::test]
async fn what_is_written_of_a_request_is_read_back() {
    on_every_store(async |world| {
        let account = AccountId(Uuid::now_v7());
        let full = record(account, 1, world.now());
        let bare = Record::begun(id_of(2, world.now()), account, None, world.now());
        world.store.usage().write(&batch(Vec::new(), vec![full.clone(), bare.clone()])).await.unwrap();
        let found = async |id| world.store.usage().request(account, id).await.unwrap();
        // PostgreSQL keeps no U+0000.
        assert_eq!(found(full.id).await, Some(Record { session: Some("s\u{fffd}".into()), ..full.clone() }));
        assert_eq!(found(bare.id).await, Some(bare));
        assert_eq!(found(id_of(3, world.now())).await, None);
        assert_eq!(found(RequestId::from_bytes([0xff; 16])).await, None, "of no time");
        let foreign = world.store.usage().request(AccountId(Uuid::now_v7()), full.id).await.unwrap();
        assert_eq!(foreign, None, "another account's");
    })
    .await;
}

#[tokio::test]
async fn a_request_without_tools_and_one_with_any_part_of_them_are_read_back() {
    on_every_store(async |world| {
        let account = AccountId(Uuid::now_v7());
        let without = |number: u8| Record {
            tools: ToolTally::default(),
            routing: None,
            called: 0,
            recall_misses: 0,
            saved: Saved::default(),
            session: None,
            ..record(account, number, world.now())
        };
        let records = vec![
            without(1),
            Record { tools: ToolTally { would_deny: 1, ..ToolTally::default() }, ..without(2) },
            Record { routing: Some(Routing::Semantic), ..without(3) },
            Record { called: 1, ..without(4) },
            without(5),
            Record { recall_misses: 1, ..without(6) },
            Record { saved: Saved { lists: 1, ..Saved::default() }, ..without(7) },
            Record { saved: Saved { pruning: 1, ..Saved::default() }, ..without(8) },
        ];
        world.store.usage().write(&batch(Vec::new(), records.clone())).await.unwrap();
        for record in records {
            assert_eq!(world.store.usage().request(account, record.id).await.unwrap(), Some(record));
        }
    })
    .await;
}

#[tokio::test]
async fn a_request_is_found_by_its_id_among_many_and_however_long_its_body_took() {
    on_every_store(async |world| {
        let account = AccountId(Uuid::now_v7());
        let begun = |number: u8, millis| {
            let at = world.now() + TimeDelta::milliseconds(millis);
            Record::begun(id_of(number, world.now()), account, None, at)
        };
        // Beside those of its moment: one that was there before the clock was set back, and a slow one.
        let records = [(1, 0), (2, 0), (3, 1), (4, -900), (5, 60_000)].map(|(number, at)| begun(number, at));
        world.store.usage().write(&batch(Vec::new(), records.to_vec())).await.unwrap();
        for record in records {
            assert_eq!(world.store.usage().request(account, record.id).await.unwrap(), Some(record));
        }
    })
    .await;
}

#[tokio::test]
async fn requests_are_listed_newest_first_page_by_page_and_by_every_filter() {
    on_every_store(async |world| {
        let account = AccountId(Uuid::now_v7());
        let start = world.now();
        let at = |seconds| start + TimeDelta::seconds(seconds);
        let plain = |number, seconds| Record::begun(id_of(number, at(seconds)), account, None, at(seconds));
        let key = KeyId(Uuid::now_v7());
        let records = vec![
            plain(1, 0),
            Record { key_id: Some(key), status: Some(200), ..plain(2, 1) },
            Record { session: Some("s".into()), model: Some("m".into()), ..plain(3, 1) },
            Record { status: Some(200), model: Some("m".into()), ..plain(4, 1) },
            Record { session: Some("s".into()), key_id: Some(key), ..plain(5, 2) },
            record(AccountId(Uuid::now_v7()), 6, at(3)),
        ];
        world.store.usage().write(&with_sums(records)).await.unwrap();
        let any = RecordFilter::default;
        for (filter, expected) in [
            (any(), &[5, 4, 3, 2, 1][..]),
            (RecordFilter { key_id: Some(key), ..any() }, &[5, 2]),
            (RecordFilter { status: Some(200), ..any() }, &[4, 2]),
            (RecordFilter { model: Some("m".into()), ..any() }, &[4, 3]),
            (RecordFilter { session: Some("s".into()), ..any() }, &[5, 3]),
            (RecordFilter { since: Some(at(1)), until: Some(at(2)), ..any() }, &[4, 3, 2]),
            (RecordFilter { status: Some(200), key_id: Some(key), since: Some(at(1)), ..any() }, &[2]),
            (RecordFilter { model: Some("M".into()), ..any() }, &[]),
        ] {
            assert_eq!(listed(&world, account, &filter).await, expected, "{filter:?}");
        }
        // Three of one moment, and pages that end between them.
        let (mut pages, mut before) = (Vec::new(), None);
        loop {
            let page = RecordPage { size: 2, before };
            let records = world.store.usage().requests(account, &any(), page).await.unwrap().records;
            let Some(last) = records.last() else { break };
            before = Some((last.at, last.id));
            pages.push(records.iter().map(|record| record.id.bytes()[15]).collect::<Vec<_>>());
        }
        assert_eq!(pages, [vec![5, 4], vec![3, 2], vec![1]]);
    })
    .await;
}

#[tokio::test]
async fn a_search_stops_after_so_many_records_and_the_next_goes_on_from_there() {
    use crate::store::usage::search::Reach;

    on_every_store(async |world| {
        let account = AccountId(Uuid::now_v7());
        let (busy, quiet) = (KeyId(Uuid::now_v7()), KeyId(Uuid::now_v7()));
        let record = |number: u8| {
            let key = if number % 11 == 3 { quiet } else { busy };
            let at = world.now() + TimeDelta::hours(i64::from(number));
            let id = id_of(number, at);
            Record { model: Some(format!("m{}", number % 5)), ..Record::begun(id, account, Some(key), at) }
        };
        let records: Vec<_> = (0..40).map(record).collect();
        world.store.usage().write(&with_sums(records.clone())).await.unwrap();
        let any = RecordFilter::default;
        let since = Some(records[10].at);
        for filter in [
            RecordFilter { key_id: Some(quiet), ..any() },
            RecordFilter { key_id: Some(busy), since, ..any() },
            RecordFilter { key_id: Some(KeyId(Uuid::now_v7())), ..any() },
            RecordFilter { model: Some("m2".into()), ..any() },
            RecordFilter { model: Some("m2".into()), until: since, ..any() },
            RecordFilter { model: Some("none".into()), ..any() },
            RecordFilter { model: Some("m3".into()), key_id: Some(quiet), ..any() },
        ] {
            let fits = |record: &&Record| {
                filter.key_id.is_none_or(|key| record.key_id == Some(key))
                    && (filter.model.is_none() || filter.model == record.model)
                    && filter.since.is_none_or(|since| record.at >= since)
                    && filter.until.is_none_or(|until| record.at < until)
            };
            let expected: Vec<_> = records.iter().rev().filter(fits).cloned().collect();
            for (slice, slices, size) in [(1, 1, 1), (3, 2, 2), (7, 3, 100), (100, 1, 3)] {
                let (mut found, mut before) = (Vec::new(), None);
                for _ in 0..100 {
                    let page = RecordPage { size, before };
                    let reach = Reach { slice, slices };
                    let part = world.store.usage().requests_within(account, &filter, page, reach);
                    let part = part.await.unwrap();
                    assert!(part.records.len() <= size as usize);
                    let last = part.records.last().map(|last| (last.at, last.id));
                    found.extend(part.records);
                    before = part.stopped.or(last);
                    if part.stopped.is_none() && last.is_none() {
                        break;
                    }
                }
                assert_eq!(found, expected, "{filter:?} {slice} {slices} {size}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn old_records_are_deleted_bit_by_bit_and_their_sums_stay() {
    on_every_store(async |world| {
        let usage = world.store.usage();
        let accounts: Vec<_> = (0..3).map(|_| AccountId(Uuid::now_v7())).collect();
        let today = day("2026-02-01");
        let sums = accounts.iter().map(|account_id| DayTotals {
            account_id: *account_id,
            key_id: None,
            day: today,
            totals: figures(1),
        });
        let mut records = Vec::new();
        for (place, account) in (0u8..).zip(&accounts) {
            for number in 0..4u8 {
                let seconds = if place == 1 { 100 } else { i64::from(number) };
                records.push(record(
                    *account,
                    place * 10 + number,
                    world.now() + TimeDelta::seconds(seconds),
                ));
            }
        }
        usage.write(&batch(sums.collect(), records)).await.unwrap();
        let before = world.now() + TimeDelta::seconds(3);
        let mut deleted = Vec::new();
        while let some @ 1.. = usage.forget(before, 2).await.unwrap() {
            deleted.push(some);
        }
        assert_eq!(deleted, [2, 1, 2, 1]);
        let mut left = Vec::new();
        for account in &accounts {
            left.push(listed(&world, *account, &RecordFilter::default()).await);
            let sums = usage.totals(*account, Of::Account, today, today + Days::new(1)).await.unwrap();
            assert_eq!(sums, figures(1));
        }
        assert_eq!(left, [vec![3], vec![13, 12, 11, 10], vec![23]]);
    })
    .await;
}

#[tokio::test]
async fn sqlite_goes_by_the_index_of_a_filter_or_in_the_order_of_the_page() {
    use sea_orm::QueryTrait;

    use crate::store::usage::search::select;

    let folder = tempfile::tempdir().unwrap();
    let world = World::at(format!("sqlite://{}", folder.path().join("orqen.db").display())).await;
    let reads = world.store.0.database.reads();
    let any = RecordFilter::default;
    let place = Some((world.now(), RequestId::from_bytes([1; 16])));
    let late = Some(world.now());
    for (filter, index) in [
        (any(), "PRIMARY KEY"),
        // Gone through in slices, whose ends the search adds.
        (RecordFilter { key_id: Some(KeyId(Uuid::nil())), ..any() }, "PRIMARY KEY"),
        (RecordFilter { model: Some("m".into()), since: late, ..any() }, "PRIMARY KEY"),
        (RecordFilter { status: Some(200), ..any() }, "PRIMARY KEY"),
        (RecordFilter { status: Some(500), ..any() }, "usage_record_by_failure"),
        (RecordFilter { session: Some("s".into()), ..any() }, "usage_record_by_session"),
        (RecordFilter { session: Some("s".into()), status: Some(200), ..any() }, "usage_record_by_session"),
        (RecordFilter { status: Some(500), since: late, until: late, ..any() }, "usage_record_by_failure"),
    ] {
        for before in [None, place] {
            let page = RecordPage { size: 10, before };
            let mut plan = select(AccountId(Uuid::nil()), &filter, page).build(sea_orm::DbBackend::Sqlite);
            plan.sql = format!("EXPLAIN QUERY PLAN {}", plan.sql);
            let steps = reads.query_all_raw(plan).await.unwrap();
            let steps: Vec<String> = steps.iter().map(|step| step.try_get("", "detail").unwrap()).collect();
            assert!(steps.len() == 1 && steps[0].contains(index), "{filter:?} {before:?}: {steps:?}");
        }
    }
}
