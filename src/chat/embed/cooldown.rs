//! When an upstream that failed is asked again.
//!
//! After a failure nobody asks for a second, after the next one for two, and so on up to half a minute; then a single
//! request tries. So a stalled upstream costs one request its wait now and then, and not every request. Of all that
//! asked in the same state only the first failure counts: a hundred requests that fail together are one failure.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Whether the upstream may be asked.
#[derive(Debug, Default)]
pub(super) struct Cooldown(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Failures since it last answered.
    failures: u32,
    /// When it is asked again; `None` while it answers.
    until: Option<Instant>,
}

/// The right to ask once, in the state that was then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permit(u32);

impl Cooldown {
    /// The right to ask, unless the upstream is left alone.
    pub(super) fn permit(&self, now: Instant) -> Option<Permit> {
        let mut state = self.state();
        if let Some(until) = state.until {
            if now < until {
                return None;
            }
            // Whoever comes now tries it for all; it is asked once more after the same time should he never come back.
            state.until = Some(now + pause(state.failures));
        }
        Some(Permit(state.failures))
    }

    /// Takes note of a failure; gives how long the upstream is now left alone, where this failure is the first to say.
    pub(super) fn failed(&self, permit: Permit, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        if state.failures != permit.0 {
            return None;
        }
        state.failures = state.failures.saturating_add(1);
        let pause = pause(state.failures);
        state.until = Some(now + pause);
        Some(pause)
    }

    /// Takes note that it answered in time; whether it had failed before.
    pub(super) fn succeeded(&self) -> bool {
        std::mem::take(&mut *self.state()).failures > 0
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Two plain values: nothing can be left half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long it is left alone after so many failures.
fn pause(failures: u32) -> Duration {
    SHORTEST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_half_a_minute_and_end_with_an_answer() {
        let (cooldown, mut now) = (Cooldown::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 30, 30] {
            let permit = cooldown.permit(now).unwrap();
            let pause = Duration::from_secs(seconds);
            assert_eq!(cooldown.failed(permit, now), Some(pause));
            assert_eq!(cooldown.permit(now + pause - Duration::from_millis(1)), None);
            now += pause;
        }
        assert!(cooldown.permit(now).is_some() && cooldown.succeeded() && !cooldown.succeeded());
        let permit = cooldown.permit(now).unwrap();
        assert_eq!(cooldown.failed(permit, now), Some(Duration::from_secs(1)));
    }

    #[test]
    fn failures_of_the_same_moment_are_one_and_a_single_request_tries_again() {
        let (cooldown, now) = (Cooldown::default(), Instant::now());
        let permits = [(); 3].map(|()| cooldown.permit(now).unwrap());
        assert_eq!(permits.map(|permit| cooldown.failed(permit, now).is_some()), [true, false, false]);
        let later = now + Duration::from_secs(1);
        assert!(cooldown.permit(later).is_some() && cooldown.permit(later).is_none());
        assert!(
            cooldown.permit(later + Duration::from_secs(1)).is_some(),
            "the one that tried never came back"
        );
    }
}
