//! Usage by day, one writer at a time.

use chrono::{Days, NaiveDate};

use super::*;
use crate::domain::usage::{DayTotals, Totals};

pub(super) fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Figures that differ from each other, so that no two can be mixed up.
pub(super) fn figures(times: i64) -> Totals {
    Totals {
        complete: times,
        client: 2 * times,
        upstream: 3 * times,
        error: 5 * times,
        tools_input: 7 * times,
        tools_denied: 11 * times,
        tools_output: 13 * times,
        tokens_saved: 17 * times,
    }
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
        assert_eq!(usage.totals(account, None, from, to).await.unwrap(), Totals::default());
        usage.add(&[]).await.unwrap();
        let batch = [
            entry(Some(one), "2026-02-01", 1),
            entry(Some(two), "2026-02-28", 10),
            entry(Some(one), "2026-02-01", 1),
            entry(None, "2026-02-10", 100),
            entry(Some(one), "2026-01-31", 7),
            entry(Some(one), "2026-03-01", 7),
            foreign,
        ];
        usage.add(&batch).await.unwrap();
        assert_eq!(usage.totals(account, None, from, to).await.unwrap(), figures(112));
        assert_eq!(usage.totals(account, Some(one), from, to).await.unwrap(), figures(2));
        usage.add(&batch[..2]).await.unwrap();
        assert_eq!(usage.totals(account, Some(one), from, to).await.unwrap(), figures(3));
        assert_eq!(usage.totals(account, Some(two), from, to).await.unwrap(), figures(20));
        assert_eq!(usage.totals(account, None, from, from).await.unwrap(), Totals::default());
    })
    .await;
}

#[tokio::test]
async fn a_batch_larger_than_a_statement_is_written_whole() {
    on_every_store(async |world| {
        let account_id = AccountId(Uuid::now_v7());
        let first = day("2026-01-01");
        let batch: Vec<_> = (0..1_200)
            .map(|number| DayTotals {
                account_id,
                key_id: Some(KeyId(Uuid::now_v7())),
                day: first + Days::new(number % 5),
                totals: figures(1),
            })
            .collect();
        world.store.usage().add(&batch).await.unwrap();
        let sums = world.store.usage().totals(account_id, None, first, first + Days::new(5)).await;
        assert_eq!(sums.unwrap(), figures(1_200));
    })
    .await;
}
