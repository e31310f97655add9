//! The leave to go on, and the slots that it holds: given back when it is dropped, however the request ends.

use std::sync::Arc;

use super::{
    Budget, Requests,
    ledger::{Hold, Ledger},
    shared::Link,
};

/// A request that was admitted. Hold it until the last byte of the answer is out: dropping it gives back the slots of
/// `concurrent_requests`, exactly once, without waiting for anything. What it took from the rate is not given back.
#[derive(Debug)]
#[must_use = "dropped at once, it gives the slot back before the request has run"]
pub struct Permit {
    /// Where the tightest limit of requests a minute stands; `None` where there is none.
    pub requests: Option<Requests>,
    /// The state of the budgets.
    pub budget: Budget,
    _slots: Slots,
}

impl Permit {
    pub(super) fn new(requests: Option<Requests>, budget: Budget, slots: Slots) -> Self {
        Self { requests, budget, _slots: slots }
    }
}

/// Slots of up to two subjects. The ledgers of those without such a limit are held too: what a long stream saves is
/// counted at its end, and a subject is not forgotten while somebody holds it.
#[derive(Debug)]
pub(super) struct Slots {
    ledgers: [Option<Arc<Ledger>>; 2],
    /// Which of them have a limit of requests at the same time.
    limited: [bool; 2],
    /// What is held of each once it is counted here.
    held: Option<Hold>,
    lease: Option<Lease>,
}

/// What Redis knows the slots by.
#[derive(Debug)]
struct Lease {
    number: u64,
    link: Arc<Link>,
    /// Whether Redis may have granted it.
    asked: bool,
}

impl Slots {
    /// Of a request's ledgers; nothing is held yet.
    pub(super) fn of(ledgers: [Option<Arc<Ledger>>; 2], limited: [bool; 2]) -> Self {
        Self { ledgers, limited, held: None, lease: None }
    }

    /// With the number of a lease.
    pub(super) fn leased(mut self, number: u64, link: Arc<Link>) -> Self {
        self.lease = Some(Lease { number, link, asked: false });
        self
    }

    /// From now on Redis may have granted the lease: dropping takes it back there, also when the request is cancelled
    /// while Redis is asked, and nobody will ever read the answer.
    pub(super) fn asked(&mut self, asked: bool) {
        if let Some(lease) = &mut self.lease {
            lease.asked = asked;
        }
    }

    /// How each slot is to be counted.
    pub(super) fn hold(&self) -> Hold {
        self.lease.as_ref().map_or(Hold::Slot, |lease| Hold::Lease(lease.number))
    }

    /// The slots were counted.
    pub(super) fn counted(&mut self) {
        self.held = Some(self.hold());
    }

    pub(super) fn any(&self) -> bool {
        self.limited.contains(&true)
    }

    pub(super) fn has(&self, place: usize) -> bool {
        self.limited.get(place).is_some_and(|limited| *limited)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let ledgers = self.ledgers.iter().zip(self.limited).filter(|(_, limited)| *limited);
        for ledger in ledgers.filter_map(|(ledger, _)| ledger.as_ref()) {
            if let Some(hold) = self.held {
                ledger.release(hold);
            }
            // One that Redis was not asked for is renewed there once it is back, as long as it is counted here.
            if let Some(lease) = self.lease.as_ref().filter(|lease| lease.asked || self.held.is_some()) {
                lease.link.release(ledger.id, lease.number);
            }
        }
    }
}
