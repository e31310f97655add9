//! What is remembered of a request: figures and names, never text of the conversation.

mod record;
mod totals;

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use crate::domain::key::{AccountId, Generation, KeyId};

pub use record::{Ended, Latency, Record, Routing, Saved, Tokens, ToolTally};
pub use totals::Totals;

/// The sums of one key on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayTotals {
    /// Whose requests they were.
    pub account_id: AccountId,
    /// The key they came with; `None` for JWTs.
    pub key_id: Option<KeyId>,
    /// The UTC day they began on.
    pub day: NaiveDate,
    /// To be added to what the store has.
    pub totals: Totals,
}

/// What is written at once, in one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The process that writes it.
    pub writer: Uuid,
    /// Its place among the batches of that process, which writes them in order: so a batch that is offered again
    /// is known by it, and one number a process is all that has to be remembered.
    pub number: i64,
    /// The requests one by one, as far as there was room for them.
    pub records: Vec<Record>,
    /// Sums to add, at most one for each account, key and day, in that order: two replicas that take the locks
    /// of the same rows take them in the same order.
    pub totals: Vec<DayTotals>,
    /// When keys' secrets were last used, each at most once, in order.
    pub used: Vec<(Generation, DateTime<Utc>)>,
}
