//! Attempts that were refused, for the audit trail. What was done is written by the store, in one transaction with it.
//!
//! Told are refusals that say something of the caller: of rights, of things that it has not got, of the state of a key.
//! What is merely malformed, too fast or unlucky is in the log and in the metrics. An agent that keeps trying writes a
//! bounded number of rows a minute, and the rest is counted; a store that is away does not keep a refusal from being
//! told.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    clock::SharedClock,
    domain::{
        audit::{Action, Actor, Deed, Outcome, Refusal},
        caller::Caller,
        key::{AccountId, KeyId},
        secret::masked,
    },
    limits::{self, RateLimiter, Rules},
    service::{Failure, Reason, admitted::Call},
    store::Store,
};

/// How many refused attempts of one key are written a minute: enough to see what somebody is after.
const WRITTEN_PER_MINUTE: i64 = 60;

/// The longest message that is written, in characters.
const MESSAGE_MAX: usize = 1024;

/// Writes refused attempts down.
pub struct Auditor {
    store: Store,
    limiter: RateLimiter,
    unwritten: AtomicU64,
    clock: SharedClock,
}

/// Something that a caller is about to do.
pub(super) struct Attempt {
    account: Option<AccountId>,
    actor: Actor,
    action: Action,
    key_id: Option<KeyId>,
}

impl Attempt {
    /// By a caller that may not be let in at all.
    pub(super) fn new(caller: &Caller, actor: Actor, action: Action) -> Self {
        Self { account: caller.account().map(|account| account.id), actor, action, key_id: None }
    }

    /// By a caller that was let in, at the key that its request names.
    pub(super) fn at(call: &Call, action: Action, key_id: &str) -> Self {
        let key_id = key_id.parse().ok().map(KeyId);
        Self { key_id, ..Self::new(&call.caller, call.actor.clone(), action) }
    }
}

impl Auditor {
    /// One that writes into this store.
    pub fn new(store: Store, clock: SharedClock) -> Arc<Self> {
        let limiter = RateLimiter::in_process(|_, _| std::future::ready(Ok(0)));
        Arc::new(Self { store, limiter, unwritten: AtomicU64::new(0), clock })
    }

    /// How many refused attempts were not written since the start.
    pub fn unwritten(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed)
    }

    /// Hands on how an attempt went, once its refusal is written.
    pub(super) async fn heard<T>(&self, attempt: Attempt, done: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(failure) = &done {
            self.refused(attempt, failure).await;
        }
        done
    }

    /// Writes a refusal down, if it is one that tells something.
    pub(super) async fn refused(&self, attempt: Attempt, failure: &Failure) {
        let Some(account_id) = attempt.account.filter(|_| tells(failure.reason())) else { return };
        let ask = limits::Ask {
            account: account_id,
            key: attempt.actor.key_id,
            key_rules: Rules { requests_per_minute: Some(WRITTEN_PER_MINUTE), ..Rules::UNLIMITED },
            account_rules: Rules::UNLIMITED,
            now: self.clock.now(),
        };
        if self.limiter.admit(&ask).await.is_err() {
            return self.count();
        }
        let refusal = Refusal {
            code: failure.reason().code().to_owned(),
            field: failure.param().map(str::to_owned),
            message: masked(failure.message()).chars().take(MESSAGE_MAX).collect(),
        };
        let Attempt { actor, action, key_id, .. } = attempt;
        let deed = Deed { account_id, action, key_id, outcome: Outcome::Refused(refusal) };
        if let Err(error) = self.store.audit().add(&actor, deed).await {
            tracing::warn!(%error, "a refused attempt is not in the audit trail");
            self.count();
        }
    }

    fn count(&self) {
        self.unwritten.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether a refusal says something of who was refused.
fn tells(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::InsufficientScope
            | Reason::PrivilegeEscalation
            | Reason::KeyNotFound
            | Reason::AccountNotFound
            | Reason::Conflict
            | Reason::KeyLimitExceeded
            | Reason::ApiKeyRevoked
            | Reason::ApiKeyDisabled
            | Reason::ApiKeyExpired
    )
}
