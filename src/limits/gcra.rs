//! The generic cell rate algorithm (ITU-T I.371): a token bucket kept in one number, the theoretical arrival time of
//! the next request. Pure arithmetic on microseconds; the Redis script does the same, in doubles, which are exact here.

/// A minute, in microseconds.
pub(super) const MINUTE: i64 = 60_000_000;

/// How far requests may overtake each other between reading the clock and being counted, in microseconds. The script
/// for Redis has the same.
const DISORDER: i64 = 5_000_000;

/// A limit of requests a minute whose burst is the limit.
///
/// The interval is rounded up, so that more than the limit never passes in a minute, and the tolerance is a whole
/// number of intervals, so that the burst is exactly the limit. A limit of 0 lets nothing pass; beyond one request a
/// microsecond limits cannot be told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// Microseconds that one request takes from the bucket.
    pub(super) interval: i64,
    /// Microseconds that a full bucket holds.
    pub(super) tolerance: i64,
}

impl Rate {
    pub(super) fn per_minute(limit: i64) -> Self {
        let limit = limit.clamp(0, MINUTE);
        if limit == 0 {
            return Self { interval: 2 * MINUTE, tolerance: MINUTE };
        }
        let interval = (MINUTE + limit - 1) / limit;
        Self { interval, tolerance: interval * limit }
    }

    /// How far the arrival time lies ahead of `now`. Much more than a full bucket can only be a clock that stepped
    /// back: without a bound, a clock that was a day fast for a moment would lock a key out for a day. A little more
    /// is a request that was overtaken; to cut that too would give back what others took.
    pub(super) fn ahead(self, arrival: i64, now: i64) -> i64 {
        let ahead = arrival.saturating_sub(now).max(0);
        if ahead > self.tolerance + DISORDER { self.tolerance } else { ahead }
    }

    /// Whether one more request fits.
    pub(super) fn fits(self, ahead: i64) -> bool {
        ahead + self.interval <= self.tolerance
    }

    /// Microseconds until one more fits.
    pub(super) fn wait(self, ahead: i64) -> i64 {
        (ahead + self.interval - self.tolerance).max(0)
    }

    /// How many more fit at once.
    pub(super) fn remaining(self, ahead: i64) -> i64 {
        (self.tolerance - ahead).max(0) / self.interval
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_burst_is_exactly_the_limit() {
        for limit in [1, 2, 3, 7, 59, 60, 61, 100, 1_000, 7_000_001, MINUTE, i64::MAX] {
            let rate = Rate::per_minute(limit);
            assert_eq!(rate.remaining(0), limit.min(MINUTE), "{limit}");
            assert_eq!(rate.wait(0), 0);
        }
    }

    #[test]
    fn a_limit_of_nothing_lets_nothing_pass() {
        for limit in [0, -1, i64::MIN] {
            let rate = Rate::per_minute(limit);
            assert!(!rate.fits(0));
            assert_eq!((rate.remaining(0), rate.wait(0)), (0, MINUTE));
        }
    }

    proptest! {
        /// In any stretch of time no more passes than a full bucket and what flowed in since, also when requests
        /// overtake each other.
        #[test]
        fn never_more_than_the_burst_and_what_refilled(
            limit in 1i64..5_000,
            steps in proptest::collection::vec((0i64..200_000, 0i64..2_000_000), 1..400),
        ) {
            let rate = Rate::per_minute(limit);
            let (mut latest, mut arrival, mut passed) = (0, 0, 0);
            for (step, late) in steps {
                latest += step;
                let now = latest - late;
                let ahead = rate.ahead(arrival, now);
                let fits = rate.fits(ahead);
                prop_assert_eq!(fits, rate.wait(ahead) == 0);
                prop_assert_eq!(fits, rate.remaining(ahead) > 0);
                if fits {
                    arrival = now + ahead + rate.interval;
                    passed += 1;
                } else {
                    arrival = arrival.min(now + ahead);
                    prop_assert!(rate.fits(rate.ahead(arrival, now + rate.wait(ahead))), "the wait is enough");
                    prop_assert!(!rate.fits(rate.ahead(arrival, now + rate.wait(ahead) - 1)), "and not too long");
                }
                prop_assert!(passed <= limit + latest / rate.interval);
            }
        }
    }
}
