//! What would become of a chat request, told without a provider: word for word what a chat call then does.

use orqen::proto::v1::{self, ExplainToolSelectionRequest};
use serde_json::{Value, json};

use super::{
    pruning::{PRUNING, asking},
    toollists::observed,
    usage::recorded,
    *,
};

/// The path of the route.
const EXPLAIN: &str = "/v1/chat/completions/explain";

impl Agent {
    /// What would become of these bytes, over REST.
    pub(crate) async fn asks_why(&self, body: impl Into<Bytes>) -> Answer {
        self.rest().send(Method::POST, EXPLAIN, body).await
    }

    /// The same over gRPC.
    async fn calls_why(&self, body: impl Into<Bytes>) -> Result<v1::ExplainToolSelectionResponse, Status> {
        let request = ExplainToolSelectionRequest { request: Some(http_body(body)), ..Default::default() };
        self.grpc().chat().explain_tool_selection(request).await.map(tonic::Response::into_inner)
    }
}

/// What is said of the tool of this name.
#[track_caller]
fn told(explanation: &Value, name: &str) -> Value {
    let tools = explanation["tools"].as_array().unwrap().iter();
    let found = tools.clone().find(|tool| tool["names"].as_array().unwrap().contains(&json!(name)));
    found.unwrap_or_else(|| panic!("no {name} in {explanation}")).clone()
}

/// Asks over both doors and sends the request over both: what was told is what arrives.
async fn agrees(house: &House, agent: &Agent, body: &str, what: &str) -> Value {
    for door in DOORS {
        let before = house.upstream.received().len();
        let explanation = agent.asks_why(body.to_owned()).await.success();
        let by_grpc = agent.calls_why(body.to_owned()).await.unwrap();
        assert_eq!(explanation["request"].as_str(), by_grpc.request.as_deref(), "{what}");
        assert_eq!(explanation["tools"].as_array().unwrap().len(), by_grpc.tools.len(), "{what}");
        assert_eq!(house.upstream.received().len(), before, "{what}: nobody is asked");
        let outcome = agent.enters(door, body.to_owned()).await;
        assert_eq!(explanation["request"].as_str(), Some(house.upstream.last().text()), "{what}, {door:?}");
        for (header, member) in [
            ("x-orqen-tools-input", "tools_input"),
            ("x-orqen-tools-denied", "tools_denied"),
            ("x-orqen-tools-output", "tools_output"),
        ] {
            let said = explanation[member].to_string();
            assert_eq!(outcome.header(header), Some(said.as_str()), "{what}: {member}");
        }
        let routing = explanation["routing"].as_str();
        assert_eq!(outcome.header("x-orqen-routing"), routing, "{what}");
        let skipped = explanation["prune_skipped"].as_str();
        assert_eq!(outcome.header("x-orqen-prune-skipped"), skipped, "{what}");
    }
    agent.asks_why(body.to_owned()).await.success()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_is_what_the_provider_then_gets() {
    let house = House::with(|settings| settings.toml(&format!("{PRUNING}\nmode = \"balanced\""))).await;
    let agent = house.denied(&["*_lamp", "web_search"]).await;
    for (what, body) in chat_corpus() {
        agrees(&house, &agent, body, what).await;
    }
    for text in ["What is the weather in Oslo?", "export_ticket, please", "Book a hotel"] {
        agrees(&house, &agent, &asking(text), text).await;
    }
    let streamed = asking("What is the weather in Bergen?").replacen('{', "{\"stream\": true, ", 1);
    let explanation = agent.asks_why(streamed.clone()).await.success();
    assert!(explanation["request"].as_str().unwrap().contains("include_usage"));
    house.upstream.will(crate::support::upstream::Reply::events(&["data: [DONE]\n\n"]));
    agent.posts(streamed).await;
    assert_eq!(explanation["request"].as_str(), Some(house.upstream.last().text()));
}

fn chat_corpus() -> impl Iterator<Item = (&'static str, &'static str)> {
    // Those of a request that the lists refuse have a test of their own.
    super::corpus::CORPUS.iter().copied().filter(|(what, _)| *what != "a search by the model itself")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_is_told() {
    let house = House::with(|settings| settings.toml(PRUNING)).await;
    let agent = house.denied(&["*_LAMP", "github"]).await;
    let body = asking("What is the weather in Oslo? Not export_ticket.").replacen(
        "\"tools\":[",
        r#""tool_choice":{"type":"allowed_tools","mode":"auto","tools":[{"name":"archive_stock"},{"name":"github"}]},
        "web_search_options":{},"functions":[{"name":"nested","functions":[]}],
        "tools":[{"type":"mcp","server_label":"x"},"#,
        1,
    );
    let explanation = agrees(&house, &agent, &body, "every rule").await;
    let rule = |name: &str| {
        let tool = told(&explanation, name);
        (tool["passes"].as_bool().unwrap(), tool["rule"].as_str().unwrap().to_owned())
    };
    let is = |passes: bool, rule: &str| (passes, rule.to_owned());
    assert_eq!(rule("list_lamp"), is(false, "lists"));
    let listed = |name: &str| told(&explanation, name)["list"].clone();
    assert_eq!(listed("list_lamp"), json!({"name": "list_lamp", "reason": "denied", "entry": "*_LAMP"}));
    assert_eq!(listed("mcp"), json!({"name": null, "reason": "open_server", "entry": null}));
    assert_eq!(listed("nested"), json!({"name": null, "reason": "nested", "entry": null}));
    assert_eq!(listed("get_weather"), Value::Null);
    assert_eq!(rule("export_ticket"), is(true, "named"));
    assert_eq!(rule("archive_stock"), is(true, "choice"));
    assert_eq!(rule("web_search"), is(true, "member"));
    assert!(matches!(rule("get_weather").1.as_str(), "window" | "conversation"));
    let (mut pruned, mut ranked) = (0, 0);
    for tool in explanation["tools"].as_array().unwrap() {
        pruned += usize::from(tool["rule"] == "pruned");
        ranked += usize::from(tool["rank"].is_i64() && tool["score"].is_number());
        let (tokens, sent) = (tool["tokens"].as_i64().unwrap(), tool["tokens_sent"].as_i64().unwrap());
        assert_eq!(sent, if tool["passes"] == true { tokens } else { 0 }, "{tool}");
    }
    assert!(pruned > 10 && ranked > 40, "{explanation}");
    assert!(explanation["tokens_saved_by_lists"].as_i64().unwrap() > 100);
    assert!(explanation["tokens_saved_by_pruning"].as_i64().unwrap() > 500);
    let choice = &explanation["tool_choice"];
    assert!(choice["given"].as_str().unwrap().contains("github"));
    assert_eq!(
        choice["sent"],
        r#"{"type":"allowed_tools","mode":"auto","tools":[{"name":"archive_stock"}]}"#
    );
    assert_eq!((&explanation["function_call"], &explanation["refusal"]), (&Value::Null, &Value::Null));
    let of = ["model", "upstream", "tool_mode", "prune_mode"].map(|member| explanation[member].clone());
    assert_eq!(of, ["gpt-4o", "scripted", "filter", "safe"].map(Value::from));

    let agent = house.agent_with(json!({"allowed_tools": ["get_*"], "k_target_override": 54})).await;
    let explanation = agrees(&house, &agent, &asking("x"), "an allowlist").await;
    assert_eq!(told(&explanation, "list_lamp")["list"]["reason"], "not_allowed");
    assert_eq!(told(&explanation, "get_weather")["rule"], "unpruned");
    let agent = house.agent_with(json!({"k_target_override": 50})).await;
    let explanation = agent.asks_why(asking("What is the weather in Oslo?")).await.success();
    let rules: Vec<_> = explanation["tools"].as_array().unwrap().iter().map(|tool| &tool["rule"]).collect();
    assert!(rules.contains(&&json!("least")), "{rules:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_refused_is_told_with_its_refusal() {
    let house = House::new().await;
    let forced = r#"{"model":"gpt-4o","tools":[{"name":"a"},{"name":"b"}],"tool_choice":{"name":"b"}}"#;
    let block = house.agent_with(json!({"denied_tools": ["b"], "tool_mode": "block"})).await;
    for (agent, param) in [(house.denied(&["b"]).await, "tool_choice"), (block, "tools")] {
        let explanation = agent.asks_why(forced).await.success();
        let told_of = &explanation["refusal"];
        let refused = agent.enters(Door::Rest, forced).await;
        let (about, message) = refused.refused("tool_not_allowed");
        assert_eq!(about, param);
        assert_eq!(told_of, &json!({"code": "tool_not_allowed", "message": message, "param": param}));
        assert_eq!(explanation["request"], Value::Null);
        assert_eq!(explanation["tool_choice"], json!({"given": r#"{"name":"b"}"#, "sent": null}));
        let [kept, gone] = ["a", "b"].map(|name| told(&explanation, name));
        assert_eq!((&kept["rule"], &kept["passes"]), (&Value::Null, &Value::Null));
        assert_eq!((&gone["rule"], &gone["list"]["entry"]), (&json!("lists"), &json!("b")));
        let by_grpc = agent.calls_why(forced).await.unwrap();
        assert_eq!(by_grpc.refusal.unwrap().message, message);
    }
    let agent = house.agent().await;
    for (body, code) in [
        ("{", "invalid_request_error"),
        (r#"{"model":"gpt-4o","tools":[],"tools":[]}"#, "invalid_request_error"),
        (r#"{"model":"nope"}"#, "model_not_found"),
    ] {
        let expected = agent.enters(Door::Rest, body).await;
        let (_, message) = expected.refused(code);
        let answer = agent.asks_why(body).await;
        assert_eq!(answer.json()["error"]["message"], message, "{answer:?}");
        let status = agent.calls_why(body).await.unwrap_err();
        assert_eq!(refusal(&status).refused(code).1, message);
    }
    assert!(house.upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn observed_lists_are_told_and_remove_nothing() {
    let house = House::new().await;
    let agent = observed(&house).await;
    let body = r#"{"model":"gpt-4o","tools":[{"name":"a"},{"name":"gone"}]}"#;
    let explanation = agrees(&house, &agent, body, "observe").await;
    assert_eq!((&explanation["tools_would_deny"], &explanation["tools_denied"]), (&json!(1), &json!(0)));
    let tool = told(&explanation, "gone");
    assert_eq!((&tool["passes"], &tool["list"]["entry"]), (&json!(true), &json!("gone")));
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_leaves_no_record_and_takes_nothing_from_chat() {
    let house =
        House::with(|settings| settings.toml(PRUNING).variable("ORQEN_POLICY__REQUESTS_PER_MINUTE", "1"))
            .await;
    let agent = house.agent().await;
    for _ in 0..3 {
        agent.asks_why(asking("What is the weather in Oslo?")).await.success();
        agent.calls_why(asking("What is the weather in Oslo?")).await.unwrap();
    }
    agent.asks_why("{").await.refused(400, "invalid_request_error");
    agent.posts(asking("What is the weather in Oslo?")).await.success();
    agent.posts(asking("What is the weather in Oslo?")).await.refused(429, "rate_limit_exceeded");
    agent.asks_why(asking("What is the weather in Oslo?")).await.success();
    recorded(&agent, json!({"total": 2, "complete": 1, "client": 0, "upstream": 0, "error": 1})).await;
    let health = house.operator.rest().get("/v1/tools/health").await.success();
    assert!(health["tools"].as_array().unwrap().iter().all(|tool| tool["offered"] == 1), "{health}");
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_has_the_limit_of_the_account_routes() {
    let house = House::with(|settings| settings.variable("ORQEN_LIMITS__ACCOUNT_REQUESTS_PER_MINUTE", "2"));
    let house = house.await;
    let agent = house.agent().await;
    agent.asks_why(r#"{"model":"gpt-4o"}"#).await.success();
    agent.calls_why(r#"{"model":"gpt-4o"}"#).await.unwrap();
    let error = agent.asks_why(r#"{"model":"gpt-4o"}"#).await.refused(429, "rate_limit_exceeded");
    assert!(error["message"].as_str().unwrap().contains("to the account routes"), "{error}");
    agent.posts(r#"{"model":"gpt-4o"}"#).await.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_is_told_as_chat_tells_it() {
    for reject in [false, true] {
        let house = House::with(|settings| {
            let word = if reject { "reject" } else { "stop_pruning" };
            settings.toml(PRUNING).variable("ORQEN_LIMITS__SAVED_TOKENS_EXCEEDED", word)
        })
        .await;
        let agent = house.agent_with(json!({"daily_token_budget": 0})).await;
        let explanation = agent.asks_why(asking("What is the weather in Oslo?")).await.success();
        assert_eq!(explanation["routing"], "limit");
        let answer = agent.posts(asking("What is the weather in Oslo?")).await;
        if reject {
            let error = answer.refused(429, "saved_token_limit_exceeded");
            assert_eq!(explanation["refusal"]["message"], error["message"]);
            assert_eq!(explanation["request"], Value::Null);
        } else {
            assert_eq!(answer.header("x-orqen-routing"), "limit");
            assert_eq!(explanation["request"].as_str(), Some(house.upstream.last().text()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn less_pruning_may_be_asked_about_and_conversations_be_named() {
    let house = House::with(|settings| settings.toml(PRUNING)).await;
    let agent = house.agent().await;
    let body = asking("What is the weather in Oslo?");
    let ask = async |name: &'static str, value: &'static str| {
        let rest = agent.rest().with(http::HeaderName::from_static(name), value);
        rest.send(Method::POST, EXPLAIN, body.clone()).await
    };
    let off = ask("x-orqen-prune", "off").await.success();
    assert_eq!((&off["prune_mode"], &off["prune_skipped"]), (&json!("off"), &json!("off")));
    assert_eq!(off["request"].as_str(), Some(body.as_str()));
    ask("x-orqen-prune", "most").await.refused(400, "invalid_request_error");
    ask("x-orqen-session-id", "s-1").await.success();
    let long = Box::leak("s".repeat(300).into_boxed_str());
    ask("x-orqen-session-id", long).await.refused(400, "invalid_request_error");
}
