//! A chat request between the guard, which let it in, and the pipeline, which answers it.
//!
//! On that way it may still be refused: a body too large or of another kind, a message that is none, a key that was
//! revoked meanwhile. Its record is open all the while, so that there is one however it ends; whoever refuses it says
//! with which status, and a client that leaves is noticed as everywhere, by what is dropped.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        caller::{AccountCell, Caller},
        request_id::RequestId,
        usage::{Ended, Record},
    },
    usage::{Pending, UsageRecorder},
};

/// Opens the records of chat requests.
#[derive(Debug, Clone)]
pub struct Arrivals(pub(super) UsageRecorder);

/// A chat request that was let in. There is one for each, and [`super::ChatPipeline::complete`] takes nothing else.
#[derive(Debug)]
#[must_use = "dropped, it says that the client hung up"]
pub struct Arrival {
    pub(super) pending: Pending,
    pub(super) account: Arc<AccountCell>,
}

impl Arrivals {
    /// Opens the record of a request that is let in now; `None` for a caller without an account, which has none.
    pub fn let_in(&self, id: RequestId, caller: &Caller, now: DateTime<Utc>) -> Option<Arrival> {
        let account = Arc::clone(caller.account()?);
        let mut pending = self.0.begin(Record::begun(id, account.id, caller.key_id(), now));
        pending.generation(caller.generation());
        pending.policy(account.load().policy.revision);
        Some(Arrival { pending, account })
    }
}

impl Arrival {
    /// Says that it was refused on its way, and with which HTTP status.
    pub fn refused(mut self, status: u16) {
        self.pending.status(status);
        self.pending.end(Ended::Error);
    }
}
