//! The figures behind `/metrics`: what closed records add up to (`requests`), answers counted at the door
//! (`answers`), and what other modules count for themselves, read when somebody asks (`readings`).
//!
//! A registry of its own for each process's `App`, not one for the whole process: tests run many side by side. Labels
//! are words of ours or names of the configuration, never what a client wrote, so that no client can make series.

mod answers;
mod readings;
mod requests;
#[cfg(test)]
mod tests;

use prometheus_client::{encoding::prometheus_text, registry::Registry};

pub use self::readings::{Readings, Skips};
use self::{answers::Answers, requests::Requests};
use crate::{domain::usage::Record, telemetry::Protocol};

/// What the body of `/metrics` is.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The prefix of every name.
const PREFIX: &str = "orqen";

/// The figures of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    answers: Answers,
}

impl Metrics {
    /// Figures that begin with zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let requests = Requests::register(&mut registry);
        let answers = Answers::register(&mut registry);
        Self { registry, requests, answers }
    }

    /// Adds a record that is closed and counted. Takes locks, so that it is for the writer of usage and not for the
    /// path of a request.
    pub fn record(&self, record: &Record) {
        self.requests.add(record);
    }

    /// Counts an answer by its HTTP status: one atomic.
    pub fn answered(&self, protocol: Protocol, status: u16) {
        self.answers.add(protocol, status);
    }

    /// All figures in Prometheus's text format, `CONTENT_TYPE`.
    pub fn text(&self, readings: &Readings) -> String {
        let mut text = String::with_capacity(16 * 1024);
        let read = readings.registry();
        for registry in [&self.registry, &read] {
            // Writing into a string cannot fail.
            let _ = prometheus_text::encode(&mut text, registry);
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The class of a status, as a label.
fn class(status: u16) -> &'static str {
    CLASSES[place(status)]
}

/// What `class` can say. The last is for no status at all.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

fn place(status: u16) -> usize {
    match status {
        100..600 => usize::from(status / 100 - 1),
        _ => CLASSES.len() - 1,
    }
}
