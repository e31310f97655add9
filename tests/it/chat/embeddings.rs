//! Choosing tools by meaning: what the upstream of embeddings is sent, what comes of it, and that nothing that it does
//! or fails to do keeps a request from its provider, nor lets a denied tool through.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::support::upstream::{Received, Reply};

const KEY: &str = "sk-of-the-vectors";

/// A house that asks `base_url` for embeddings and waits for them for `timeout`.
async fn house(base_url: &str, timeout: &str) -> House {
    let toml = format!(
        "[[upstreams]]\nname = \"vectors\"\nbase_url = {base_url:?}\napi_key_env = \"VECTORS_KEY\"\n\
         models = [\"embed-*\"]\n[pruning]\nlearning_share = 0.0\nscoring_budget = \"1s\"\nindexing_budget = \"1s\"\n\
         [pruning.embeddings]\nupstream = \"vectors\"\nmodel = \"embed-small\"\ntimeout = {timeout:?}"
    );
    House::with(|settings| settings.toml(&toml).variable("VECTORS_KEY", KEY)).await
}

/// Two directions: what has to do with the sky, and all the rest, each a little different.
fn toy(text: &str) -> Vec<f32> {
    let sky = ["umbrella", "precipitation"].iter().any(|word| text.contains(word));
    let odd = text.bytes().map(f32::from).sum::<f32>() % 97.0 / 970.0;
    if sky { vec![1.0, odd, 0.0] } else { vec![odd, 1.0, 0.1] }
}

async fn vectors() -> ScriptedUpstream {
    let upstream = ScriptedUpstream::start().await;
    upstream.embeds(toy);
    upstream
}

/// Seventy tools of which the last is about rain, and shares no word with whoever asks about an umbrella.
fn tools() -> Vec<Value> {
    let subjects =
        ["invoice", "playlist", "repository", "flight", "hotel", "backup", "article", "ticket", "stock"];
    let verbs = ["list", "create", "update", "delete", "export", "archive", "rename"];
    let all = subjects.iter().flat_map(|subject| verbs.iter().map(move |verb| (verb, subject)));
    let mut tools: Vec<Value> = all
        .map(|(verb, subject)| {
            tool(&format!("{verb}_{subject}"), &format!("{verb} the {subject} of a customer"))
        })
        .collect();
    tools.push(tool("measure_drizzle", "measure the precipitation of a customer"));
    tools
}

fn tool(name: &str, description: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": description, "parameters": {
        "type": "object", "required": ["ref"], "properties": {
            "ref": {"type": "string", "description": "Which one; it was given when it was made, and never changes"}}}}})
}

const UMBRELLA: &str = "Export the invoice, then say whether I need an umbrella";

fn asking(text: &str) -> String {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "tools": tools()}).to_string()
}

fn received_names(upstream: &ScriptedUpstream) -> Vec<String> {
    let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
    let tools = sent["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

/// All texts that the upstream was asked to embed.
fn embedded(upstream: &ScriptedUpstream) -> Vec<String> {
    let texts = |request: &Received| -> Vec<String> {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        serde_json::from_value(body["input"].clone()).unwrap()
    };
    upstream.received().iter().flat_map(texts).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_is_meant_but_not_named_goes_on_and_the_header_says_why() {
    let vectors = vectors().await;
    let by_meaning = house(&vectors.base_url(), "5s").await;
    let by_words = house("http://127.0.0.1:9/v1", "1ms").await;
    for door in DOORS {
        let outcome = by_words.agent().await.enters(door, asking(UMBRELLA)).await;
        assert_eq!(outcome.header("x-orqen-routing"), Some("keyword"));
        let names = received_names(&by_words.upstream);
        assert!(names.contains(&"export_invoice".to_owned()), "{names:?}");
        assert!(!names.contains(&"measure_drizzle".to_owned()) && names.len() < 50, "{names:?}");

        let outcome = by_meaning.agent().await.enters(door, asking(UMBRELLA)).await;
        assert_eq!(outcome.header("x-orqen-routing"), Some("semantic"));
        let names = received_names(&by_meaning.upstream);
        for needed in ["export_invoice", "measure_drizzle"] {
            assert!(names.contains(&needed.to_owned()) && names.len() < 50, "{names:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_gets_texts_of_permitted_tools_with_its_own_credential_and_nothing_else() {
    let vectors = vectors().await;
    let house = house(&vectors.base_url(), "5s").await;
    let agent = house.denied(&["*_invoice", "create_*"]).await;
    for door in DOORS {
        let outcome = agent.enters(door, asking("Rename a playlist, will you?")).await;
        assert_eq!(outcome.header("x-orqen-routing"), Some("semantic"));
    }
    let requests = vectors.received();
    assert!(!requests.is_empty());
    for request in &requests {
        assert!(request.line.starts_with("POST /v1/embeddings "), "{request:?}");
        assert_eq!(request.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!((&body["model"], &body["encoding_format"]), (&json!("embed-small"), &json!("float")));
        assert!(body["input"].as_array().unwrap().len() <= 32 && body.get("dimensions").is_none(), "{body}");
        let whole = format!("{request:?}{}", request.text());
        for secret in [agent.secret(), "sk-orq-", "invoice", "create"] {
            assert!(!whole.contains(secret), "{secret} in {whole}");
        }
    }
    let texts = embedded(&vectors);
    assert!(texts.contains(&"Rename a playlist, will you?".to_owned()));
    assert!(texts.contains(&"rename playlist: rename the playlist of a customer".to_owned()), "{texts:?}");
    assert_eq!(texts.len(), 1 + (tools().len() - 7 - 8), "each text once: {texts:?}");
    for chat in house.upstream.received() {
        assert!(chat.header("authorization").is_none(), "the credential of one upstream is not another's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_asks_only_for_what_is_new_in_it() {
    let vectors = vectors().await;
    let house = house(&vectors.base_url(), "5s").await;
    let agent = house.agent().await;
    agent.posts(asking(UMBRELLA)).await.success();
    let first = embedded(&vectors).len();
    assert_eq!(first, tools().len() + 1);
    agent.posts(asking(UMBRELLA)).await.success();
    assert_eq!(embedded(&vectors).len(), first, "nothing is new");
    house.agent().await.posts(asking("List every flight")).await.success();
    assert_eq!(embedded(&vectors)[first..], ["List every flight".to_owned()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_for_where_nothing_will_be_chosen() {
    let vectors = vectors().await;
    let house = house(&vectors.base_url(), "5s").await;
    let agent = house.agent().await;
    let mut forced: Value = serde_json::from_str(&asking(UMBRELLA)).unwrap();
    forced["tool_choice"] = json!({"type": "function", "function": {"name": "measure_drizzle"}});
    let mut few: Value = serde_json::from_str(&asking(UMBRELLA)).unwrap();
    few["tools"].as_array_mut().unwrap().truncate(5);
    let silent = json!({"model": "gpt-4o", "messages": [], "tools": tools()});
    for body in [forced.to_string(), few.to_string(), silent.to_string(), r#"{"model":"gpt-4o"}"#.to_owned()]
    {
        assert_ne!(agent.posts(body).await.header("x-orqen-routing"), "semantic");
    }
    let account = house.operator.account_id().await;
    house.operator.update_policy(&account, json!({"prune_mode": "off"})).await.success();
    agent.posts(asking(UMBRELLA)).await.success();
    assert_eq!(vectors.received().len(), 0);
}

/// What goes wrong, and how the upstream does it.
type Fault = (&'static str, fn() -> Reply);

/// Sends a request through a house whose embeddings fail, and looks at all that must hold all the same.
async fn holds(house: &House, what: &str) {
    let agent = house.denied(&["*_lamp", "measure_drizzle"]).await;
    for door in DOORS {
        let began = Instant::now();
        let outcome = agent.enters(door, asking(UMBRELLA)).await;
        // A call for embeddings may take ten seconds; the bound here is a tenth of one, and the machine may be busy.
        assert!(began.elapsed() < Duration::from_secs(5), "{what}: {:?}", began.elapsed());
        assert_eq!(outcome.header("x-orqen-routing"), Some("keyword"), "{what}");
        assert_eq!(outcome.header("x-orqen-tools-denied"), Some("1"), "{what}");
        let names = received_names(&house.upstream);
        assert!(names.contains(&"export_invoice".to_owned()) && names.len() < 50, "{what}: {names:?}");
        assert!(!names.contains(&"measure_drizzle".to_owned()), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_stalls_or_answers_nonsense_costs_a_bounded_wait_and_the_lists_hold() {
    let faults: [Fault; 8] = [
        ("stalled", Reply::silence),
        ("failing", || Reply::status("500 Internal Server Error", &[], "{}")),
        ("refusing", || Reply::status("401 Unauthorized", &[], "{}")),
        ("redirecting", || {
            Reply::status("307 Temporary Redirect", &[("location", "http://127.0.0.1:9/")], "")
        }),
        ("no JSON", || Reply::json("<html>")),
        ("no vectors", || Reply::json("{}")),
        ("no HTTP", || Reply::raw("hello\r\n\r\n")),
        ("too few vectors", || Reply::json(r#"{"data":[{"index":0,"embedding":[1,0]}]}"#)),
    ];
    for (what, reply) in faults {
        let vectors = ScriptedUpstream::start().await;
        // One for each call that the first request makes at once; whoever comes after is told to wait.
        (0..8).for_each(|_| vectors.will(reply()));
        let house = house(&vectors.base_url(), "100ms").await;
        holds(&house, what).await;
        let calls = vectors.received().len();
        assert!(
            (1..=3).contains(&calls),
            "{what}: a failing upstream is left alone, but was called {calls} times"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_not_there_costs_nothing_but_the_meaning() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    holds(&house(&base_url, "100ms").await, "refused connections").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_nobody_configured_stops_the_start_in_one_sentence() {
    let text = "[pruning.embeddings]\nupstream = \"vectros\"\nmodel = \"m\"";
    let refusal = Settings::at(&Place::sqlite()).toml(text).refusal().await;
    assert!(refusal.contains("pruning.embeddings.upstream") && refusal.contains("vectros"), "{refusal}");
}
