//! How long to wait before the next attempt to reach what is away: longer after each failure, up to a bound, and by chance
//! a little less.
//!
//! Chance is handed in. It matters where replicas lose a server together: without it they come back together, again and
//! again.

use std::time::Duration;

/// Pauses that double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The pause after the first failure, at most.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Backoff {
    /// The pause after so many failures before this one: half of it for certain, of the other half as much as `chance`,
    /// any number at all, says.
    pub fn pause(self, failures: u32, chance: u64) -> Duration {
        let pause = self.first.saturating_mul(2u32.saturating_pow(failures)).min(self.longest);
        let half = u64::try_from(pause.as_micros() / 2).unwrap_or(u64::MAX / 2);
        Duration::from_micros(half + chance % (half + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_chance_takes_at_most_half() {
        let backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5) };
        for (failures, whole) in [(0, 100), (1, 200), (5, 3200), (6, 5000), (40, 5000), (u32::MAX, 5000)] {
            for chance in [0, 1, 77, u64::MAX / 3, u64::MAX] {
                let pause = backoff.pause(failures, chance).as_millis();
                assert!((whole / 2..=whole).contains(&pause), "{failures} {chance}: {pause}");
            }
        }
        assert_eq!(Backoff { first: Duration::ZERO, ..backoff }.pause(3, 9), Duration::ZERO);
    }
}
