//! The names of what is kept in Redis. All of an account carries one hash tag, so that a script that touches both a
//! key and its account finds them on one node of a cluster. The version is that of the scripts: replicas of different
//! versions do not count together rather than misread each other.

use uuid::Uuid;

use crate::limits::{Period, Subject, SubjectId, budget::Amount};

const PREFIX: &str = "orqen:limits:1";

/// The arrival time of a subject's next request.
pub(super) fn arrival(id: SubjectId) -> String {
    format!("{}:arrival", subject(id))
}

/// The leases of a subject's running requests.
pub(super) fn leases(id: SubjectId) -> String {
    format!("{}:leases", subject(id))
}

/// The tokens that a subject saved in a window.
pub(super) fn saved(id: SubjectId, period: Period, window: i64) -> String {
    let period = match period {
        Period::Day => "day",
        Period::Week => "week",
    };
    format!("{}:{period}:{window}", subject(id))
}

/// The tokens that a subject saved in the window of an amount.
pub(super) fn saved_in(id: SubjectId, amount: Amount) -> String {
    saved(id, amount.period, amount.window)
}

/// Where a connection is tried.
pub(super) fn probe() -> String {
    format!("{PREFIX}:probe")
}

/// The name of a lease, which no other replica gives.
pub(super) fn lease(replica: Uuid, number: u64) -> String {
    format!("{}:{number}", replica.simple())
}

fn subject(id: SubjectId) -> String {
    let account = id.account.0.simple();
    match id.subject {
        Subject::Key(key) => format!("{PREFIX}:{{{account}}}:key:{}", key.0.simple()),
        Subject::NoKey => format!("{PREFIX}:{{{account}}}:no-key"),
        Subject::Account => format!("{PREFIX}:{{{account}}}:account"),
    }
}
