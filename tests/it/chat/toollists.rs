//! The lists at work: exact names in, folded names out, the three modes, what goes with the last tool, what is
//! counted, and when a change holds. The spellings are in `spellings`, `tool_choice` is in `toolchoice`.

use orqen::domain::audit::Actor;
use orqen::domain::key::ToolMode;
use serde_json::{Value, json};

use crate::{
    chat::{DOORS, House},
    support::{
        actors::{Agent, Caller},
        upstream::Reply,
    },
};

/// A request with the functions of these names.
fn offering(names: &[&str]) -> String {
    let tools: Vec<Value> =
        names.iter().map(|name| json!({"type": "function", "function": {"name": name}})).collect();
    json!({"model": "gpt-4o", "messages": [], "tools": tools}).to_string()
}

/// The names that the provider got.
fn offered(house: &House) -> Vec<String> {
    let body: Value = serde_json::from_slice(&house.upstream.last().body).unwrap();
    let tools = body["tools"].as_array().cloned().unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_name_matches_exactly() {
    let house = House::new().await;
    let agent = house.agent_with(json!({"allowed_tools": ["read_file", "github_*", "*_ro", "a*b"]})).await;
    let passing = ["read_file", "github_issues", "github_", "notes_ro", "ab", "axxb", "github_\u{e9}"];
    let other = [
        "Read_File",
        "read_file ",
        "read_file\0",
        "ｒead_file",
        "read\u{200b}_file",
        "read_files",
        "xread_file",
        "GITHUB_issues",
        "github",
        "notes_rw",
        "ba",
    ];
    let all: Vec<&str> = passing.iter().chain(&other).copied().collect();
    for door in DOORS {
        let outcome = agent.enters(door, offering(&all)).await;
        assert_eq!(offered(&house), passing, "{door:?}");
        assert_eq!(outcome.header("x-orqen-tools-input"), Some("18"));
        assert_eq!(outcome.header("x-orqen-tools-denied"), Some("11"));
        assert_eq!(outcome.header("x-orqen-tools-output"), Some("7"));
        assert_eq!(outcome.header("x-orqen-tools-would-deny"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn denied_wins_over_allowed() {
    let house = House::new().await;
    let agent = house
        .agent_with(json!({"allowed_tools": ["fs_*", "search"], "denied_tools": ["fs_delete", "SEARCH"]}))
        .await;
    agent.posts(offering(&["fs_read", "fs_delete", "search", "fs_write"])).await.success();
    assert_eq!(offered(&house), ["fs_read", "fs_write"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_an_allowlist_whatever_is_not_named_goes() {
    let house = House::new().await;
    let agent = house.agent_with(json!({"allowed_tools": ["keep"]})).await;
    let sent = r#"{"model":"gpt-4o","web_search_options":{},"tools":[{"type":"web_search"},{"type":"custom","custom":{"name":"x"}},{"name":"keep"},{"type":"keep"},{"type":"mcp","name":"keep"}],"functions":[{"name":"keep"},{"name":"y"}]}"#;
    let expected =
        r#"{"model":"gpt-4o","tools":[{"name":"keep"},{"type":"keep"}],"functions":[{"name":"keep"}]}"#;
    for door in DOORS {
        let outcome = agent.enters(door, sent).await;
        assert_eq!(house.upstream.last().text(), expected, "{door:?}");
        assert_eq!(outcome.header("x-orqen-tools-denied"), Some("5"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_allowlist_lets_nothing_through() {
    let house = House::new().await;
    let agent = house.agent_with(json!({"allowed_tools": []})).await;
    let sent = r#"{"model":"gpt-4o","tools":[{"name":"a"},{"type":"web_search"}],"tool_choice":"auto","parallel_tool_calls":false,"functions":[{"name":"b"}],"function_call":"auto","web_search_options":{},"messages":[]}"#;
    for door in DOORS {
        let outcome = agent.enters(door, sent).await;
        assert_eq!(house.upstream.last().text(), r#"{"model":"gpt-4o","messages":[]}"#, "{door:?}");
        assert_eq!(outcome.header("x-orqen-tools-output"), Some("0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_tools_goes_with_the_last_one_and_only_then() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    for (sent, expected) in [
        (
            r#"{"parallel_tool_calls":true,"model":"gpt-4o","tool_choice":"auto","tools":[{"name":"gone"}]}"#,
            r#"{"model":"gpt-4o"}"#,
        ),
        (
            r#"{"parallel_tool_calls":true,"model":"gpt-4o","tools":[{"name":"gone"},{"name":"a"}],"tool_choice":"auto"}"#,
            r#"{"parallel_tool_calls":true,"model":"gpt-4o","tools":[{"name":"a"}],"tool_choice":"auto"}"#,
        ),
        // Each of the two ways to bring tools has its own dependants.
        (
            r#"{"model":"gpt-4o","tools":[{"name":"gone"}],"tool_choice":"none","functions":[{"name":"a"}],"function_call":"auto"}"#,
            r#"{"model":"gpt-4o","functions":[{"name":"a"}],"function_call":"auto"}"#,
        ),
        (
            r#"{"functions":[{"name":"gone"}],"function_call":"auto","tools":[{"name":"a"}],"model":"gpt-4o"}"#,
            r#"{"tools":[{"name":"a"}],"model":"gpt-4o"}"#,
        ),
        // What the client itself left odd stays odd: the provider says what it thinks of it.
        (
            r#"{"model":"gpt-4o","tools":[],"tool_choice":"auto","parallel_tool_calls":true}"#,
            r#"{"model":"gpt-4o","tools":[],"tool_choice":"auto","parallel_tool_calls":true}"#,
        ),
    ] {
        for door in DOORS {
            agent.enters(door, sent).await.headers();
            assert_eq!(house.upstream.last().text(), expected, "{door:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn block_refuses_and_names_the_tool() {
    let house = House::new().await;
    let agent = house.agent_with(json!({"denied_tools": ["rm_*", "web_search"], "tool_mode": "block"})).await;
    for (sent, param, name) in [
        (offering(&["ls", "RM_rf"]), "tools", "\"RM_rf\""),
        (r#"{"model":"gpt-4o","functions":[{"name":"rm_x"}]}"#.into(), "functions", "\"rm_x\""),
        (r#"{"model":"gpt-4o","web_search_options":{}}"#.into(), "web_search_options", "\"web_search\""),
        (r#"{"model":"gpt-4o","tools":[{"type":"web_search"}]}"#.into(), "tools", "\"web_search\""),
    ] {
        for door in DOORS {
            let outcome = agent.enters(door, sent.clone()).await;
            let (at, message) = outcome.refused("tool_not_allowed");
            assert_eq!(at, param, "{door:?}");
            assert!(message.contains(name), "{message}");
        }
    }
    assert!(house.upstream.received().is_empty());
    agent.posts(offering(&["ls"])).await.success();
    assert_eq!(offered(&house), ["ls"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn observe_removes_nothing_and_says_what_it_would_have() {
    let house = House::new().await;
    let agent = observed(&house).await;
    let sent = r#"{"model":"gpt-4o","tools":[{"name":"gone"},{"name":"a"}],"tool_choice":{"type":"function","function":{"name":"gone"}},"web_search_options":{}}"#;
    for door in DOORS {
        let outcome = agent.enters(door, sent).await;
        assert_eq!(house.upstream.last().text(), sent, "{door:?}");
        assert_eq!(outcome.header("x-orqen-tools-would-deny"), Some("2"));
        assert_eq!(outcome.header("x-orqen-tools-denied"), Some("0"));
        assert_eq!(outcome.header("x-orqen-tools-output"), Some("3"));
    }
}

/// An agent whose key an operator has put into `observe`, which no key can ask for.
pub(crate) async fn observed(house: &House) -> Agent {
    let fields = json!({"name": "seen", "denied_tools": ["gone", "web_search"], "tool_mode": "observe"});
    house.operator.create_key(fields.clone()).await.refused(403, "privilege_escalation");
    let mut fields = fields;
    fields["tool_mode"] = json!("filter");
    let (agent, issued) = house.operator.equip(fields).await;
    let store = house.server.other_process().await;
    let key =
        store.keys().find_any(issued["id"].as_str().unwrap().parse().map(orqen::domain::key::KeyId).unwrap());
    let key = key.await.unwrap().unwrap();
    let change = |key: &mut orqen::domain::key::Key| {
        key.tool_mode = ToolMode::Observe;
        Ok::<_, std::convert::Infallible>(())
    };
    store.keys().update(&Actor::cli(), key.account_id, key.id, change).await.unwrap();
    agent
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_or_disguised_member_that_decides_is_refused() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    for (sent, param) in [
        (r#"{"model":"gpt-4o","tools":[],"tools":[{"name":"gone"}]}"#, "tools"),
        (r#"{"model":"gpt-4o","tools":[],"t\u006fols":[{"name":"gone"}]}"#, "tools"),
        (r#"{"model":"gpt-4o","Tools":[{"name":"gone"}]}"#, "Tools"),
        (r#"{"model":"gpt-4o","tool\u0073 ":[{"name":"gone"}]}"#, "tools "),
        (r#"{"model":"gpt-4o","FUNCTIONS":[{"name":"gone"}]}"#, "FUNCTIONS"),
        (r#"{"model":"gpt-4o","model":"o1"}"#, "model"),
        (r#"{"model":"gpt-4o","Model":"o1"}"#, "Model"),
        (r#"{"model":"gpt-4o","stream":false,"Stream":true}"#, "Stream"),
        (r#"{"model":"gpt-4o","messages":[],"messages":[]}"#, "messages"),
        (r#"{"model":"gpt-4o","x":1,"x":2}"#, "x"),
        (r#"{"model":"gpt-4o","Web_Search_Options":{}}"#, "Web_Search_Options"),
        (r#"{"model":"gpt-4o","tools":[{"name":"a","name":"gone"}]}"#, "tools[0].name"),
        (r#"{"model":"gpt-4o","tools":[{"name":"a","Name":"gone"}]}"#, "tools[0].Name"),
        (r#"{"model":"gpt-4o","tools":[{"function":{"name":"a","NAME":"gone"}}]}"#, "tools[0].function.NAME"),
        (
            r#"{"model":"gpt-4o","tools":[{"name":"b"},{"function":{"name":"a"},"Function":{"name":"gone"}}]}"#,
            "tools[1].Function",
        ),
        (r#"{"model":"gpt-4o","tools":[{"custom":{"name":"a","name":"a"}}]}"#, "tools[0].custom.name"),
        (r#"{"model":"gpt-4o","tools":[{"type":"a","Type":"gone"}]}"#, "tools[0].Type"),
        (r#"{"model":"gpt-4o","functions":[{"name":"a","name":"gone"}]}"#, "functions[0].name"),
        (r#"{"model":"gpt-4o","tool_choice":{"type":"function","type":"x"}}"#, "tool_choice.type"),
        (r#"{"model":"gpt-4o","function_call":{"name":"a","name":"gone"}}"#, "function_call.name"),
        (
            r#"{"model":"gpt-4o","stream_options":{"include_usage":true,"Include_Usage":false}}"#,
            "stream_options.Include_Usage",
        ),
    ] {
        for door in DOORS {
            let outcome = agent.enters(door, sent).await;
            assert_eq!(outcome.refused("invalid_request_error").0, param, "{sent}");
        }
    }
    assert!(house.upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_whose_names_cannot_be_told_are_refused() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    for (tools, param) in [
        (r#"[{"type":"function","function":{"name":"a"},"name":"gone"}]"#, "tools[0]"),
        (r#"[{"type":"custom","function":{"name":"gone"}}]"#, "tools[0]"),
        (r#"[{"type":"function","custom":{"name":"gone"}}]"#, "tools[0]"),
        (r#"[{"type":"web","function":{"name":"gone"}}]"#, "tools[0]"),
        (r#"[{"function":{"name":"a"},"custom":{"name":"gone"}}]"#, "tools[0]"),
        (r#"[{"type":"function"}]"#, "tools[0]"),
        (r#"[{}]"#, "tools[0]"),
        (r#"["gone"]"#, "tools[0]"),
        (r#"[["gone"]]"#, "tools[0]"),
        (r#"{"name":"gone"}"#, "tools"),
        (r#""gone""#, "tools"),
        (r#"[{"name":1}]"#, "tools[0].name"),
        (r#"[{"name":["gone"]}]"#, "tools[0].name"),
        (r#"[{"name":"\ud800"}]"#, "tools[0].name"),
        (r#"[{"function":"gone"}]"#, "tools[0].function"),
    ] {
        for door in DOORS {
            let sent = format!("{{\"model\":\"gpt-4o\",\"tools\":{tools}}}");
            let outcome = agent.enters(door, sent).await;
            assert_eq!(outcome.refused("invalid_request_error").0, param, "{tools}");
        }
    }
    assert!(house.upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_list_holds_for_the_next_request() {
    let house = House::new().await;
    let (agent, issued) = house.operator.equip(json!({"name": "agent"})).await;
    let id = issued["id"].as_str().unwrap();
    let sent = offering(&["a", "b"]);
    for (lists, expected) in [
        (json!({}), &["a", "b"][..]),
        (json!({"denied_tools": ["b"]}), &["a"]),
        (json!({"allowed_tools": ["b"]}), &[]),
        (json!({"denied_tools": null}), &["b"]),
        (json!({"allowed_tools": []}), &[]),
        (json!({"allowed_tools": null, "denied_tools": ["a"]}), &["b"]),
        (json!({"denied_tools": []}), &["a", "b"]),
    ] {
        house.operator.set_toollist(id, lists.clone()).await.success();
        for door in DOORS {
            agent.enters(door, sent.clone()).await.headers();
            assert_eq!(offered(&house), expected, "{lists}, {door:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_keeps_the_list_it_began_with() {
    let house = House::new().await;
    let (agent, issued) = house.operator.equip(json!({"name": "agent"})).await;
    let stream = house.upstream.will_stream();
    let answer = agent.opens(offering(&["a", "b"])).await;
    house.operator.set_toollist(issued["id"].as_str().unwrap(), json!({"allowed_tools": []})).await.success();
    stream.end();
    assert_eq!(answer.headers()["x-orqen-tools-output"], "2");

    house.upstream.will(Reply::json("{}"));
    agent.posts(offering(&["a", "b"])).await.success();
    assert_eq!(offered(&house), Vec::<String>::new());
}
