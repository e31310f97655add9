//! Every error of the core, told: one `From` each, exhaustive, so that a new variant does not compile until it
//! has its line here.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::{
    auth::AuthError,
    chat::{ChatError, ChatFailure, typed::TypedError},
    domain::{
        caller::Lapsed,
        chat_request::{Malformed, Refused},
        grant::Escalation,
        key::KeyStatus,
    },
    limits::{Budget, Exceeded, Refusal, Subject},
    service::{Failure, Reason},
    store::{CreateKeyError, StoreError},
    upstream::UpstreamError,
};

impl From<AuthError> for Failure {
    fn from(error: AuthError) -> Self {
        let invalid = |message: String| Failure::new(Reason::InvalidApiKey, message);
        match error {
            AuthError::Missing => invalid(
                "the request has no credential: send your Orqen key as `Authorization: Bearer sk-orq-…`"
                    .into(),
            ),
            AuthError::Malformed(why) => {
                invalid(format!("{why}: send your Orqen key as `Authorization: Bearer sk-orq-…`"))
            }
            AuthError::Unknown => invalid("the key is not known here: check that it was copied whole, and that no rotation has replaced it".into()),
            AuthError::Token(error) => invalid(format!("{error}: have a new token issued")),
            AuthError::Inactive(status) => Lapsed::Key(status).into(),
            AuthError::Unavailable(error) => error.into(),
            AuthError::IssuerAway(wait) => Failure::new(
                Reason::StoreUnavailable,
                "the keys of the tokens' issuer cannot be fetched at the moment: try again later; your token is not \
                 at fault",
            )
            .after(wait),
            AuthError::TooMany(wait) => Failure::new(
                Reason::RateLimitExceeded,
                "too many credentials that nobody was given came from this address: try again later, with one that is known",
            )
            .after(wait),
            AuthError::Overloaded => Failure::new(
                Reason::Overloaded,
                "too many credentials are being checked: try again in a second",
            ),
        }
    }
}

impl From<Lapsed> for Failure {
    fn from(lapsed: Lapsed) -> Self {
        match lapsed {
            Lapsed::Key(KeyStatus::Disabled) => Failure::new(
                Reason::ApiKeyDisabled,
                "the key is switched off: have it switched on again, or use another one",
            ),
            Lapsed::Key(KeyStatus::Expired) => {
                Failure::new(Reason::ApiKeyExpired, "the key is past its expiry: use another one")
            }
            Lapsed::Key(KeyStatus::Revoked | KeyStatus::Active) => {
                Failure::new(Reason::ApiKeyRevoked, "the key was revoked, for good: use another one")
            }
            Lapsed::Token => Failure::new(
                Reason::InvalidApiKey,
                "the token ran out while the request came in: have a new one issued",
            ),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if error.is_unavailable() {
            tracing::warn!(error = &error as &dyn std::error::Error, "the store cannot be reached");
            return Failure::new(
                Reason::StoreUnavailable,
                "the store of keys cannot be reached at the moment: try again in a second; your key is not at fault",
            );
        }
        Failure::internal(format!("{error:?}"))
    }
}

impl From<CreateKeyError> for Failure {
    fn from(error: CreateKeyError) -> Self {
        match error {
            CreateKeyError::KeyLimit { max } => Failure::new(
                Reason::KeyLimitExceeded,
                format!(
                    "the account has {max} keys, as many as its policy allows: revoke one, or have an operator raise max_keys"
                ),
            ),
            CreateKeyError::Reused => reused(),
            CreateKeyError::UnknownAccount => Failure::internal("the caller's account is gone"),
            CreateKeyError::Store(error) => error.into(),
        }
    }
}

/// Another request came under the same idempotency key.
pub(super) fn reused() -> Failure {
    Failure::new(
        Reason::Conflict,
        "another request was made with this `Idempotency-Key` in the last 24 hours, and this one differs from it: \
         give a call that is wanted beside it a key of its own",
    )
    .about("idempotency_key")
}

impl From<Escalation> for Failure {
    fn from(escalation: Escalation) -> Self {
        Failure::new(Reason::PrivilegeEscalation, escalation.to_string()).about(escalation.field)
    }
}

/// The HTTP status that a client is told of an error of chat, for the record.
pub fn chat_status(error: &ChatError) -> u16 {
    let reason = match error {
        ChatError::NoAccount => Reason::Internal,
        ChatError::Limited(refusal) => limit_reason(refusal),
        ChatError::Spent { .. } => Reason::SavedTokenLimitExceeded,
        ChatError::Malformed(_) | ChatError::Refused(Refused::Malformed(_)) => Reason::InvalidRequest,
        ChatError::Refused(Refused::ToolNotAllowed { .. }) => Reason::ToolNotAllowed,
        ChatError::Model(not_found) if not_found.missing => Reason::InvalidRequest,
        ChatError::Model(_) => Reason::ModelNotFound,
        ChatError::Upstream(error) => upstream_reason(error),
    };
    reason.http().as_u16()
}

fn upstream_reason(error: &UpstreamError) -> Reason {
    match error {
        UpstreamError::Unreachable { .. } => Reason::UpstreamUnreachable,
        UpstreamError::Timeout { .. } => Reason::UpstreamTimeout,
        UpstreamError::CredentialRejected { .. } => Reason::UpstreamCredentialRejected,
    }
}

impl From<ChatError> for Failure {
    fn from(error: ChatError) -> Self {
        match error {
            ChatError::NoAccount => Failure::internal("a caller without an account passed the guard"),
            ChatError::Limited(refusal) => refusal.into(),
            ChatError::Spent { budget, now } => spent(budget, now),
            ChatError::Malformed(malformed) | ChatError::Refused(Refused::Malformed(malformed)) => {
                malformed.into()
            }
            ChatError::Refused(Refused::ToolNotAllowed { param, message, .. }) => {
                Failure::new(Reason::ToolNotAllowed, message).about(param)
            }
            ChatError::Model(not_found) => {
                let reason = if not_found.missing { Reason::InvalidRequest } else { Reason::ModelNotFound };
                Failure::new(reason, not_found.to_string()).about("model")
            }
            ChatError::Upstream(error) => error.into(),
        }
    }
}

impl From<ChatFailure> for Failure {
    fn from(failure: ChatFailure) -> Self {
        Failure::from(failure.error).with_requests(failure.requests)
    }
}

fn limit_reason(refusal: &Refusal) -> Reason {
    match refusal.exceeded {
        Exceeded::Requests => Reason::RateLimitExceeded,
        Exceeded::Concurrent => Reason::ConcurrencyLimitExceeded,
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        limited(refusal, "", "have the limit raised in the account's policy")
    }
}

/// A refusal of the account routes, whose limit is the server's and not the policy's.
pub(super) fn account_routes(refusal: Refusal) -> Failure {
    let or = "have `limits.account_requests_per_minute` raised";
    limited(refusal, " to the account routes", or).with_requests(None)
}

fn limited(refusal: Refusal, to: &str, or: &str) -> Failure {
    let whose = whose(refusal.subject);
    let limit = refusal.limit;
    let requests = if limit == 1 { "request" } else { "requests" };
    let (said, way_out) = match refusal.exceeded {
        Exceeded::Requests => (
            format!("{whose} may send {limit} {requests} a minute{to}"),
            format!("try again in {} s", refusal.retry_after.as_millis().div_ceil(1000)),
        ),
        Exceeded::Concurrent => (
            format!("{whose} may have {limit} {requests} at the same time"),
            "try again when one of them has ended".to_owned(),
        ),
    };
    let message = format!("{said}, and this is one more: {way_out}, or {or}");
    Failure::new(limit_reason(&refusal), message)
        .after(refusal.retry_after)
        .of_quota(whose, said)
        .with_requests(refusal.requests)
}

fn spent(budget: Budget, now: DateTime<Utc>) -> Failure {
    let Budget::Spent { period, subject, limit, resets_at } = budget else {
        return Failure::internal("a budget that is left refused a request");
    };
    let whose = whose(subject);
    let said = format!("{whose} may have {limit} tokens saved a {}, and has had them", period.as_str());
    let message = format!(
        "{said}: the next begins at {}; have the budget raised in the account's policy, or \
         `limits.saved_tokens_exceeded` set to `stop_pruning`",
        resets_at.to_rfc3339_opts(SecondsFormat::Secs, true)
    );
    let wait = (resets_at - now).to_std().unwrap_or_default();
    Failure::new(Reason::SavedTokenLimitExceeded, message).after(wait).of_quota(whose, said)
}

/// Whose limit it is, for people and for `QuotaFailure`.
fn whose(subject: Subject) -> String {
    match subject {
        Subject::Key(key) => format!("the key {}", key.0),
        Subject::NoKey => "the account's callers without a key, together,".to_owned(),
        Subject::Account => "the account as a whole".to_owned(),
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        let failure = Failure::new(Reason::InvalidRequest, malformed.message);
        match malformed.param {
            Some(param) => failure.about(param),
            None => failure,
        }
    }
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Failure::new(upstream_reason(&error), error.to_string())
    }
}

impl From<TypedError> for Failure {
    fn from(error: TypedError) -> Self {
        let failure = Failure::new(Reason::InvalidRequest, error.to_string());
        match error.param() {
            Some(param) => failure.about(param),
            None => failure,
        }
    }
}
