//! The record of one chat request.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::domain::{
    key::{AccountId, KeyId},
    request_id::RequestId,
};

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

impl Ended {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Error => "error",
        }
    }

    /// What a stored word says; one that this version does not know is no success.
    pub fn from_stored(word: &str) -> Self {
        match word {
            "complete" => Self::Complete,
            "client" => Self::Client,
            "upstream" => Self::Upstream,
            _ => Self::Error,
        }
    }
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

/// How tools were compared with the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routing {
    /// By words.
    Keyword,
    /// By words and by meaning.
    Semantic,
    /// Not at all: the budget of saved tokens was spent.
    Limit,
}

impl Routing {
    /// The word in `x-orqen-routing`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keyword => "keyword",
            Self::Semantic => "semantic",
            Self::Limit => "limit",
        }
    }

    /// What a word says.
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Keyword, Self::Semantic, Self::Limit].into_iter().find(|routing| routing.as_str() == word)
    }
}

/// How long a request took, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Latency {
    /// From its beginning until its record was closed.
    pub total_us: i64,
    /// Of that, from when it was handed to the provider until the record was closed, with the answer's last byte or
    /// the failure; `None` when no provider was asked.
    pub upstream_us: Option<i64>,
    /// The rest: Orqen's own.
    pub own_us: i64,
    /// From its beginning until the answer's first byte; `None` when there was none.
    pub first_byte_us: Option<i64>,
}

/// Tokens as the provider reported them; `None` where it did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    /// Of the request.
    pub prompt: Option<i64>,
    /// Of the answer.
    pub completion: Option<i64>,
    /// Those of `prompt` that came from the provider's cache.
    pub cached: Option<i64>,
}

/// Tokens of removed tool definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Saved {
    /// Of those that pruning removed.
    pub pruning: i64,
    /// Of those that the key's lists removed.
    pub lists: i64,
}

/// The record of one chat request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The id in the answer's `x-request-id`.
    pub id: RequestId,
    /// When it began.
    pub at: DateTime<Utc>,
    /// Whose it was.
    pub account_id: AccountId,
    /// The key it came with; `None` for a JWT.
    pub key_id: Option<KeyId>,
    /// The generation of the key, where it is known.
    pub generation: Option<i32>,
    /// The revision of the account's policy that held for it.
    pub policy_revision: Option<i64>,
    /// The client's name for the conversation, at most 256 bytes.
    pub session: Option<String>,
    /// The model as the client asked for it, at most 256 bytes.
    pub model: Option<String>,
    /// The upstream that served it.
    pub upstream: Option<Arc<str>>,
    /// Whether a streamed answer was asked for.
    pub streamed: bool,
    /// The HTTP status that the client was told; `None` when it left before that.
    pub status: Option<u16>,
    /// How it ended.
    pub ended: Ended,
    /// How long it took.
    pub latency: Latency,
    /// Its tools.
    pub tools: ToolTally,
    /// How they were compared; `None` without tools.
    pub routing: Option<Routing>,
    /// Tool calls in the answer as the provider sent it: those that the lists took out of it are among them.
    pub called: u32,
    /// Those of them to tools that the client had offered and pruning had removed, and such a call of the turn before
    /// that its answer did not show.
    pub recall_misses: u32,
    /// The provider's figures.
    pub tokens: Tokens,
    /// What was saved.
    pub saved: Saved,
}

impl Record {
    /// A record of which nothing is known yet; dropped without a word, it says that the client hung up.
    pub fn begun(id: RequestId, account_id: AccountId, key_id: Option<KeyId>, at: DateTime<Utc>) -> Self {
        Self {
            id,
            at,
            account_id,
            key_id,
            generation: None,
            policy_revision: None,
            session: None,
            model: None,
            upstream: None,
            streamed: false,
            status: None,
            ended: Ended::Client,
            latency: Latency::default(),
            tools: ToolTally::default(),
            routing: None,
            called: 0,
            recall_misses: 0,
            tokens: Tokens::default(),
            saved: Saved::default(),
        }
    }
}
