//! The limiter itself: counts in this process, and asks Redis first where there is one.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};

use super::{
    Ask, Budget, Days, Exceeded, Permit, Refusal, Requests, Rules, SharedError, SubjectId, Timing, Upkeep,
    budget,
    gcra::Rate,
    ledger::{Hold, Ledger, State},
    ledgers::Ledgers,
    permit::Slots,
    seed::{self, Seed, SeedError},
    shared::Link,
    verdict::{Seen, judge},
};
use crate::{
    clock::SharedClock,
    config::SecretUrl,
    domain::key::{AccountId, KeyId},
};

/// Admits requests. Clones count together.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    local: Arc<Local>,
    link: Option<Arc<Link>>,
    refusals: Arc<Refusals>,
}

/// The figures of a limiter, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Subjects that are counted.
    pub subjects: usize,
    /// How often the store could not say what was saved so far.
    pub seeds_failed: u64,
    /// Whether limits are to be shared, and Redis is away, so that they are not.
    pub away: bool,
    /// How often Redis went away.
    pub outages: u64,
    /// Requests that were counted here alone because it was away.
    pub counted_apart: u64,
    /// Slots that could not be given back in Redis at once: they come back when their leases run out.
    pub releases_lost: u64,
    /// What was refused, by limit.
    pub refused: Refused,
}

/// Requests that were refused since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    /// Over the requests a minute.
    pub requests: u64,
    /// Over the requests at the same time.
    pub concurrent: u64,
    /// Over a budget of saved tokens, as the caller decided.
    pub spent: u64,
}

/// `Refused`, as it is counted.
#[derive(Debug, Default)]
struct Refusals {
    requests: AtomicU64,
    concurrent: AtomicU64,
    spent: AtomicU64,
}

/// The back end in this process. The one over Redis feeds it, and falls back on it.
#[derive(Debug)]
pub(super) struct Local {
    pub(super) ledgers: Ledgers,
    pub(super) seed: Seed,
}

/// A subject of a request, with its rules.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) ledger: Arc<Ledger>,
    pub(super) rules: Rules,
}

/// The subjects of a request, the key first.
pub(super) type Claims = [Option<Claim>; 2];

impl RateLimiter {
    /// A limiter for this process alone. `seed` reads what the store holds of saved tokens: for a subject, the sum over
    /// whole UTC days. It is asked once for each subject that has a budget, when it is first seen in a day or week.
    pub fn in_process<F>(seed: impl Fn(SubjectId, Days) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<i64, SeedError>> + Send + 'static,
    {
        let local = Local { ledgers: Ledgers::default(), seed: Seed::new(seed) };
        Self { local: Arc::new(local), link: None, refusals: Arc::default() }
    }

    /// A limiter that shares its counts with every replica on the same Redis, and what keeps it connected: until
    /// `Upkeep::run` runs, and whenever Redis is away, it counts for itself. `clock` is the one that `Ask::now` is read from.
    ///
    /// # Errors
    /// The URL is no address of a Redis.
    pub fn shared<F>(
        url: &SecretUrl,
        (timing, clock): (Timing, SharedClock),
        seed: impl Fn(SubjectId, Days) -> F + Send + Sync + 'static,
    ) -> Result<(Self, Upkeep), SharedError>
    where
        F: Future<Output = Result<i64, SeedError>> + Send + 'static,
    {
        let limiter = Self::in_process(seed);
        let (link, upkeep) = Link::open(url, timing, (Arc::clone(&limiter.local), clock))?;
        Ok((Self { link: Some(link), ..limiter }, upkeep))
    }

    /// Admits a request: takes from every limit, or from none.
    ///
    /// In process it does not wait, but for the store at the first sight of a subject with a budget (250 ms at
    /// most); with Redis it waits for the answer to one script, for `Timing::answer` at most. Once the request is
    /// admitted, cancelling gives back its slots.
    ///
    /// # Errors
    /// A limit of the key or the account is reached. Of several it is the one that makes wait longest.
    pub async fn admit(&self, ask: &Ask) -> Result<Permit, Refusal> {
        let now = ask.now.timestamp_micros();
        let claims = self.local.claims(ask, now);
        let permit = match &self.link {
            None => self.local.admit(&claims, now, slots(&claims)),
            // Boxed: the future of every chat request would grow by what only some of them need.
            Some(link) => Box::pin(link.admit(&self.local, &claims, now)).await,
        };
        let mut permit = permit.inspect_err(|refusal| self.refusals.note(refusal.exceeded))?;
        for claim in claims.iter().flatten() {
            permit.budget = permit.budget.later(self.budget(claim, now).await);
        }
        Ok(permit)
    }

    /// Counts the tokens that a request of the time `at` saved, for its key and its account. Call it once they are
    /// known: a few seconds later the subject may be forgotten, and the store has to have them.
    pub fn saved(&self, account: AccountId, key: Option<KeyId>, at: DateTime<Utc>, tokens: u64) {
        if tokens == 0 {
            return;
        }
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        for id in [SubjectId::caller(account, key), SubjectId::whole(account)] {
            // Unknown subjects have no budget, or will ask the store.
            let Some(ledger) = self.local.ledgers.known(id) else { continue };
            let mut state = ledger.lock();
            let Some(budgets) = state.budgets() else { continue };
            let fresh = budgets.add(at.timestamp_micros(), tokens, self.link.is_some());
            drop(state);
            if let Some(link) = self.link.as_ref().filter(|_| fresh) {
                link.saved(ledger);
            }
        }
    }

    /// Counts a request that was admitted here and refused by the caller, since a budget of it is spent.
    pub fn refused_spent(&self) {
        self.refusals.spent.fetch_add(1, Ordering::Relaxed);
    }

    /// The figures for metrics.
    pub fn stats(&self) -> Stats {
        let (subjects, seeds_failed) = (self.local.ledgers.len(), self.local.seed.failed());
        let shared = self.link.as_ref().map(|link| link.stats()).unwrap_or_default();
        Stats { subjects, seeds_failed, refused: self.refusals.read(), ..shared }
    }

    pub(super) fn claims(&self, ask: &Ask, now: i64) -> Claims {
        self.local.claims(ask, now)
    }

    /// The subjects of a request as all replicas see them; nothing where counts are not shared.
    pub(super) async fn seen_elsewhere(&self, claims: &Claims, now: i64) -> [Option<Seen>; 2] {
        match &self.link {
            None => [None; 2],
            Some(link) => Box::pin(link.look(claims, now)).await,
        }
    }

    /// The state of a subject's budgets; the first request asks the store.
    pub(super) async fn budget(&self, claim: &Claim, now: i64) -> Budget {
        let wanted = budget::wanted(&claim.rules);
        if wanted == [false; 2] {
            return Budget::Left;
        }
        let judged = |state: &mut State| {
            let budgets = state.budgets_at(now);
            (seed::due(budgets, wanted), budgets.judge(&claim.rules, claim.ledger.id.subject))
        };
        let (due, budget) = judged(&mut claim.ledger.lock());
        if !due {
            return budget;
        }
        Box::pin(self.local.seed.learn(&claim.ledger, wanted, now)).await;
        if let Some(link) = &self.link {
            link.plant(&claim.ledger, wanted);
        }
        judged(&mut claim.ledger.lock()).1
    }
}

impl Refusals {
    fn note(&self, exceeded: Exceeded) {
        let count = match exceeded {
            Exceeded::Requests => &self.requests,
            Exceeded::Concurrent => &self.concurrent,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> Refused {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Refused {
            requests: read(&self.requests),
            concurrent: read(&self.concurrent),
            spent: read(&self.spent),
        }
    }
}

impl Local {
    fn claims(&self, ask: &Ask, now: i64) -> Claims {
        ask.subjects()
            .map(|subject| subject.map(|(id, rules)| Claim { ledger: self.ledgers.of(id, now), rules }))
    }

    /// Counts a request here, or refuses it.
    pub(super) fn admit(&self, claims: &Claims, now: i64, slots: Slots) -> Result<Permit, Refusal> {
        // In the order key, account, by every request: nobody waits in a circle. All are held before one is changed.
        let mut held = claims.each_ref().map(|claim| claim.as_ref().map(|claim| claim.ledger.lock()));
        let mut seen = [None, None];
        for ((seen, state), claim) in seen.iter_mut().zip(&mut held).zip(claims) {
            *seen = state.as_mut().zip(claim.as_ref()).map(|(state, claim)| claim.see(state, now));
        }
        let requests = judge(seen)?;
        for state in held.iter_mut().flatten() {
            state.apart = true;
        }
        Ok(count(held, seen, now, (requests, slots)))
    }

    /// Counts a request that Redis admitted, whatever was counted here.
    pub(super) fn follow(
        &self,
        claims: &Claims,
        seen: [Option<Seen>; 2],
        now: i64,
        admitted: Admitted,
    ) -> Permit {
        let mut held = claims.each_ref().map(|claim| claim.as_ref().map(|claim| claim.ledger.lock()));
        for state in held.iter_mut().flatten() {
            state.apart = false;
        }
        count(held, seen, now, admitted)
    }
}

/// The figures of a request that fits, and the slots that it is to hold.
pub(super) type Admitted = (Option<Requests>, Slots);

fn count(
    mut held: [Option<std::sync::MutexGuard<'_, State>>; 2],
    seen: [Option<Seen>; 2],
    now: i64,
    (requests, mut slots): Admitted,
) -> Permit {
    for (place, (state, seen)) in held.iter_mut().zip(seen).enumerate() {
        if let Some((state, seen)) = state.as_mut().zip(seen) {
            let hold = if slots.has(place) { slots.hold() } else { Hold::None };
            state.take(&seen, now, hold);
        }
    }
    // Under the same locks, so that no way out lies between counting and being responsible for it.
    slots.counted();
    drop(held);
    Permit::new(requests, Budget::Left, slots)
}

/// The slots that a request needs.
pub(super) fn slots(claims: &Claims) -> Slots {
    let ledgers = claims.each_ref().map(|claim| claim.as_ref().map(|claim| Arc::clone(&claim.ledger)));
    let limited = claims
        .each_ref()
        .map(|claim| claim.as_ref().is_some_and(|claim| claim.rules.concurrent_requests.is_some()));
    Slots::of(ledgers, limited)
}

impl Claim {
    pub(super) fn rate(&self) -> Option<Rate> {
        self.rules.requests_per_minute.map(Rate::per_minute)
    }

    /// The subject as it stands in this process.
    pub(super) fn see(&self, state: &mut State, now: i64) -> Seen {
        let ahead = self.rate().map_or(0, |rate| state.ahead(rate, now));
        Seen { subject: self.ledger.id.subject, rules: self.rules, ahead, running: state.running }
    }
}
