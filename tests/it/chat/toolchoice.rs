//! `tool_choice` and `function_call` in the light of the lists: refused when they force what is gone, narrowed when
//! they allow it, never weakened.

use serde_json::json;

use crate::chat::{DOORS, House};

/// Ways to force a tool in `tool_choice`; `@` stands for its name.
const FORCING: &[&str] = &[
    r#"{"type":"function","function":{"name":"@"}}"#,
    r#"{"function":{"name":"@"}}"#,
    r#"{"type":"function","name":"@"}"#,
    r#"{"type":"custom","custom":{"name":"@"}}"#,
    r#"{"type":"custom","name":"@"}"#,
    r#"{"type":"tool","name":"@"}"#,
    r#"{"name":"@"}"#,
    r#"{"type":"@"}"#,
    r#""@""#,
];

/// Spellings of the denied name `gone`.
const GONE: &[&str] = &["gone", r"g\u006fne", "GONE", "ｇｏｎｅ", "go\u{200b}ne", " gone ", r"gone\u0000"];

#[tokio::test(flavor = "multi_thread")]
async fn forcing_a_denied_tool_is_refused_in_every_form_and_spelling() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    for form in FORCING {
        for name in GONE {
            // Refused whether the tool was offered, under another name, or not at all.
            for tools in
                [format!("[{{\"name\":\"{name}\"}},{{\"name\":\"a\"}}]"), r#"[{"name":"a"}]"#.to_owned()]
            {
                let choice = form.replace('@', name);
                let sent = format!("{{\"model\":\"gpt-4o\",\"tool_choice\":{choice},\"tools\":{tools}}}");
                for door in DOORS {
                    let outcome = agent.enters(door, sent.clone()).await;
                    let (param, message) = outcome.refused("tool_not_allowed");
                    assert_eq!(param, "tool_choice", "{sent}");
                    let shown: String = serde_json::from_str(&format!("\"{name}\"")).unwrap();
                    assert!(message.contains(&format!("{shown:?}")), "{message}");
                }
            }
        }
    }
    assert!(house.upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_function_call_is_held_to_the_same() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    for name in GONE {
        let call = format!("{{\"name\":\"{name}\"}}");
        let sent = format!(
            "{{\"model\":\"gpt-4\",\"functions\":[{{\"name\":\"a\"}},{call}],\"function_call\":{call}}}"
        );
        for door in DOORS {
            let outcome = agent.enters(door, sent.clone()).await;
            assert_eq!(outcome.refused("tool_not_allowed").0, "function_call", "{sent}");
        }
    }
    assert!(house.upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn under_an_allowlist_a_choice_must_be_of_an_allowed_tool() {
    let house = House::new().await;
    let agent = house.agent_with(json!({"allowed_tools": ["a"]})).await;
    let of = |name: &str| {
        format!(
            "{{\"model\":\"gpt-4o\",\"tools\":[{{\"name\":\"a\"}},{{\"name\":\"b\"}}],\"tool_choice\":{{\"type\":\
             \"function\",\"function\":{{\"name\":\"{name}\"}}}}}}"
        )
    };
    for door in DOORS {
        for name in ["b", "A", "never_offered"] {
            let outcome = agent.enters(door, of(name)).await;
            assert!(outcome.refused("tool_not_allowed").1.contains(name));
        }
        agent.enters(door, of("a")).await.headers();
        assert_eq!(house.upstream.last().text(), of("a").replace(",{\"name\":\"b\"}", ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demand_for_a_call_with_nothing_left_to_call_is_refused() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    for (sent, param) in [
        (r#"{"model":"gpt-4o","tools":[{"name":"gone"}],"tool_choice":"required"}"#, "tool_choice"),
        (r#"{"model":"gpt-4o","tools":[{"name":"gone"}],"tool_choice":"any"}"#, "tool_choice"),
        (r#"{"model":"gpt-4o","tools":[{"name":"gone"}],"tool_choice":{"type":"required"}}"#, "tool_choice"),
        (r#"{"model":"gpt-4o","tools":[{"name":"gone"}],"tool_choice":{"name":"a"}}"#, "tool_choice"),
        (r#"{"model":"gpt-4o","functions":[{"name":"gone"}],"function_call":{"name":"a"}}"#, "function_call"),
    ] {
        for door in DOORS {
            let outcome = agent.enters(door, sent).await;
            let (at, message) = outcome.refused("tool_not_allowed");
            assert_eq!(at, param, "{sent}");
            assert!(message.contains("\"gone\""), "{message}");
        }
    }
    assert!(house.upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_allowed_tools_is_intersected_where_it_stands() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    for (sent, expected) in [
        (
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"gone"}} , {"type":"function","function":{"name":"a"}}]}}"#,
            r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"a"}}]}}"#,
        ),
        (
            r#"{ "type":"allowed_tools" , "mode":"auto","tools":[{"name":"a"},{"type":"function","name":"GONE"},{"type":"g\u006fne"}] }"#,
            r#"{ "type":"allowed_tools" , "mode":"auto","tools":[{"name":"a"}] }"#,
        ),
        (
            r#"{"allowed_tools":{"tools":[{"name":"a"},{"name":"b"}],"x":[ ]}}"#,
            r#"{"allowed_tools":{"tools":[{"name":"a"},{"name":"b"}],"x":[ ]}}"#,
        ),
        // Left out, the model could call `a`, which the client did not allow.
        (r#"{"type":"allowed_tools","mode":"auto","tools":[{"name":"gone"}]}"#, r#""none""#),
    ] {
        let request = r#"{"model":"gpt-4o","tools":[{"name":"a"},{"name":"b"}],"tool_choice":@,"n":1}"#;
        for door in DOORS {
            agent.enters(door, request.replace('@', sent)).await.headers();
            assert_eq!(house.upstream.last().text(), request.replace('@', expected), "{door:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_list_that_loses_its_last_tool_is_refused() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    for choice in [
        r#"{"type":"allowed_tools","mode":"required","tools":[{"name":"gone"}]}"#,
        r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"name":"gone"}]}}"#,
        r#"{"type":"allowed_tools","allowed_tools":{"tools":[{"name":"gone"}]},"mode":"any"}"#,
    ] {
        let sent =
            format!("{{\"model\":\"gpt-4o\",\"tools\":[{{\"name\":\"a\"}}],\"tool_choice\":{choice}}}");
        for door in DOORS {
            let outcome = agent.enters(door, sent.clone()).await;
            assert_eq!(outcome.refused("tool_not_allowed").0, "tool_choice", "{choice}");
        }
    }
    assert!(house.upstream.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_that_says_two_things_is_refused() {
    let house = House::new().await;
    let agent = house.denied(&["gone"]).await;
    for choice in [
        r#"{"type":"allowed_tools","tools":[{"name":"a"}],"allowed_tools":{"tools":[{"name":"gone"}]}}"#,
        r#"{"type":"allowed_tools","mode":"auto","allowed_tools":{"mode":"required","tools":[]}}"#,
        r#"{"type":"function","name":"a","tools":[{"name":"gone"}]}"#,
        r#"{"type":"function","function":{"name":"a"},"name":"gone"}"#,
        r#"{"type":"allowed_tools"}"#,
        r#"{"name":"a","Name":"gone"}"#,
        r#"{"type":"allowed_tools","allowed_tools":{"mode":"auto","MODE":"required","tools":[]}}"#,
        "[]",
        "true",
    ] {
        let sent =
            format!("{{\"model\":\"gpt-4o\",\"tools\":[{{\"name\":\"a\"}}],\"tool_choice\":{choice}}}");
        for door in DOORS {
            let outcome = agent.enters(door, sent.clone()).await;
            let (param, _) = outcome.refused("invalid_request_error");
            assert!(param.starts_with("tool_choice"), "{choice}: {param}");
        }
    }
    assert!(house.upstream.received().is_empty());
}
