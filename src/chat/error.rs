//! Why a chat request got no answer.

use chrono::{DateTime, Utc};

use crate::{
    domain::chat_request::{Malformed, Refused},
    limits::{Budget, Refusal, Requests},
    upstream::{ModelNotFound, UpstreamError},
};

/// Why a chat request got no answer of a provider.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The caller acts for no account.
    #[error("the caller acts for no account")]
    NoAccount,
    /// A limit of the key or its account is reached.
    #[error(transparent)]
    Limited(#[from] Refusal),
    /// A budget of saved tokens is spent, and that refuses requests here.
    #[error("a budget of saved tokens is spent")]
    Spent {
        /// Which one.
        budget: Budget,
        /// When the request came.
        now: DateTime<Utc>,
    },
    /// The body is no chat request.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The tool lists forbid it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No upstream serves the model.
    #[error(transparent)]
    Model(#[from] ModelNotFound),
    /// The provider cannot be reached, is too slow, or refuses our credential.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
}

/// The same, with the limits of requests as they stand after it.
#[derive(Debug)]
pub struct ChatFailure {
    /// What went wrong.
    pub error: ChatError,
    /// The tightest limit of requests; `None` where there is none.
    pub requests: Option<Requests>,
}

impl From<ChatError> for ChatFailure {
    fn from(error: ChatError) -> Self {
        Self { error, requests: None }
    }
}
