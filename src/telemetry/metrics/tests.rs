//! The text that Prometheus gets, read as it would read it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use uuid::Uuid;

use super::*;
use crate::{
    domain::{
        key::AccountId,
        usage::{Ended, Latency, Routing, Saved, Tokens, ToolTally},
    },
    telemetry::RequestId,
};

fn record() -> Record {
    let id = RequestId::generate(DateTime::UNIX_EPOCH, &mut rand::rng());
    let begun = Record::begun(id, AccountId(Uuid::nil()), None, DateTime::UNIX_EPOCH);
    Record {
        model: Some("gpt-secret-model".into()),
        session: Some("a session".into()),
        upstream: Some("openai".into()),
        status: Some(200),
        ended: Ended::Complete,
        latency: Latency {
            total_us: 1_000_300,
            upstream_us: Some(1_000_000),
            own_us: 300,
            first_byte_us: Some(200_000),
        },
        tools: ToolTally { input: 32, denied: 4, would_deny: 0, output: 8 },
        routing: Some(Routing::Keyword),
        called: 2,
        recall_misses: 1,
        tokens: Tokens { prompt: Some(700), completion: Some(30), cached: Some(500) },
        saved: Saved { pruning: 1500, lists: 250 },
        ..begun
    }
}

/// The samples of a text, by name and labels.
fn samples(text: &str) -> BTreeMap<&str, f64> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name, value.parse().unwrap())
        })
        .collect()
}

#[test]
fn a_record_is_counted_once_in_every_figure() {
    let metrics = Metrics::new();
    metrics.record(&record());
    let text = metrics.text(&Readings::default());
    let samples = samples(&text);
    for (name, value) in [
        (r#"orqen_requests_total{outcome="complete",status="2xx",streamed="false",upstream="openai"}"#, 1.0),
        ("orqen_own_duration_seconds_count", 1.0),
        (r#"orqen_own_duration_seconds_bucket{le="0.0002"}"#, 0.0),
        (r#"orqen_own_duration_seconds_bucket{le="0.0003"}"#, 1.0),
        (r#"orqen_upstream_duration_seconds_sum{upstream="openai"}"#, 1.0),
        (r#"orqen_time_to_first_byte_seconds_sum{upstream="openai"}"#, 0.2),
        (r#"orqen_tool_selections_total{routing="keyword"}"#, 1.0),
        (r#"orqen_tool_selections_total{routing="semantic"}"#, 0.0),
        ("orqen_tools_received_total", 32.0),
        (r#"orqen_tools_removed_total{by="lists"}"#, 4.0),
        (r#"orqen_tools_removed_total{by="pruning"}"#, 20.0),
        ("orqen_tools_forwarded_total", 8.0),
        ("orqen_tool_calls_total", 2.0),
        ("orqen_recall_misses_total", 1.0),
        (r#"orqen_tokens_saved_total{by="lists"}"#, 250.0),
        (r#"orqen_tokens_saved_total{by="pruning"}"#, 1500.0),
        ("orqen_prompt_tokens_total", 700.0),
        ("orqen_completion_tokens_total", 30.0),
        ("orqen_cached_tokens_total", 500.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in\n{text}");
    }
    assert!(!text.contains("secret-model") && !text.contains("session"), "{text}");
}

#[test]
fn a_refused_request_has_no_upstream_and_pruned_nothing() {
    let metrics = Metrics::new();
    let tools = ToolTally { input: 3, denied: 1, would_deny: 0, output: 0 };
    let latency = Latency { total_us: 90, own_us: 90, ..Latency::default() };
    let refused =
        Record { upstream: None, status: Some(403), ended: Ended::Error, tools, latency, ..record() };
    metrics.record(&refused);
    metrics.record(&Record { status: None, ended: Ended::Client, ..refused });
    let text = metrics.text(&Readings::default());
    let samples = samples(&text);
    for (name, value) in [
        (r#"orqen_requests_total{outcome="error",status="4xx",streamed="false",upstream="none"}"#, 1.0),
        (r#"orqen_requests_total{outcome="client",status="none",streamed="false",upstream="none"}"#, 1.0),
        (r#"orqen_tools_removed_total{by="lists"}"#, 2.0),
        (r#"orqen_tools_removed_total{by="pruning"}"#, 0.0),
        ("orqen_tools_forwarded_total", 0.0),
    ] {
        assert_eq!(samples.get(name), Some(&value), "{name} in\n{text}");
    }
    assert!(!text.contains("orqen_upstream_duration_seconds_bucket"), "{text}");
}

#[test]
fn the_text_names_every_family_once_and_before_its_samples() {
    let metrics = Metrics::new();
    metrics.record(&record());
    metrics.answered(Protocol::GrpcWeb, 404);
    let readings = Readings {
        refusals: vec![("requests", 3)],
        skips: vec![("off", 2)],
        store_staleness: 0.25,
        limiter_away: true,
        listening: true,
        ..Readings::default()
    };
    let text = metrics.text(&readings);
    let (mut families, mut current) = (BTreeSet::new(), String::new());
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(families.insert(name.to_owned()), "{name} stands there twice");
            current = name.to_owned();
        } else if !line.starts_with("# HELP ") {
            assert!(line.starts_with(&current), "{line} stands under {current}");
        }
    }
    let samples = samples(&text);
    assert_eq!(samples[r#"orqen_http_responses_total{protocol="grpc-web",status="4xx"}"#], 1.0);
    assert_eq!(samples[r#"orqen_refusals_total{limit="requests"}"#], 3.0);
    assert_eq!(samples[r#"orqen_prune_skipped_total{reason="off"}"#], 2.0);
    assert_eq!(samples["orqen_store_staleness_seconds"], 0.25);
    assert_eq!(samples["orqen_limiter_redis_away"], 1.0);
    assert_eq!(samples["orqen_store_listening"], 1.0);
}

#[test]
fn no_status_is_out_of_place() {
    for (status, class) in [(0, "none"), (99, "none"), (100, "1xx"), (200, "2xx"), (429, "4xx"), (599, "5xx")]
    {
        assert_eq!(super::class(status), class);
    }
    assert_eq!(super::class(u16::MAX), "none");
}
