//! Pruning as an agent and a provider see it: which tools arrive, what the headers say, and that the lists come first.

use orqen::tokens::Tokenizer;
use serde_json::{Value, json};

use super::{usage::recorded, *};
use crate::support::upstream::Reply;

/// Pruning of every conversation, however slow a debug build on a busy machine is.
pub(crate) const PRUNING: &str =
    "[pruning]\nlearning_share = 0.0\nscoring_budget = \"1s\"\nindexing_budget = \"1s\"";

async fn house() -> House {
    House::with(|settings| settings.toml(PRUNING)).await
}

/// Sixty tools of which one is about the weather.
fn tools() -> Vec<Value> {
    let subjects = [
        "invoice",
        "playlist",
        "repository",
        "flight",
        "hotel",
        "backup",
        "article",
        "ticket",
        "stock",
        "lamp",
    ];
    let verbs = ["list", "create", "update", "delete", "export", "archive"];
    let mut tools: Vec<Value> = subjects
        .iter()
        .flat_map(|subject| {
            verbs.iter().map(move |verb| {
                tool(&format!("{verb}_{subject}"), &format!("{verb} the {subject} of a customer"))
            })
        })
        .collect();
    tools[17] = tool("get_weather", "Current weather of a city");
    tools
}

fn tool(name: &str, description: &str) -> Value {
    json!({"type": "function", "function": {"name": name, "description": description, "parameters": {
        "type": "object", "required": ["id"], "properties": {
            "id": {"type": "string", "description": "Which one; it was given when it was made, and never changes"}}}}})
}

pub(crate) fn asking(text: &str) -> String {
    json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "tools": tools()}).to_string()
}

pub(crate) fn received_names(upstream: &ScriptedUpstream) -> Vec<String> {
    let sent: Value = serde_json::from_slice(&upstream.last().body).unwrap();
    let tools = sent["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_gets_the_tools_that_the_turn_needs_and_the_headers_say_so() {
    let house = house().await;
    let agent = house.denied(&["*_lamp"]).await;
    for door in DOORS {
        let outcome = agent.enters(door, asking("What is the weather in Oslo?")).await;
        let names = received_names(&house.upstream);
        assert!(names.contains(&"get_weather".to_owned()) && names.len() < 40, "{names:?}");
        assert!(!names.iter().any(|name| name.ends_with("_lamp")));
        assert_eq!(outcome.header("x-orqen-tools-input"), Some("60"));
        assert_eq!(outcome.header("x-orqen-tools-denied"), Some("6"));
        assert_eq!(outcome.header("x-orqen-tools-output"), Some(names.len().to_string().as_str()));
        assert_eq!(outcome.header("x-orqen-prune-ratio"), Some(format!("{}/54", names.len()).as_str()));
        assert_eq!(outcome.header("x-orqen-routing"), Some("keyword"));
        assert_eq!(outcome.header("x-orqen-prune-skipped"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_ask_for_less_pruning_and_never_for_more() {
    let house = house().await;
    let agent = house.agent().await;
    let ask = async |mode: &'static str| {
        let rest = agent.rest().with_headers({
            let mut headers = agent.rest().request(Method::POST, CHAT).headers().clone();
            headers.insert("x-orqen-prune", mode.parse().unwrap());
            headers
        });
        rest.send(Method::POST, CHAT, asking("What is the weather in Oslo?")).await
    };
    let off = ask("off").await;
    assert_eq!((off.header("x-orqen-prune-skipped"), received_names(&house.upstream).len()), ("off", 60));
    ask("safe").await.success();
    let safe = received_names(&house.upstream);
    let wished = ask("aggressive").await;
    assert_eq!((wished.status.as_u16(), received_names(&house.upstream)), (200, safe), "the account is safe");
    let sent: Value = serde_json::from_slice(&house.upstream.last().body).unwrap();
    assert!(sent["tools"][0]["function"]["parameters"]["properties"]["id"]["description"].is_string());
    let error = ask("most").await.refused(400, "invalid_request_error");
    assert_eq!(error["param"], "x-orqen-prune");
    assert!(error["message"].as_str().unwrap().contains("off, safe, balanced or aggressive"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accounts_policy_says_how_much_is_pruned_at_once() {
    let house = house().await;
    let agent = house.agent().await;
    let account = house.operator.account_id().await;
    agent.posts(asking("What is the weather in Oslo?")).await.success();
    let answer = house.operator.update_policy(&account, json!({"prune_mode": "aggressive"})).await.success();
    assert_eq!(answer["policy"]["prune_mode"], "aggressive");
    agent.posts(asking("What is the weather in Bergen?")).await.success();
    let sent: Value = serde_json::from_slice(&house.upstream.last().body).unwrap();
    let tools = sent["tools"].as_array().unwrap();
    let slim =
        |tool: &&Value| tool["function"]["parameters"]["properties"]["id"] == json!({"type": "string"});
    assert!(tools.iter().any(|tool| slim(&tool)) && !tools.iter().all(|tool| slim(&tool)), "{sent}");
    house.operator.update_policy(&account, json!({"prune_mode": "off"})).await.success();
    let answer = agent.posts(asking("What is the weather in Bodø?")).await;
    assert_eq!(answer.header("x-orqen-prune-skipped"), "off");
    let answer = house.operator.update_policy(&account, json!({"prune_mode": null})).await.success();
    assert_eq!(answer["policy"]["prune_mode"], Value::Null);
    let refused = house.operator.update_policy(&account, json!({"prune_mode": "most"})).await;
    refused.refused(400, "invalid_request_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_slim_tools_are_shorter_by_counts_as_saved_by_pruning_and_for_the_budget() {
    let house = House::with(|settings| settings.toml(&format!("{PRUNING}\nmode = \"balanced\""))).await;
    let agent = house.agent_with(json!({"daily_token_budget": 1_000_000})).await;
    let offered: Value = serde_json::from_str(&asking("What is the weather in Oslo?")).unwrap();
    let tokenizer = Tokenizer::new();
    let tokens = |tools: &Value| -> i64 {
        let tools = tools.as_array().unwrap().iter();
        tools.map(|tool| i64::from(tokenizer.count(tool.to_string().as_bytes()))).sum()
    };
    let first = agent.posts(asking("What is the weather in Oslo?")).await;
    assert_eq!(first.headers.get("x-orqen-tokens-saved"), None, "it is counted off the path");
    let sent: Value = serde_json::from_slice(&house.upstream.last().body).unwrap();
    let whole: Vec<_> = sent["tools"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|sent| offered["tools"].as_array().unwrap().contains(sent))
        .collect();
    assert!(whole.len() < sent["tools"].as_array().unwrap().len(), "some are slim: {sent}");

    let saved = tokens(&offered["tools"]) - tokens(&sent["tools"]);
    let summary =
        recorded(&agent, json!({"total": 1, "complete": 1, "client": 0, "upstream": 0, "error": 0})).await;
    assert_eq!(summary["tokens_saved"], json!({"by_pruning": saved, "by_lists": 0}));
    assert_eq!(summary["limits"]["daily_token_budget"]["used"], saved);
    let again = agent.posts(asking("What is the weather in Oslo?")).await;
    assert_eq!(again.header("x-orqen-tokens-saved"), saved.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_a_pruned_tool_in_an_answer_brings_it_back_for_the_conversation() {
    let house = house().await;
    let agent = house.agent().await;
    let call = r#"{"choices":[{"index":0,"message":{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"NAME","arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#;
    let pieces = |name: &str| {
        let delta = format!(
            r#"data: {{"choices":[{{"index":0,"delta":{{"tool_calls":[{{"index":0,"id":"c","function":{{"name":"{name}","arguments":""}}}}]}}}}]}}"#
        );
        let (one, other) = delta.split_at(60);
        Reply::events(&["data: {\"choices\":[]}\n\n", one, &format!("{other}\n\n"), "data: [DONE]\n\n"])
    };
    agent.posts(asking("What is the weather in Oslo?")).await.success();
    let sent = received_names(&house.upstream);
    let gone: Vec<String> = tools()
        .iter()
        .map(|tool| tool["function"]["name"].as_str().unwrap().to_owned())
        .filter(|name| !sent.contains(name))
        .collect();
    house.upstream.will(Reply::json(&call.replace("NAME", &gone[0])));
    agent.posts(asking("What is the weather in Oslo?")).await.success();
    house.upstream.will(pieces(&gone[1]));
    assert_eq!(agent.posts(asking("What is the weather in Oslo?")).await.status, 200);
    agent.posts(asking("What is the weather in Oslo?")).await.success();
    let sent = received_names(&house.upstream);
    assert!(gone[..2].iter().all(|name| sent.contains(name)), "{gone:?} {sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_are_never_sent_on_whether_anything_is_pruned_or_not() {
    let house = House::with(|settings| settings.toml("[pruning]\nenabled = false")).await;
    let agent = house.agent().await;
    let body = r#"{"model":"gpt-4o","tools":[{"type":"function","function":{"name":"a", "x-orqen-examples": ["x"] ,"strict":true}}]}"#;
    for door in DOORS {
        let outcome = agent.enters(door, body).await;
        assert_eq!(outcome.header("x-orqen-prune-skipped"), Some("off"));
        let expected =
            r#"{"model":"gpt-4o","tools":[{"type":"function","function":{"name":"a","strict":true}}]}"#;
        assert_eq!(house.upstream.last().text(), expected.replace(r#""a","#, r#""a" ,"#));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_how_the_tools_fare_and_what_to_change() {
    let house = house().await;
    let agent = house.denied(&["*_lamp"]).await;
    agent.posts(asking("What is the weather in Oslo?")).await.success();
    let sent = received_names(&house.upstream);
    let gone = tools()
        .iter()
        .filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned))
        .find(|name| !sent.contains(name) && !name.ends_with("_lamp"));
    let gone = gone.unwrap();
    let call = |name: &str| {
        let call = json!({"id": "c", "type": "function", "function": {"name": name, "arguments": "{}"}});
        let message = json!({"role": "assistant", "tool_calls": [call]});
        Reply::json(&json!({"choices": [{"index": 0, "message": message}]}).to_string())
    };
    house.upstream.will(call("get_weather"));
    agent.posts(asking("What is the weather in Oslo?")).await.success();
    house.upstream.will(call(&gone));
    agent.posts(asking("What is the weather in Oslo?")).await.success();
    let few = json!({"model": "gpt-4o", "messages": [], "tools": [tool("do_it", "Do it")]}).to_string();
    house.upstream.will(call("do_it"));
    agent.posts(few).await.success();

    let operator = house.operator.rest();
    let health = operator.get("/v1/account/tools/health?page_size=1000").await.success();
    let of = |name: &str| {
        let tools = health["tools"].as_array().unwrap();
        tools.iter().find(|tool| tool["name"] == name).cloned().unwrap_or_default()
    };
    let counts = |name: &str| {
        let tool = of(name);
        ["offered", "forwarded", "called", "missed"].map(|count| tool[count].as_i64().unwrap_or(-1))
    };
    assert_eq!(counts("get_weather"), [3, 3, 1, 0]);
    assert_eq!(counts(&gone), [3, 0, 1, 1]);
    assert_eq!(counts("do_it"), [1, 1, 1, 0], "tools that are too few to be pruned are counted too");
    assert_eq!(counts("list_lamp"), [-1; 4], "what the lists removed was never offered");
    assert_eq!(of("do_it")["findings"], json!(["vague_description"]));
    assert!(of(&gone)["last_missed_at"].is_string() && of("do_it")["last_missed_at"].is_null());

    let alerts = operator.get("/v1/tools/recall-alerts").await.success();
    assert_eq!((alerts["alerts"].as_array().unwrap().len(), &alerts["alerts"][0]["tool"]), (1, &json!(gone)));
    let suggestions = operator.get("/v1/account/tools/suggestions").await.success();
    assert_eq!(suggestions["suggestions"][0]["kind"], "missed", "{suggestions}");

    let page = operator.get("/v1/tools/health?page_size=50").await.success();
    let token = page["next_page_token"].as_str().unwrap();
    let rest = operator.get(&format!("/v1/tools/health?page_size=50&page_token={token}")).await.success();
    let names = |page: &Value| -> Vec<String> {
        page["tools"].as_array().unwrap().iter().map(|tool| tool["name"].to_string()).collect()
    };
    assert_eq!([names(&page), names(&rest)].concat(), names(&health));
    assert_eq!(rest["next_page_token"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_saved_are_told_once_they_have_been_counted() {
    let house = house().await;
    let agent = house.denied(&["*_lamp"]).await;
    let first = agent.posts(asking("What is the weather in Oslo?")).await;
    assert_eq!(first.header("x-orqen-tokens-saved"), "", "counting is never waited for");
    let saved = async || {
        for _ in 0..500 {
            let answer = agent.posts(asking("What is the weather in Oslo?")).await;
            if let Ok(saved) = answer.header("x-orqen-tokens-saved").parse::<u64>() {
                return saved;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        panic!("the definitions were never counted");
    };
    let saved = saved().await;
    // Of 60 definitions of some 60 tokens most are gone.
    assert!((1_000..6_000).contains(&saved), "{saved}");
}
