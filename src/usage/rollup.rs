//! What is to be written next: records, and their sums by account, key and UTC day.
//!
//! However many requests come while the store is away, their sums take the memory of their keys only, which is
//! what lets the writer wait for it. Records are kept up to a bound, and beyond it are in the sums alone.

use std::collections::hash_map::Entry;

use chrono::{DateTime, NaiveDate, Utc};
use foldhash::HashMap;
use uuid::Uuid;

use super::recorder::WAITING_SECRETS;
use crate::domain::{
    key::{AccountId, Generation, KeyId},
    usage::{Batch, DayTotals, Record, Totals},
};

/// The most sums that wait: some 20 MB, and more keys than are in use at a time.
const WAITING_SUMS: usize = 100_000;

/// For how many records room is made at once: a megabyte or so.
const ROOM: usize = 4096;

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// All that is kept of it will be written.
    Whole,
    /// It is in the sums alone: too many records wait.
    SumsOnly,
    /// It is lost: it needed a sum of its own, and there are too many.
    Nowhere,
}

/// What is to be written next.
#[derive(Debug)]
pub(super) struct Rollup {
    writer: Uuid,
    /// The number of the last batch.
    number: i64,
    /// How many records may wait; `None` where none is kept.
    most_records: Option<usize>,
    records: Vec<Record>,
    totals: HashMap<(AccountId, Option<KeyId>, NaiveDate), Totals>,
    used: HashMap<Generation, DateTime<Utc>>,
}

impl Rollup {
    /// Nothing yet. Of records so many may wait; with `None` sums are all that is kept.
    pub(super) fn new(most_records: Option<usize>) -> Self {
        Self {
            writer: Uuid::now_v7(),
            number: 0,
            most_records,
            records: Vec::new(),
            totals: HashMap::default(),
            used: HashMap::default(),
        }
    }

    /// Adds a record.
    #[must_use]
    pub(super) fn add(&mut self, record: Record) -> Added {
        let place = (record.account_id, record.key_id, record.at.date_naive());
        let room = self.totals.len() < WAITING_SUMS;
        let sum = match self.totals.entry(place) {
            Entry::Occupied(sum) => sum.into_mut(),
            Entry::Vacant(place) if room => place.insert(Totals::default()),
            Entry::Vacant(_) => return Added::Nowhere,
        };
        *sum += Totals::from(&record);
        match self.most_records {
            None => Added::Whole,
            Some(most) if self.records.len() >= most => Added::SumsOnly,
            Some(_) => {
                self.records.push(record);
                Added::Whole
            }
        }
    }

    /// Adds times of last use. Beyond a bound they are left out: the next use says it again.
    pub(super) fn used(&mut self, used: impl IntoIterator<Item = (Generation, DateTime<Utc>)>) {
        for (secret, at) in used {
            if self.used.len() < WAITING_SECRETS || self.used.contains_key(&secret) {
                let latest = self.used.entry(secret).or_insert(at);
                *latest = at.max(*latest);
            }
        }
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
        self.number += 1;
        // Room for as many again: growing would copy each more than once.
        let next = Vec::with_capacity(self.records.len().min(ROOM));
        Batch {
            writer: self.writer,
            number: self.number,
            records: std::mem::replace(&mut self.records, next),
            totals,
            used,
        }
    }
}
