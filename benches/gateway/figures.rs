//! What one run of a load gave, and how several become one.

use std::time::Duration;

use crate::procs::Used;

/// What one run gave.
#[derive(Default)]
pub(crate) struct Figures {
    /// Answers that were right.
    pub(crate) served: u64,
    /// Chunks of streams in them.
    pub(crate) chunks: u64,
    /// Answers that were not, and requests without one.
    pub(crate) errors: u64,
    /// What the first of those was.
    pub(crate) problem: Option<String>,
    /// How long was measured, in seconds.
    pub(crate) seconds: f64,
    /// Processor time of the candidate meanwhile, in seconds.
    pub(crate) busy: f64,
    /// That of its threads of SQLite.
    pub(crate) writer: f64,
    /// From the intended start to the end of the answer.
    pub(crate) latency: Spread,
    /// From there to the first chunk.
    pub(crate) first: Spread,
    /// A chunk from the mock to the client.
    pub(crate) transit: Spread,
}

/// The middle and the far end of many times, in microseconds.
#[derive(Default, Clone, Copy)]
pub(crate) struct Spread {
    /// Half of them are shorter.
    pub(crate) p50: f64,
    /// All but a hundredth are.
    pub(crate) p99: f64,
}

impl Figures {
    /// A run that was not done, since what is checked before was wrong.
    pub(crate) fn refused(problem: String) -> Self {
        Self { errors: 1, problem: Some(problem), ..Self::default() }
    }

    /// Takes what was used and how long it took.
    pub(crate) fn used(&mut self, used: Used, elapsed: Duration) {
        self.seconds = elapsed.as_secs_f64();
        self.busy = used.all.as_secs_f64();
        self.writer = used.writer.as_secs_f64();
    }

    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        self.served as f64 / self.seconds
    }

    /// Chunks a second.
    pub(crate) fn chunk_rate(&self) -> f64 {
        self.chunks as f64 / self.seconds
    }

    /// Processor time a request, in microseconds.
    pub(crate) fn cost(&self) -> f64 {
        self.busy * 1e6 / self.served as f64
    }

    /// That of SQLite's threads.
    pub(crate) fn writer_cost(&self) -> f64 {
        self.writer * 1e6 / self.served as f64
    }

    /// Processor time a chunk, the request's own share included.
    pub(crate) fn chunk_cost(&self) -> f64 {
        self.busy * 1e6 / self.chunks as f64
    }

    /// The share of its core that the candidate used, in per cent.
    pub(crate) fn share(&self) -> f64 {
        self.busy * 100.0 / self.seconds
    }
}

impl Spread {
    /// Of times in nanoseconds.
    pub(crate) fn of(times: &mut [u64]) -> Self {
        times.sort_unstable();
        let at = |share: usize| {
            let place = times.len().saturating_sub(1) * share / 100;
            times.get(place).copied().unwrap_or_default() as f64 / 1e3
        };
        Self { p50: at(50), p99: at(99) }
    }
}

/// The median; not a number where there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|value| value.is_finite());
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.as_slice() {
        [] => f64::NAN,
        values if values.len() % 2 == 1 => values[middle],
        values => f64::midpoint(values[middle - 1], values[middle]),
    }
}
