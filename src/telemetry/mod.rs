//! What an operator sees of a running process: the subscriber that writes logs, the id of a request, one
//! line a request, figures, and spans. Logs go to standard error: standard output belongs to what a command was asked for, above all
//! the secret that is printed once.

use std::io::{self, IsTerminal};

use tracing_subscriber::{
    EnvFilter, Layer, layer::SubscriberExt, registry::Registry, util::SubscriberInitExt,
};

use crate::{
    clock::{Clock, SystemClock},
    config::{Log, LogFormat},
};

mod gather;
mod json_line;
pub mod metrics;
pub mod otel;
mod request_log;

use self::{gather::Gathered, json_line::JsonLines};

pub use crate::domain::request_id::RequestId;
pub use gather::write_kept_lines;
pub use metrics::{Metrics, Readings};
pub use request_log::{CallerSlot, LoggedCaller, Protocol, RequestLog};

/// Why logging cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.level` is no filter.
    #[error("log.level is no filter")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The process has a subscriber already.
    #[error("logging has begun before")]
    Begun(#[from] tracing_subscriber::util::TryInitError),
}

/// Libraries that say at `info` what only concerns their makers. First in the filter, so that `log.level` can say
/// otherwise.
const QUIETED: &str = "sea_orm_migration=warn,sqlx=warn";

/// Begins logging to standard error, for the whole process, once.
///
/// # Errors
/// The level is no filter, or logging has begun before.
pub fn init(log: &Log) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder().parse(format!("{QUIETED},{}", log.level))?;
    let terminal = io::stderr().is_terminal();
    let human = match log.format {
        LogFormat::Human => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    };
    let format = if human { for_people(terminal, io::stderr) } else { for_machines(Gathered) };
    tracing_subscriber::registry().with(format.with_filter(filter)).try_init()?;
    Ok(())
}

/// A line for people: time, level, message, fields; in colour where `colour` says so.
fn for_people<W>(colour: bool, writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .compact()
        .with_target(false)
        .with_ansi(colour)
        .with_writer(writer)
        .boxed()
}

/// A JSON object a line, with the fields at its top level, so that log stores index them as they are.
fn for_machines<W>(writer: W) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let now = || SystemClock.now();
    JsonLines { now, writer }.boxed()
}

#[cfg(test)]
mod tests;
