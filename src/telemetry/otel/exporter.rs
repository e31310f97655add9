//! The task that sends spans: some at a time, again after a pause where the collector asks for patience, and then no
//! more. Spans are for looking at; nothing waits for them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{InstrumentationScope, any_value::Value},
    resource::v1::Resource,
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use prost::Message;
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider};
use tokio::sync::mpsc;

use super::{LostSpans, OtelError, span::attribute};
use crate::config;

/// Spans in one message.
const BATCH: usize = 512;
/// How long spans wait for others.
const GATHER: Duration = Duration::from_secs(1);
/// How often a message is sent, and the pause after the first time, which then doubles.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);
/// How long the last messages may take once the process stops.
const LAST: Duration = Duration::from_secs(3);
/// The most that is read of an answer.
const ANSWER: usize = 64 * 1024;

/// Sends spans to a collector.
pub struct SpanExporter {
    queue: mpsc::Receiver<Span>,
    lost: LostSpans,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    traces: Uri,
    timeout: Duration,
    resource: Resource,
    failing: bool,
}

impl SpanExporter {
    pub(super) fn new(
        config: &config::Otel,
        queue: mpsc::Receiver<Span>,
        lost: LostSpans,
    ) -> Result<Self, OtelError> {
        let traces = config.traces().ok_or(OtelError::Endpoint)?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(config.timeout));
        let connector = HttpsConnector::from((tcp, tls(&traces)?));
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        let text = |text: &str| Value::StringValue(text.to_owned());
        let attributes = vec![
            attribute("service.name", text(&config.service_name)),
            attribute("service.version", text(env!("CARGO_PKG_VERSION"))),
        ];
        let resource = Resource { attributes, ..Resource::default() };
        Ok(Self { queue, lost, client, traces, timeout: config.timeout, resource, failing: false })
    }

    /// Sends until whoever gives spans is gone and the last ones are sent.
    pub async fn run(mut self) {
        let mut spans = Vec::with_capacity(BATCH);
        while self.queue.recv_many(&mut spans, BATCH).await > 0 {
            let _ = tokio::time::timeout(GATHER, self.gather(&mut spans)).await;
            let number = spans.len() as u64;
            let sent = self.send(std::mem::take(&mut spans)).await;
            if let Err(problem) = &sent {
                self.lost.add(number);
                if !self.failing {
                    tracing::warn!(
                        spans = number,
                        problem,
                        "spans were lost: the collector did not take them"
                    );
                }
            } else if self.failing {
                tracing::info!("the collector takes spans again");
            }
            self.failing = sent.is_err();
        }
    }

    /// Takes spans until there are enough for a message, or there will be no more.
    async fn gather(&mut self, spans: &mut Vec<Span>) {
        while spans.len() < BATCH {
            if self.queue.recv_many(spans, BATCH - spans.len()).await == 0 {
                return;
            }
        }
    }

    async fn send(&self, spans: Vec<Span>) -> Result<(), String> {
        let scope = InstrumentationScope { name: "orqen".to_owned(), ..InstrumentationScope::default() };
        let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
        let all =
            ResourceSpans { resource: Some(self.resource.clone()), scope_spans, ..ResourceSpans::default() };
        let body = Bytes::from(ExportTraceServiceRequest { resource_spans: vec![all] }.encode_to_vec());
        let mut attempt = 0;
        loop {
            attempt += 1;
            let last = self.queue.is_closed();
            let time = if last { self.timeout.min(LAST) } else { self.timeout };
            let problem = match tokio::time::timeout(time, self.post(body.clone())).await {
                Ok(Ok(status)) if status.is_success() => return Ok(()),
                Ok(Ok(status)) if !asks_for_patience(status) => return Err(format!("it answered {status}")),
                Ok(Ok(status)) => format!("it answered {status}"),
                Ok(Err(problem)) => problem,
                Err(_) => format!("no answer within {time:?}"),
            };
            if attempt == ATTEMPTS || last {
                return Err(problem);
            }
            tokio::time::sleep(PAUSE * 2u32.pow(attempt - 1)).await;
        }
    }

    async fn post(&self, body: Bytes) -> Result<StatusCode, String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.traces.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::USER_AGENT, concat!("orqen/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let answer = self.client.request(request).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        // Read to its end, so that the connection can be used again.
        let _ = Limited::new(body, ANSWER).collect().await;
        Ok(head.status)
    }
}

/// The statuses after which the protocol says to try again.
fn asks_for_patience(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// The certificates of the machine, which nobody needs for plain HTTP.
fn tls(to: &Uri) -> Result<ClientConfig, OtelError> {
    let provider = CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match to.scheme_str() {
        Some("https") => builder.with_native_roots().map_err(OtelError::Certificates)?,
        _ => builder.with_root_certificates(RootCertStore::empty()),
    };
    Ok(builder.with_no_client_auth())
}
