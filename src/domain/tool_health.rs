//! How an account's tools fare: how often each was offered, forwarded, called and missed, and what is wrong with it.

use chrono::{DateTime, Utc};

/// One tool of an account, by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolHealth {
    /// Its name, as the client writes it.
    pub name: String,
    /// Requests that offered it and whose key's lists let it through.
    pub offered: u64,
    /// Those of them in which it went on to the model.
    pub forwarded: u64,
    /// Calls to it in answers.
    pub called: u64,
    /// Calls to it though pruning had left it out.
    pub missed: u64,
    /// The request of the last of those calls.
    pub last_missed_at: Option<DateTime<Utc>>,
    /// How long its latest definition is.
    pub definition_bytes: u64,
    /// What is wrong with it, the worst first.
    pub findings: Vec<Finding>,
}

/// Something to change about a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The other tools that it is about.
    pub others: Vec<String>,
    /// What is wrong, and what to change.
    pub message: String,
}

/// What can be wrong with a tool, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// It was called though it had been left out.
    Missed,
    /// A request has several tools of its name.
    DuplicateName,
    /// It has no description.
    NoDescription,
    /// Its description says no more than its name.
    VagueDescription,
    /// Its description is also that of others.
    CollidingDescription,
    /// It is offered again and again, and never called.
    NeverCalled,
}
