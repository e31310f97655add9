//! Requests that try to bring a denied tool to the provider: repeated members, shapes, choices, spellings, bodies that
//! are several documents or none. Each is sent over REST, over gRPC as bytes, and, where it can be expressed, typed; by
//! a key that denies the tool and by one that allows another alone.

mod tables;

use bytes::Bytes;
use serde_json::json;

use crate::{
    attacks::{
        DENIED,
        readers::{finds_denied, finds_other},
        typed,
    },
    chat::{DOORS, House, Outcome, spellings::SPELLINGS},
    support::actors::Agent,
};

use tables::{
    CHOICES, DOCUMENTS,
    Fate::{self, Cleaned, Refused},
    REPEATED, SHAPES,
};

/// The rows of the tables, and the spellings.
pub(super) const ROWS: usize =
    REPEATED.len() + SHAPES.len() + CHOICES.len() + DOCUMENTS.len() + SPELLINGS.len();

/// A body and its name, with the model that leads to the upstream.
fn bodies() -> impl Iterator<Item = (String, String, Option<Fate>)> {
    let tables = [REPEATED, SHAPES, CHOICES, DOCUMENTS].into_iter().flatten();
    let rows = tables.map(|(what, body, fate)| {
        let body = body.replace('@', DENIED).replacen("{\"", "{\"model\":\"gpt-4o\",\"", 1);
        ((*what).to_owned(), body, Some(*fate))
    });
    // In places that the tests of tools' own spellings do not try.
    let spelled = SPELLINGS.iter().map(|(what, name)| {
        let body = format!(
            r#"{{"model":"gpt-4o","tools":[{{"name":"keep"}}],"tool_choice":{{"type":"allowed_tools","tools":[{{"name":"{name}"}},{{"name":"keep"}}]}}}}"#
        );
        (format!("allowed, as {what}"), body, Some(Cleaned))
    });
    rows.chain(spelled)
}

/// Attempts that are built, since they are large.
pub(super) const BUILT: usize = 8;

fn built() -> [(&'static str, Bytes); BUILT] {
    let tools = |tools: &str| Bytes::from(format!(r#"{{"model":"gpt-4o","tools":[{tools}]}}"#));
    let many = |name: &str| vec![format!(r#"{{"name":"{name}"}}"#); 9_999].join(",");
    let long = "x".repeat(1 << 20);
    let deep = format!("{}{}", r#"{"a":"#.repeat(60), "1".to_owned() + &"}".repeat(60));
    [
        ("the last of 10,000", tools(&format!("{},{{\"name\":\"{DENIED}\"}}", many("keep")))),
        ("10,000 of it", tools(&many(DENIED))),
        ("more than are read", tools(&vec![format!("{{\"name\":\"{DENIED}\"}}"); 20_000].join(","))),
        ("behind a name of 1 MB", tools(&format!("{{\"name\":\"{long}\"}},{{\"name\":\"{DENIED}\"}}"))),
        ("with 1 MB of nothing", tools(&format!("{{\"name\":\"{DENIED}{}\"}}", "\u{200b}".repeat(60_000)))),
        ("with 1 MB of blanks", tools(&format!("{{\"name\":\"{}{DENIED}\"}}", " ".repeat(1 << 20)))),
        ("beside a deep member", tools(&format!("{{\"x\":{deep},\"name\":\"{DENIED}\"}}"))),
        ("every letter escaped, 1,000 times", tools(&vec![escaped(); 1_000].join(","))),
    ]
}

fn escaped() -> String {
    let letters: String = DENIED.chars().map(|letter| format!("\\u{:04x}", u32::from(letter))).collect();
    format!("{{\"name\":\"{letters}\"}}")
}

/// What became of an attempt, and what is wrong about it.
async fn attempt(house: &House, agent: &Agent, body: Bytes, finds: fn(&[u8]) -> Option<String>) -> Vec<Fate> {
    let mut fates = Vec::new();
    for door in DOORS {
        let before = house.upstream.received().len();
        let outcome = agent.enters(door, body.clone()).await;
        let after = house.upstream.received();
        fates.push(match outcome {
            Outcome::Answered { .. } => {
                assert_eq!(after.len(), before + 1);
                let arrived = &after[before].body;
                let found = finds(arrived);
                assert_eq!(found, None, "{door:?}: {}", &String::from_utf8_lossy(arrived));
                Cleaned
            }
            Outcome::Refused { code, .. } => {
                assert!(matches!(code.as_str(), "invalid_request_error" | "tool_not_allowed"), "{code}");
                assert_eq!(after.len(), before, "{door:?}: nothing goes on of what is refused");
                Refused
            }
        });
    }
    if let Some(sent) = typed::told(&body) {
        let before = house.upstream.received().len();
        typed::call(agent, sent).await;
        for arrived in &house.upstream.received()[before..] {
            assert_eq!(finds(&arrived.body), None, "typed: {}", arrived.text());
        }
    }
    fates
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_brings_a_denied_tool_to_the_provider() {
    let house = House::new().await;
    let agent = house.denied(&[DENIED, "web_search*"]).await;
    let mut wrong = Vec::new();
    for (what, body, expected) in bodies() {
        let fates = attempt(&house, &agent, body.into(), finds_denied).await;
        if fates.iter().any(|fate| Some(*fate) != expected) {
            wrong.push(format!("{what}: {fates:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_brings_more_than_the_allowed_tool_to_the_provider() {
    let house = House::new().await;
    let agent = house.agent_with(json!({"allowed_tools": ["keep"]})).await;
    for (_, body, _) in bodies() {
        attempt(&house, &agent, body.into(), finds_other).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn size_is_no_way_round() {
    let house = House::new().await;
    let denying = house.denied(&[DENIED, "web_search*"]).await;
    let allowing = house.agent_with(json!({"allowed_tools": ["keep"]})).await;
    for (what, body) in built() {
        let fates = attempt(&house, &denying, body.clone(), finds_denied).await;
        assert_eq!(fates[0], fates[1], "{what}");
        attempt(&house, &allowing, body, finds_other).await;
    }
}
