//! The one decision of both back ends: whether a request fits, from what was seen of its subjects. The Redis script
//! only says whether all fit; which limit refused and the figures are worked out here, from the same numbers.

use std::time::Duration;

use super::{Exceeded, Refusal, Requests, Rules, Subject, gcra::Rate};

/// How long to wait for a slot. Nobody knows when a request ends; a second keeps callers from spinning.
const SLOT_WAIT: Duration = Duration::from_secs(1);

/// A subject before the request, by what its rules limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) subject: Subject,
    pub(super) rules: Rules,
    /// Microseconds by which the arrival time lies ahead.
    pub(super) ahead: i64,
    /// Requests that run.
    pub(super) running: i64,
}

impl Seen {
    pub(super) fn rate(&self) -> Option<Rate> {
        self.rules.requests_per_minute.map(Rate::per_minute)
    }

    fn refusal(&self) -> Option<Refusal> {
        let over = |exceeded, limit, retry_after| {
            Some(Refusal { exceeded, subject: self.subject, limit, retry_after, requests: None })
        };
        if let (Some(limit), Some(rate)) = (self.rules.requests_per_minute, self.rate())
            && !rate.fits(self.ahead)
        {
            return over(Exceeded::Requests, limit, micros(rate.wait(self.ahead)));
        }
        match self.rules.concurrent_requests {
            Some(limit) if self.running >= limit => over(Exceeded::Concurrent, limit, SLOT_WAIT),
            _ => None,
        }
    }

    /// The figures once `taken` requests are counted.
    pub(super) fn requests(&self, taken: i64) -> Option<Requests> {
        let rate = self.rate()?;
        let ahead = self.ahead.saturating_add(rate.interval.saturating_mul(taken)).min(rate.tolerance);
        let limit = self.rules.requests_per_minute?;
        Some(Requests { limit, remaining: rate.remaining(ahead), reset: micros(ahead) })
    }
}

/// The figures of an admitted request, or why it is refused: of several limits the one that makes wait longest, so
/// that who waits as told is let in.
pub(super) fn judge(seen: [Option<Seen>; 2]) -> Result<Option<Requests>, Refusal> {
    let seen = || seen.iter().flatten();
    // `max_by_key` prefers the last of equals, and the key's limit is the first.
    match seen().rev().filter_map(Seen::refusal).max_by_key(|refusal| refusal.retry_after) {
        None => Ok(tightest(seen().filter_map(|seen| seen.requests(1)))),
        Some(refusal) => {
            let same = |seen: &&Seen| seen.subject == refusal.subject;
            let own = matches!(refusal.exceeded, Exceeded::Requests)
                .then(|| seen().find(same).and_then(|seen| seen.requests(0)))
                .flatten();
            let requests = own.or_else(|| tightest(seen().filter_map(|seen| seen.requests(0))));
            Err(Refusal { requests, ..refusal })
        }
    }
}

fn tightest(figures: impl Iterator<Item = Requests>) -> Option<Requests> {
    figures.min_by_key(|requests| requests.remaining)
}

/// A span of microseconds that is not negative.
pub(super) fn micros(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).unsigned_abs())
}
