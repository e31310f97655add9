//! OpenTelemetry: a span for each chat request, with the names of the semantic conventions for generative AI, sent to
//! a collector by OTLP over HTTP. Off unless it is configured.
//!
//! A span is made of the closed record, after the request, so that the path of requests knows nothing of it. Its
//! trace has the request's id. The SDK is left out: its exporter brings a thread and an HTTP client of its own, for
//! what is one message and one POST here.

mod exporter;
mod span;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::sync::mpsc;

pub use self::exporter::SpanExporter;
use crate::{config, domain::usage::Record};

/// Spans that may wait for the collector, of about a kilobyte each; what is beyond it is dropped and counted.
const WAITING: usize = 8192;

/// Why spans cannot be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum OtelError {
    /// The collector's address is none.
    #[error("otel.endpoint is no address")]
    Endpoint,
    /// There is no way to check the collector's certificate.
    #[error("the certificates of this machine cannot be read")]
    Certificates(#[source] std::io::Error),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Takes the records of requests. The exporter ends when it is gone.
#[derive(Debug)]
pub struct Spans {
    queue: mpsc::Sender<Span>,
    lost: LostSpans,
}

/// How many spans were lost since the start.
#[derive(Debug, Clone, Default)]
pub struct LostSpans(Arc<AtomicU64>);

impl Spans {
    /// Takes a record, or counts that it could not. Never waits.
    pub fn offer(&self, record: &Record) {
        if self.queue.try_send(span::of(record)).is_err() {
            self.lost.add(1);
        }
    }

    /// The count of what is lost.
    pub fn lost(&self) -> LostSpans {
        self.lost.clone()
    }
}

impl LostSpans {
    /// How many.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add(&self, spans: u64) {
        self.0.fetch_add(spans, Ordering::Relaxed);
    }
}

/// Who takes spans, and who sends them.
///
/// # Errors
/// The address is none, or there are no certificates to check it with.
pub fn open(config: &config::Otel) -> Result<(Spans, SpanExporter), OtelError> {
    let (queue, receiver) = mpsc::channel(WAITING);
    let lost = LostSpans::default();
    let exporter = SpanExporter::new(config, receiver, lost.clone())?;
    Ok((Spans { queue, lost }, exporter))
}
