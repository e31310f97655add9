//! Sums by account, key and UTC day. However many requests come while the store is away, they take the memory of
//! their keys only, which is what lets the writer wait for it.

use std::collections::{HashMap, hash_map::Entry};

use chrono::{DateTime, NaiveDate, Utc};

use super::{Batch, recorder::WAITING_KEYS};
use crate::domain::{
    key::{AccountId, KeyId},
    usage::{DayTotals, Ended, Record, Totals},
};

/// The most sums that wait: some 15 MB, and more keys than are in use at a time.
const WAITING_SUMS: usize = 100_000;

/// What is to be written next.
#[derive(Debug, Default)]
pub(super) struct Rollup {
    totals: HashMap<(AccountId, Option<KeyId>, NaiveDate), Totals>,
    used: HashMap<KeyId, DateTime<Utc>>,
}

impl Rollup {
    /// Adds a record; `false` when it needs a sum of its own and there are too many.
    #[must_use]
    pub(super) fn add(&mut self, record: &Record, tokens: u64) -> bool {
        let place = (record.account_id, record.key_id, record.at.date_naive());
        let room = self.totals.len() < WAITING_SUMS;
        let sum = match self.totals.entry(place) {
            Entry::Occupied(sum) => sum.into_mut(),
            Entry::Vacant(place) if room => place.insert(Totals::default()),
            Entry::Vacant(_) => return false,
        };
        *sum += totals_of(record, tokens);
        true
    }

    /// Adds times of last use. Beyond a bound they are left out: the key's next use says it again.
    pub(super) fn used(&mut self, used: impl IntoIterator<Item = (KeyId, DateTime<Utc>)>) {
        for (key_id, at) in used {
            if self.used.len() < WAITING_KEYS || self.used.contains_key(&key_id) {
                let latest = self.used.entry(key_id).or_insert(at);
                *latest = at.max(*latest);
            }
        }
    }

    /// Takes back a batch that could not be written.
    pub(super) fn merge(&mut self, batch: Batch) {
        for DayTotals { account_id, key_id, day, totals } in batch.totals {
            *self.totals.entry((account_id, key_id, day)).or_default() += totals;
        }
        self.used(batch.used);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.totals.is_empty() && self.used.is_empty()
    }

    /// Takes out everything, in order.
    pub(super) fn take(&mut self) -> Batch {
        let mut totals: Vec<_> = self.totals.drain().collect();
        totals.sort_unstable_by_key(|(place, _)| *place);
        let totals = totals
            .into_iter()
            .map(|((account_id, key_id, day), totals)| DayTotals { account_id, key_id, day, totals })
            .collect();
        let mut used: Vec<_> = self.used.drain().collect();
        used.sort_unstable();
        Batch { totals, used }
    }
}

fn totals_of(record: &Record, tokens: u64) -> Totals {
    let mut totals = Totals {
        tools_input: i64::from(record.tools.input),
        tools_denied: i64::from(record.tools.denied),
        tools_output: i64::from(record.tools.output),
        tokens_saved: i64::try_from(tokens).unwrap_or(i64::MAX),
        ..Totals::default()
    };
    match record.ended {
        Ended::Complete => totals.complete = 1,
        Ended::Client => totals.client = 1,
        Ended::Upstream => totals.upstream = 1,
        Ended::Error => totals.error = 1,
    }
    totals
}
