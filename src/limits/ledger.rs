//! What is counted for one subject, behind a lock of its own.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    SubjectId,
    budget::Budgets,
    gcra::{MINUTE, Rate},
    verdict::Seen,
};

/// How long a subject with budgets is kept after its last request, in microseconds. Its sums can be read from the
/// store again, but only once they are there, which takes the usage writer a quarter of a second.
const KEPT: i64 = 5_000_000;

/// The furthest that an arrival time lies ahead: twice a minute, for intervals that were rounded up.
pub(super) const FURTHEST: i64 = 2 * MINUTE;

/// The counts of one subject.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) id: SubjectId,
    state: Mutex<State>,
}

/// What the lock guards.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The theoretical arrival time of the next request, in microseconds since 1970.
    pub(super) arrival: i64,
    /// Whether requests were counted here that Redis has not heard of.
    pub(super) apart: bool,
    /// Requests that run and are counted.
    pub(super) running: i64,
    /// Of them, what Redis knows them by.
    pub(super) leases: Vec<u64>,
    budgets: Option<Box<Budgets>>,
    touched: i64,
}

/// What one request holds of a subject's slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Nothing: the subject has no limit of requests at the same time.
    None,
    /// A slot of this process.
    Slot,
    /// A slot that Redis knows by this number too.
    Lease(u64),
}

impl Ledger {
    pub(super) fn new(id: SubjectId) -> Self {
        Self { id, state: Mutex::default() }
    }

    /// Nothing panics while it is held, so that poison has no meaning here.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives back what a request held.
    pub(super) fn release(&self, hold: Hold) {
        let mut state = self.lock();
        if hold != Hold::None {
            state.running -= 1;
        }
        if let Hold::Lease(lease) = hold
            && let Some(place) = state.leases.iter().position(|it| *it == lease)
        {
            state.leases.swap_remove(place);
        }
    }
}

impl State {
    /// How far the arrival time lies ahead. What lay too far is cut here, refused or not: a cut that were forgotten
    /// would have to be waited for again and again.
    pub(super) fn ahead(&mut self, rate: Rate, now: i64) -> i64 {
        let ahead = rate.ahead(self.arrival, now);
        self.arrival = self.arrival.min(now.saturating_add(ahead));
        ahead
    }

    /// Counts a request.
    pub(super) fn take(&mut self, seen: &Seen, now: i64, hold: Hold) {
        if let Some(rate) = seen.rate() {
            // Never back: answers of Redis may overtake each other.
            self.arrival = self.arrival.max(now.saturating_add(seen.ahead).saturating_add(rate.interval));
        }
        if hold != Hold::None {
            self.running += 1;
        }
        if let Hold::Lease(lease) = hold {
            self.leases.push(lease);
        }
    }

    /// The budgets, moved to the windows that hold `now`.
    pub(super) fn budgets_at(&mut self, now: i64) -> &mut Budgets {
        self.touched = now;
        let budgets = self.budgets.get_or_insert_with(|| Box::new(Budgets::at(now)));
        budgets.roll(now);
        budgets
    }

    /// The budgets, if the subject ever had one.
    pub(super) fn budgets(&mut self) -> Option<&mut Budgets> {
        self.budgets.as_deref_mut()
    }

    /// Whether nothing is lost by forgetting the subject. An arrival time or a last request in the far future is that
    /// of a clock that stepped back, and would keep it for ever.
    pub(super) fn is_idle(&self, now: i64) -> bool {
        let in_use = |until: i64, furthest: i64| (now..now.saturating_add(furthest)).contains(&until);
        let rate = in_use(self.arrival, FURTHEST);
        let budgets = self.budgets.as_ref().is_some_and(|budgets| {
            budgets.has_unsent() || in_use(self.touched.saturating_add(KEPT), 2 * KEPT)
        });
        self.running == 0 && !rate && !budgets
    }
}
