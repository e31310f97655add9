//! The limiter as its callers see it: in process by a clock that is advanced, over a real Redis when
//! `ORQEN_TEST_REDIS_URL` says where one is.

mod budgets;
mod failed_auth;
mod local;
mod memory;
mod proxy;
mod shared;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::*;
use crate::{
    clock::{Clock, ManualClock},
    domain::key::{AccountId, KeyId},
};

/// A Wednesday at noon, far from every edge.
const NOON: &str = "2026-06-17T12:00:00Z";

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn clock() -> ManualClock {
    ManualClock::at(at(NOON))
}

fn nothing_saved() -> RateLimiter {
    RateLimiter::in_process(|_, _| async { Ok(0) })
}

fn per_minute(limit: i64) -> Rules {
    Rules { requests_per_minute: Some(limit), ..Rules::UNLIMITED }
}

fn at_once(limit: i64) -> Rules {
    Rules { concurrent_requests: Some(limit), ..Rules::UNLIMITED }
}

fn a_day(budget: i64) -> Rules {
    Rules { daily_token_budget: Some(budget), ..Rules::UNLIMITED }
}

/// A key and what it asks.
#[derive(Debug, Clone, Copy)]
struct Agent {
    account: AccountId,
    key: Option<KeyId>,
    key_rules: Rules,
    account_rules: Rules,
}

impl Agent {
    fn new(key_rules: Rules) -> Self {
        let (account, key) = (AccountId(Uuid::now_v7()), Some(KeyId(Uuid::now_v7())));
        Self { account, key, key_rules, account_rules: Rules::UNLIMITED }
    }

    fn within(self, account_rules: Rules) -> Self {
        Self { account_rules, ..self }
    }

    /// Another key of the same account.
    fn sibling(self) -> Self {
        Self { key: Some(KeyId(Uuid::now_v7())), ..self }
    }

    fn with(self, key_rules: Rules) -> Self {
        Self { key_rules, ..self }
    }

    fn ask(&self, now: DateTime<Utc>) -> Ask {
        let Self { account, key, key_rules, account_rules } = *self;
        Ask { account, key, key_rules, account_rules, now }
    }

    async fn goes(&self, limiter: &RateLimiter, clock: &dyn Clock) -> Result<Permit, Refusal> {
        limiter.admit(&self.ask(clock.now())).await
    }

    /// How many of `requests` one after the other pass.
    async fn passes(&self, limiter: &RateLimiter, clock: &dyn Clock, requests: usize) -> usize {
        let mut passed = 0;
        for _ in 0..requests {
            passed += usize::from(self.goes(limiter, clock).await.is_ok());
        }
        passed
    }
}

/// Lets `requests` tasks ask at the same time and counts those that passed; permits are kept until all have asked.
async fn all_at_once(
    limiters: &[RateLimiter],
    agent: Agent,
    clock: Arc<dyn Clock>,
    requests: usize,
) -> usize {
    let start = Arc::new(tokio::sync::Barrier::new(requests));
    let tasks: Vec<_> = (0..requests)
        .map(|i| {
            let (limiter, clock, start) =
                (limiters[i % limiters.len()].clone(), Arc::clone(&clock), Arc::clone(&start));
            spawn(async move {
                start.wait().await;
                agent.goes(&limiter, &*clock).await.ok()
            })
        })
        .collect();
    let mut permits = Vec::new();
    for task in tasks {
        permits.extend(task.await.unwrap());
    }
    permits.len()
}

#[expect(clippy::disallowed_methods, reason = "the tasks of a test end with it")]
fn spawn<F: Future<Output: Send> + Send + 'static>(task: F) -> tokio::task::JoinHandle<F::Output> {
    tokio::spawn(task)
}

/// A store that says the same of everything, and counts how often it was asked.
#[derive(Debug, Default)]
struct Asked(Arc<AtomicU64>);

impl Asked {
    fn limiter(&self, sum: i64) -> RateLimiter {
        RateLimiter::in_process(self.store(sum))
    }

    fn store(
        &self,
        sum: i64,
    ) -> impl Fn(SubjectId, Days) -> std::future::Ready<Result<i64, SeedError>> + Send + Sync + use<> {
        let asked = Arc::clone(&self.0);
        move |_, _| {
            asked.fetch_add(1, Ordering::SeqCst);
            std::future::ready(Ok(sum))
        }
    }

    fn times(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn spent(permit: &Permit) -> bool {
    matches!(permit.budget, Budget::Spent { .. })
}

fn minutes(minutes: i64) -> TimeDelta {
    TimeDelta::minutes(minutes)
}
