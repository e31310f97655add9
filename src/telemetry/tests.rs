//! What a log line holds, and that it is written once however a request ends.

use std::{
    io,
    sync::{Arc, Mutex},
};

use chrono::DateTime;
use serde_json::Value;
use tracing_subscriber::filter::LevelFilter;
use uuid::Uuid;

use super::*;
use crate::domain::{
    key::{AccountId, Key, KeyId, Scopes, ToolMode},
    limits::OwnLimits,
    toollist::Toollist,
    usage::Ended,
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that `work` logs at `level` and above, as JSON.
fn logged(level: LevelFilter, work: impl FnOnce()) -> Vec<Value> {
    let lines = Lines::default();
    let writer = lines.clone();
    let layer = for_machines(move || writer.clone()).with_filter(level);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn begin(path: &str) -> RequestLog {
    let target = path.parse().unwrap();
    RequestLog::begin(RequestId::from_bytes([7; 16]), Protocol::Rest, &http::Method::POST, &target)
}

fn key_of(account_id: AccountId, id: KeyId) -> Key {
    Key {
        id,
        account_id,
        name: "k".into(),
        prefix: "sk-orq-01234567".into(),
        disabled: false,
        scopes: Scopes::all(),
        toollist: Toollist::unbound(),
        tool_mode: ToolMode::Filter,
        own_limits: OwnLimits::default(),
        created_at: DateTime::UNIX_EPOCH,
        created_by: "test".into(),
        last_used_at: None,
        expires_at: None,
        revoked_at: None,
        rotated_at: None,
        secrets: Vec::new(),
        revision: 1,
    }
}

#[test]
fn a_request_is_one_line_with_everything_known_of_it() {
    let (account, key) = (AccountId(Uuid::from_u128(1)), KeyId(Uuid::from_u128(2)));
    let lines = logged(LevelFilter::INFO, || {
        let mut log = begin("/v1/chat/completions?secret=1");
        log.status(200);
        log.caller().fill(LoggedCaller {
            account: Some(account),
            key: Some(Arc::new(key_of(account, key))),
            token: None,
        });
        log.finish(Ended::Complete);
    });
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["request_id"], format!("req_{}", "07".repeat(16)));
    assert_eq!((&line["method"], &line["path"]), (&"POST".into(), &"/v1/chat/completions".into()));
    assert_eq!((&line["status"], &line["protocol"]), (&200.into(), &"rest".into()));
    assert_eq!((&line["account"], &line["key_id"]), (&account.to_string().into(), &key.to_string().into()));
    assert_eq!(line["ended"], "complete");
    assert!(line["duration_ms"].as_f64().unwrap() >= 0.0);
}

#[test]
fn a_request_that_is_dropped_was_left_by_its_client_and_is_told_once() {
    let lines = logged(LevelFilter::INFO, || drop(begin("/v1/models")));
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["ended"], "client");
    assert!(lines[0].get("status").is_none() && lines[0].get("account").is_none());
}

#[test]
fn a_line_is_json_whatever_its_fields_hold() {
    let odd = "a \"quote\", a \\, a line\nand \u{1}\u{7f}é\u{2028}";
    let lines = logged(LevelFilter::INFO, || {
        let error = io::Error::other(odd);
        tracing::warn!(text = odd, debug = ?odd, shown = %odd, error = &error as &dyn std::error::Error, "{odd}");
        tracing::info!(least = i64::MIN, most = u64::MAX, half = 0.5, none = f64::NAN, yes = true, "numbers");
        tracing::info!(maybe = Option::<u64>::None, "nothing");
    });
    assert_eq!(lines[0]["level"], "WARN");
    for field in ["message", "text", "shown", "error"] {
        assert_eq!(lines[0][field], odd, "{field}");
    }
    assert_eq!(lines[0]["debug"], format!("{odd:?}"));
    assert!(lines[0]["timestamp"].as_str().unwrap().parse::<DateTime<chrono::Utc>>().is_ok());
    assert!(lines[0]["target"].as_str().unwrap().contains("telemetry"));
    let numbers = &lines[1];
    assert_eq!((&numbers["least"], &numbers["most"]), (&i64::MIN.into(), &u64::MAX.into()));
    assert_eq!((&numbers["half"], &numbers["none"]), (&0.5.into(), &Value::Null));
    assert_eq!(numbers["yes"], true);
    assert!(lines[2].get("maybe").is_none());
}

#[test]
fn a_fraction_is_written_as_itself() {
    let some =
        [0.0, 0.001, 0.01, 0.5, 12.345, 3.0, 0.1234, -1.5, 4503599.627, 1e11 + 0.001, 1e15, 1e300, 5e-324];
    let lines = logged(LevelFilter::INFO, || some.iter().for_each(|one| tracing::info!(one, "number")));
    for (line, one) in lines.iter().zip(some) {
        assert_eq!(line["one"].as_f64(), Some(one), "{line}");
    }
    for micros in (0..3_000_000_u64).step_by(977) {
        let lines = logged(LevelFilter::INFO, || tracing::info!(time = micros as f64 / 1000.0, "number"));
        assert_eq!(lines[0]["time"].as_f64(), Some(micros as f64 / 1000.0));
    }
}

#[test]
fn probes_are_told_at_debug_only() {
    for path in ["/healthz", "/readyz?full", "/grpc.health.v1.Health/Check"] {
        assert!(logged(LevelFilter::INFO, || begin(path).finish(Ended::Complete)).is_empty(), "{path}");
        assert_eq!(logged(LevelFilter::DEBUG, || begin(path).finish(Ended::Complete)).len(), 1, "{path}");
    }
}

#[test]
fn a_secret_in_a_path_is_not_shown() {
    let digits = "0123456789abcdef".repeat(4);
    for path in [
        format!("/v1/keys/sk-orq-{digits}"),
        format!("/v1/keys/sk%2Dorq%2d{digits}/toollist"),
        format!("/v1/keys/SK-ORQ-{digits}"),
        format!("/v1/keys/x{}sk-orq-{digits}", "%C3%A4".repeat(3)),
    ] {
        let lines = logged(LevelFilter::INFO, || drop(begin(&path)));
        assert!(!lines[0].to_string().contains("89abcdef"), "{}", lines[0]);
    }
}

#[test]
fn a_path_is_cut_and_may_hold_anything() {
    for path in ["/", "/?", "/%", "/%f", "/%zz%", "/ä", "*"] {
        assert_eq!(logged(LevelFilter::INFO, || drop(begin(path))).len(), 1);
    }
    let lines = logged(LevelFilter::INFO, || drop(begin(&"/ä".repeat(1000))));
    assert_eq!(lines[0]["path"].as_str().unwrap().chars().count(), 257);
}
