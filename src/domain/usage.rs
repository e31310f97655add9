//! What is remembered of a request: figures, never text.

use std::ops::AddAssign;

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};

use crate::domain::key::{AccountId, KeyId};

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Answered to the last byte.
    Complete,
    /// The client hung up first.
    Client,
    /// The provider refused, failed or was not reached.
    Upstream,
    /// Orqen refused it or failed.
    Error,
}

/// How many tools a request had on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ToolTally {
    /// In the request as it came.
    pub input: u32,
    /// Removed by the key's lists.
    pub denied: u32,
    /// What the lists would have removed in `observe` mode.
    pub would_deny: u32,
    /// Forwarded.
    pub output: u32,
}

/// The record of one chat request.
#[derive(Debug, Clone)]
pub struct Record {
    /// When it began.
    pub at: DateTime<Utc>,
    /// Whose it was.
    pub account_id: AccountId,
    /// The key it came with; `None` for a JWT.
    pub key_id: Option<KeyId>,
    /// How it ended.
    pub ended: Ended,
    /// Its tools.
    pub tools: ToolTally,
    /// The JSON of the tools that were removed, for the tokenizer; slices of the request's own buffer.
    pub removed: Vec<Bytes>,
}

/// The totals of a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Requests that were answered to the last byte.
    pub complete: i64,
    /// Requests that the client left.
    pub client: i64,
    /// Requests that the provider failed.
    pub upstream: i64,
    /// Requests that Orqen refused or failed.
    pub error: i64,
    /// Tools in the requests.
    pub tools_input: i64,
    /// Tools removed by lists.
    pub tools_denied: i64,
    /// Tools forwarded.
    pub tools_output: i64,
    /// Tokens of the removed definitions.
    pub tokens_saved: i64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, more: Self) {
        // Taken apart whole, so that a new figure cannot be forgotten here.
        let Totals {
            complete,
            client,
            upstream,
            error,
            tools_input,
            tools_denied,
            tools_output,
            tokens_saved,
        } = more;
        for (sum, more) in [
            (&mut self.complete, complete),
            (&mut self.client, client),
            (&mut self.upstream, upstream),
            (&mut self.error, error),
            (&mut self.tools_input, tools_input),
            (&mut self.tools_denied, tools_denied),
            (&mut self.tools_output, tools_output),
            (&mut self.tokens_saved, tokens_saved),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

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
