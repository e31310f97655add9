//! Who may go on: requests a minute (GCRA), requests at the same time (counted slots), and budgets of saved tokens
//! by UTC day and ISO week, for a key and for its account as a whole.
//!
//! [`RateLimiter::admit`] takes everything or nothing; the [`Permit`] gives back, when it is dropped, what is not used
//! up. Every subject has a lock of its own, and one that is idle is forgotten, so that neither the number of
//! requests nor that of keys ever seen costs anything. Counting is in this process, or shared through Redis by all
//! replicas; while Redis is away each counts for itself. What the process as a whole takes is [`Load`]'s to say. What a refusal looks like on the wire is left to the callers.

mod ask;
mod budget;
mod failed_auth;
mod gcra;
mod ledger;
mod ledgers;
mod limiter;
mod load;
mod outcome;
mod period;
mod permit;
mod seed;
mod shared;
mod standing;
mod verdict;

#[cfg(test)]
mod tests;

pub use self::{
    ask::{Ask, Rules, Subject, SubjectId},
    failed_auth::{Attempt, FailedAuth},
    limiter::{RateLimiter, Refused, Stats},
    load::{Load, LoadBounds, Place},
    outcome::{Budget, Exceeded, Refusal, Requests},
    period::{Days, Period},
    permit::Permit,
    seed::SeedError,
    shared::{SharedError, Timing, Upkeep},
    standing::{Concurrency, Spending, Standing},
};
