//! A panic in the middle of a chat request, provoked by the one thing that the server is handed and calls there: its clock.

use std::{
    backtrace::Backtrace,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, Utc};
use orqen::clock::{Clock, SystemClock};

use crate::chat::{DOORS, House, usage::recorded};

const ASKING: &str = r#"{"model":"gpt-4o","messages":[]}"#;

/// A clock that, once armed, panics the next time that the pipeline notes something in a request's record.
#[derive(Debug, Default)]
struct Trap(AtomicBool);

impl Clock for Trap {
    fn now(&self) -> DateTime<Utc> {
        if self.0.load(Ordering::SeqCst) && called_by(&["src/usage/pending.rs", "src/chat/mod.rs"]) {
            // Once: the record asks for the time again while the panic goes up.
            self.0.store(false, Ordering::SeqCst);
            panic!("on purpose");
        }
        SystemClock.now()
    }
}

/// Whether this call came through all of these files. By file, since what is inlined has lost its module's name.
fn called_by(files: &[&str]) -> bool {
    let frames = Backtrace::force_capture().to_string();
    files.iter().all(|file| frames.contains(file))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_panics_costs_itself_alone_and_leaves_its_record() {
    let trap = Arc::new(Trap::default());
    let clock = Arc::clone(&trap);
    let house = House::with(|settings| settings.shared_clock(clock)).await;
    let agent = house.agent().await;
    for door in DOORS {
        trap.0.store(true, Ordering::SeqCst);
        agent.enters(door, ASKING).await.refused("internal_error");
        assert!(!trap.0.load(Ordering::SeqCst), "it was the trap");
        agent.enters(door, ASKING).await.headers();
    }
    let ends = serde_json::json!({"total": 4, "complete": 2, "client": 0, "upstream": 0, "error": 2});
    recorded(&agent, ends).await;
    let failed = super::requests(&agent, "&status=500").await;
    assert!(failed.len() == 2 && failed.iter().all(|record| record["ended"] == "error"), "{failed:#?}");
    assert_eq!(house.upstream.received().len(), 2);
}
