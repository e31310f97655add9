//! The span of a request, from its record: figures, words of ours, and the model; nothing else that a client wrote.

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, Status, span::SpanKind, status::StatusCode},
};

use crate::domain::usage::{Ended, Record};

/// The span of a request.
pub(super) fn of(record: &Record) -> Span {
    let id = record.id.bytes();
    let start =
        record.at.timestamp_nanos_opt().and_then(|nanos| u64::try_from(nanos).ok()).unwrap_or_default();
    let total = u64::try_from(record.latency.total_us).unwrap_or_default().saturating_mul(1000);
    // A name that no upstream serves may be anything.
    let model = record.model.as_deref().filter(|_| record.upstream.is_some());
    let failed = matches!(record.ended, Ended::Upstream | Ended::Error);
    Span {
        trace_id: id.to_vec(),
        // The last bytes are the random ones.
        span_id: id[8..].to_vec(),
        name: model.map_or_else(|| "chat".to_owned(), |model| format!("chat {model}")),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: start.saturating_add(total),
        attributes: attributes(record, model),
        status: failed.then(|| Status { code: StatusCode::Error.into(), ..Status::default() }),
        ..Span::default()
    }
}

fn attributes(record: &Record, model: Option<&str>) -> Vec<KeyValue> {
    let Record { tools, tokens, saved, latency, .. } = record;
    let error = match (record.ended, record.status) {
        (Ended::Complete, _) => None,
        (Ended::Upstream | Ended::Error, Some(status)) if status >= 400 => Some(status.to_string()),
        (ended, _) => Some(ended.as_str().to_owned()),
    };
    let texts = [
        ("gen_ai.operation.name", Some("chat".to_owned())),
        ("gen_ai.provider.name", record.upstream.as_deref().map(str::to_owned)),
        ("gen_ai.request.model", model.map(str::to_owned)),
        ("error.type", error),
        ("orqen.request.id", Some(record.id.as_str().to_owned())),
        ("orqen.account.id", Some(record.account_id.to_string())),
        ("orqen.key.id", record.key_id.map(|key| key.to_string())),
        ("orqen.outcome", Some(record.ended.as_str().to_owned())),
        ("orqen.routing", record.routing.map(|routing| routing.as_str().to_owned())),
    ];
    let numbers = [
        ("gen_ai.usage.input_tokens", tokens.prompt),
        ("gen_ai.usage.output_tokens", tokens.completion),
        ("gen_ai.usage.cache_read.input_tokens", tokens.cached),
        ("http.response.status_code", record.status.map(i64::from)),
        ("orqen.tools.input", Some(tools.input.into())),
        ("orqen.tools.denied", Some(tools.denied.into())),
        ("orqen.tools.output", Some(tools.output.into())),
        ("orqen.tools.called", Some(record.called.into())),
        ("orqen.recall_misses", Some(record.recall_misses.into())),
        ("orqen.tokens_saved.pruning", Some(saved.pruning)),
        ("orqen.tokens_saved.lists", Some(saved.lists)),
        ("orqen.latency.own_us", Some(latency.own_us)),
        ("orqen.latency.upstream_us", latency.upstream_us),
        ("orqen.latency.first_byte_us", latency.first_byte_us),
    ];
    let texts = texts.into_iter().filter_map(|(key, text)| Some((key, Value::StringValue(text?))));
    let numbers = numbers.into_iter().filter_map(|(key, number)| Some((key, Value::IntValue(number?))));
    let streamed = ("orqen.streamed", Value::BoolValue(record.streamed));
    texts.chain(numbers).chain([streamed]).map(|(key, value)| attribute(key, value)).collect()
}

/// A name with its value.
pub(super) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
