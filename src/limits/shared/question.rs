//! What one request asks Redis, and what the answer means.

use redis::{Script, aio::MultiplexedConnection};

use super::names;
use crate::limits::{
    Period,
    budget::wanted,
    limiter::{Claim, Claims},
    verdict::Seen,
};

/// Numbers of the answer for each subject.
const FIGURES: usize = 4;

/// A request, put to Redis.
pub(super) struct Question<'a> {
    claims: &'a Claims,
    /// The windows of day and week that each subject asks for.
    windows: [[i64; 2]; 2],
    /// What each counted ahead by itself.
    apart: [i64; 2],
}

/// What Redis said.
pub(super) struct Answer {
    /// Whether the request was counted.
    pub(super) fits: bool,
    /// The subjects before it.
    pub(super) seen: [Option<Seen>; 2],
}

impl<'a> Question<'a> {
    pub(super) fn of(claims: &'a Claims, now: i64) -> Self {
        let mut question = Self { claims, windows: [[0; 2]; 2], apart: [0; 2] };
        for (place, claim) in claims.iter().enumerate() {
            let Some(claim) = claim else { continue };
            let mut state = claim.ledger.lock();
            question.apart[place] = if state.apart { claim.see(&mut state, now).ahead } else { 0 };
            if wanted(&claim.rules) != [false; 2] {
                question.windows[place] = state.budgets_at(now).windows();
            }
        }
        question
    }

    /// Asks; what Redis says of the budgets is noted at once. Without a lease nothing is taken, and nothing fits.
    pub(super) async fn put(
        &self,
        script: &Script,
        connection: &mut MultiplexedConnection,
        (lease, life): (Option<String>, u64),
    ) -> redis::RedisResult<Answer> {
        let mut call = script.prepare_invoke();
        call.arg(lease.unwrap_or_default()).arg(life);
        for (place, claim) in self.claims.iter().enumerate() {
            let Some(Claim { ledger, rules }) = claim else { continue };
            let id = ledger.id;
            call.key(names::arrival(id)).key(names::leases(id));
            for (period, window) in Period::ALL.into_iter().zip(self.windows[place]) {
                call.key(names::saved(id, period, window));
            }
            let rate = claim.as_ref().and_then(Claim::rate);
            call.arg(rate.map_or(0, |rate| rate.interval)).arg(rate.map_or(0, |rate| rate.tolerance));
            call.arg(rules.concurrent_requests.map_or(-1, |most| most.max(0))).arg(self.apart[place]);
            for wanted in wanted(rules) {
                call.arg(i64::from(wanted));
            }
        }
        self.read(&call.invoke_async::<Vec<i64>>(connection).await?)
    }

    fn read(&self, answer: &[i64]) -> redis::RedisResult<Answer> {
        let asked = self.claims.iter().flatten().count();
        let Some((fits, figures)) = answer.split_first().filter(|(_, it)| it.len() == asked * FIGURES) else {
            return Err((redis::ErrorKind::UnexpectedReturnType, "not the answer of the script").into());
        };
        let mut figures = figures.chunks_exact(FIGURES);
        let mut seen = [None, None];
        for (place, claim) in self.claims.iter().enumerate() {
            let Some((claim, &[ahead, running, day, week])) =
                claim.as_ref().zip(claim.as_ref().and_then(|_| figures.next()))
            else {
                continue;
            };
            seen[place] = Some(Seen { subject: claim.ledger.id.subject, rules: claim.rules, ahead, running });
            self.note(place, claim, [day, week]);
        }
        Ok(Answer { fits: *fits == 1, seen })
    }

    fn note(&self, place: usize, claim: &Claim, saved: [i64; 2]) {
        let mut state = claim.ledger.lock();
        let Some(budgets) = state.budgets() else { return };
        for (i, period) in Period::ALL.into_iter().enumerate().filter(|(i, _)| wanted(&claim.rules)[*i]) {
            let tokens = Some(saved[i]).filter(|tokens| *tokens >= 0);
            budgets.mirror(period, self.windows[place][i], tokens);
        }
    }
}
