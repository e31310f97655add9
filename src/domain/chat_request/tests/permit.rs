//! Who goes, who stays, and what happens to those that speak of them.

use super::*;

const TOOLS: &str =
    r#"{"type":"function","function":{"name":"a"}},{"type":"function","function":{"name":"b"}}"#;

fn with_choice(choice: &str) -> String {
    format!(r#"{{"tools":[{TOOLS}],"tool_choice":{choice},"parallel_tool_calls":true,"n":1}}"#)
}

#[test]
fn a_denied_tool_goes_in_every_shape_and_spelling() {
    for tool in [
        r#"{"type":"function","function":{"name":"delete_file"}}"#,
        r#"{"function":{"name":"\u0064elete_file"}}"#,
        r#"{"type":"function","name":"Delete_File"}"#,
        r#"{"name":"DELETE_FILE","input_schema":{}}"#,
        r#"{"type":"custom","custom":{"name":" delete_file"}}"#,
        r#"{"type":"custom","name":"ｄelete_file"}"#,
        "{\"name\":\"delete\u{200b}_file\"}",
        r#"{"name":"\ufeffdelete_file"}"#,
        r#"{"name":"delete_file\u0000"}"#,
        r#"{"name":"delete_\ufb01le"}"#,
        r#"{"type":"delete_file"}"#,
        r#"{"type":"delete_file","name":"harmless"}"#,
        r#"{"type":"harmless","name":"delete_file"}"#,
        "{ \"function\" : { \"parameters\" : { \"name\" : \"get\" } , \"name\" : \"delete_file\" } }",
    ] {
        let body = format!(r#"{{"tools":[{{"name":"get"}},{tool}]}}"#);
        assert_eq!(filtered(&body, &deny(&["delete_file"])), r#"{"tools":[{"name":"get"}]}"#, "{tool}");
    }
    let kelvin = "{\"functions\":[{\"name\":\"to\u{212a}en\"},{\"name\":\"get\"}]}";
    assert_eq!(filtered(kelvin, &deny(&["token"])), r#"{"functions":[{"name":"get"}]}"#);
}

#[test]
fn under_an_allowlist_whatever_is_not_named_goes() {
    let body = r#"{"tools":[{"name":"a"},{"name":"A"},{"type":"web_search"},{"type":"web_search_1","name":"a"},{"name":"\u0061"}],"web_search_options":{}}"#;
    assert_eq!(filtered(body, &allow(&["a"])), r#"{"tools":[{"name":"a"},{"name":"\u0061"}]}"#);
    assert_eq!(filtered(body, &allow(&["a", "web_search*"])), body.replace(r#"{"name":"A"},"#, ""));
    assert_eq!(filtered(body, &allow(&[])), "{}");
}

#[test]
fn the_tally_counts_every_kind_of_tool() {
    let body = r#"{"tools":[{"name":"a"},{"name":"b"}],"functions":[{"name":"c"}],"web_search_options":{}}"#;
    let tally = |list: &Toollist, mode| permit(body, list, mode).unwrap().tally();
    let denied = ToolTally { input: 4, denied: 2, would_deny: 0, output: 2 };
    assert_eq!(tally(&allow(&["a", "c"]), ToolMode::Filter), denied);
    let observed = ToolTally { input: 4, denied: 0, would_deny: 2, output: 4 };
    assert_eq!(tally(&allow(&["a", "c"]), ToolMode::Observe), observed);
    assert_eq!(
        permit(r#"{"web_search_options":null}"#, &allow(&[]), ToolMode::Filter).unwrap().tally().input,
        0
    );
}

#[test]
fn dependants_go_with_the_last_tool() {
    let body = r#"{ "a": 1, "tools": [ {"name":"x"} ], "tool_choice": "auto", "parallel_tool_calls": false, "z": 2 }"#;
    assert_eq!(filtered(body, &deny(&["x"])), r#"{ "a": 1, "z": 2 }"#);
    let body =
        r#"{"function_call":"auto","functions":[{"name":"x"}],"tools":[{"name":"y"}],"tool_choice":"auto"}"#;
    assert_eq!(filtered(body, &deny(&["x"])), r#"{"tools":[{"name":"y"}],"tool_choice":"auto"}"#);
    let body = r#"{"tools":[],"tool_choice":"required","parallel_tool_calls":true}"#;
    assert_eq!(filtered(body, &allow(&[])), body, "what the client sent empty stays");
}

#[test]
fn block_refuses_what_filter_would_remove() {
    for (body, param) in [
        (r#"{"tools":[{"name":"x"},{"name":"a"}]}"#, "tools"),
        (r#"{"functions":[{"name":"x"}]}"#, "functions"),
        (r#"{"web_search_options":{}}"#, "web_search_options"),
        (
            r#"{"tools":[{"name":"a"}],"tool_choice":{"type":"allowed_tools","tools":[{"name":"a"},{"name":"x"}]}}"#,
            "tool_choice",
        ),
    ] {
        match permit(body, &allow(&["a"]), ToolMode::Block) {
            Err(Refused::ToolNotAllowed { param: named, message, tally }) => {
                assert_eq!(named, param);
                let named = if param.starts_with("web") { "\"web_search\"" } else { "\"x\"" };
                assert!(message.contains(named) && message.contains("may not use"), "{message}");
                assert_eq!(tally.output, 0);
            }
            other => panic!("{other:?}"),
        }
    }
    let body = r#"{"tools":[{"name":"a"}],"tool_choice":"required"}"#;
    assert_eq!(
        text(&permit(body, &allow(&["a"]), ToolMode::Block).unwrap().keep(&Selection::All, None)),
        body
    );
    let many: Vec<_> = (0..50).map(|i| format!(r#"{{"name":"t{i}"}}"#)).collect();
    let refusal =
        permit(&format!("{{\"tools\":[{}]}}", many.join(",")), &allow(&[]), ToolMode::Block).unwrap_err();
    assert!(refusal.to_string().contains("\"t4\" and 45 more"), "{refusal}");
}

#[test]
fn observe_changes_and_refuses_nothing() {
    for choice in [r#""required""#, r#"{"name":"a"}"#, r#"{"type":"allowed_tools","tools":[{"name":"a"}]}"#] {
        let body = with_choice(choice);
        let permitted = permit(&body, &deny(&["*"]), ToolMode::Observe).unwrap();
        assert_eq!(permitted.tools().len(), 2);
        let prepared = permitted.keep(&Selection::All, None);
        assert_eq!(text(&prepared), body);
        assert_eq!(prepared.tally(), ToolTally { input: 2, denied: 0, would_deny: 2, output: 2 });
        assert!(prepared.removed_by_lists().is_empty());
    }
}

#[test]
fn a_forced_tool_that_is_gone_is_refused_by_name() {
    for choice in [
        r#"{"type":"function","function":{"name":"b"}}"#,
        r#"{"type":"function","function":{"name":"\u0062"}}"#,
        r#"{"function":{"name":"b"}}"#,
        r#"{"type":"function","name":"b"}"#,
        r#"{"type":"custom","custom":{"name":"b"}}"#,
        r#"{"type":"tool","name":"b"}"#,
        r#"{"name":"b"}"#,
        r#"{"type":"b"}"#,
        r#""b""#,
    ] {
        for list in [allow(&["a"]), deny(&["B"])] {
            let (param, message) = refused(&with_choice(choice), &list);
            assert_eq!(param, "tool_choice");
            assert!(message.contains("tool_choice forces the tool \"b\""), "{message}");
        }
    }
    let not_offered = r#"{"tool_choice":{"type":"web_search_preview"},"tools":[{"name":"a"}]}"#;
    assert!(refused(not_offered, &deny(&["web_search*"])).1.contains("web_search_preview"));
    assert_eq!(
        refused(r#"{"functions":[{"name":"a"},{"name":"b"}],"function_call":{"name":"b"}}"#, &deny(&["b"])).0,
        "function_call"
    );
    assert_eq!(
        refused(r#"{"functions":[{"name":"a"}],"function_call":{"name":"b"}}"#, &allow(&["a"])).0,
        "function_call"
    );
}

#[test]
fn a_forced_tool_that_is_gone_for_its_type_is_refused_too() {
    let body = r#"{"tools":[{"type":"code_1","name":"run"},{"name":"a"}],"tool_choice":{"name":"run"}}"#;
    assert!(refused(body, &deny(&["code_*"])).1.contains("\"run\""));
    let body = r#"{"tools":[{"type":"code_1","name":"run"},{"name":"run"}],"tool_choice":{"name":"run"}}"#;
    assert_eq!(
        filtered(body, &deny(&["code_*"])),
        r#"{"tools":[{"name":"run"}],"tool_choice":{"name":"run"}}"#
    );
}

#[test]
fn a_choice_of_what_is_left_stays() {
    for choice in [
        r#""auto""#,
        r#""none""#,
        r#""required""#,
        r#""any""#,
        r#"{"type":"auto"}"#,
        r#"{"type":"any"}"#,
        r#""a""#,
        r#""validated""#,
        r#"{"type":"function","function":{"name":"a"}}"#,
        r#"{"type":"tool","name":"a","disable_parallel_tool_use":true}"#,
        r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"a"}}]}}"#,
        "null",
    ] {
        let without_b = with_choice(choice).replace(r#",{"type":"function","function":{"name":"b"}}"#, "");
        assert_eq!(filtered(&with_choice(choice), &allow(&["a"])), without_b, "{choice}");
    }
}

#[test]
fn a_demanded_call_with_nothing_left_is_refused() {
    for choice in [
        r#""required""#,
        r#""any""#,
        r#"{"type":"any"}"#,
        r#"{"type":"allowed_tools","mode":"required","tools":[{"name":"other"}]}"#,
        r#"{"name":"other"}"#,
    ] {
        let (param, message) = refused(&with_choice(choice), &allow(&["other"]));
        assert_eq!(param, "tool_choice");
        assert!(message.contains("\"a\", \"b\""), "{message}");
    }
    assert!(
        refused(r#"{"web_search_options":{},"tool_choice":"required"}"#, &allow(&[]))
            .1
            .contains("web_search")
    );
    let (param, _) = refused(r#"{"functions":[{"name":"x"}],"function_call":{"name":"y"}}"#, &allow(&["y"]));
    assert_eq!(param, "function_call");
    for choice in [r#""auto""#, r#""none""#, "null"] {
        assert_eq!(filtered(&with_choice(choice), &allow(&[])), r#"{"n":1}"#);
    }
}

#[test]
fn allowed_tools_are_intersected_and_never_widened() {
    let nested = |mode: &str, tools: &str| {
        with_choice(&format!(
            r#"{{"type":"allowed_tools","allowed_tools":{{"mode":"{mode}","tools":[{tools}]}}}}"#
        ))
    };
    let flat = |mode: &str, tools: &str| {
        with_choice(&format!(r#"{{"type":"allowed_tools","mode":"{mode}","tools":[ {tools} ]}}"#))
    };
    let a = r#"{"type":"function","function":{"name":"a"}}"#;
    let b = r#"{"type":"function","name":"b"}"#;
    let list = deny(&["b"]);
    let offered = |body: String| body.replace(r#",{"type":"function","function":{"name":"b"}}"#, "");
    for mode in ["auto", "required"] {
        assert_eq!(filtered(&nested(mode, &format!("{a} , {b}")), &list), offered(nested(mode, a)));
        assert_eq!(filtered(&flat(mode, &format!("{b},\n{a}")), &list), offered(flat(mode, a)));
    }
    assert_eq!(filtered(&nested("auto", b), &list), offered(with_choice("\"none\"")));
    assert_eq!(filtered(&flat("auto", b), &list), offered(with_choice("\"none\"")));
    for body in [nested("required", b), flat("required", b), flat("any", b)] {
        let (param, message) = refused(&body, &list);
        assert!(param == "tool_choice" && message.contains("\"b\""), "{message}");
    }
    assert_eq!(
        filtered(&nested("required", ""), &list),
        offered(nested("required", "")),
        "sent empty, stays empty"
    );
    let hosted = r#"{"tools":[{"name":"a"}],"tool_choice":{"type":"allowed_tools","tools":[{"type":"web_search"},{"name":"a"}]}}"#;
    assert!(!filtered(hosted, &allow(&["a"])).contains("web_search"));
}

#[test]
fn configured_members_are_tools_as_well() {
    let members = [
        ToolMember { member: "enable_search".to_owned(), tool: "web_search".to_owned() },
        ToolMember { member: "googleSearch".to_owned(), tool: "google".to_owned() },
        ToolMember { member: "web_search_options".to_owned(), tool: "browse".to_owned() },
        ToolMember { member: "messages".to_owned(), tool: "nonsense".to_owned() },
    ];
    let send = |body: &str, list: &Toollist| parse(body).permit(list, ToolMode::Filter, &members);
    let body = r#"{"messages":[],"enable_search":true,"\u0067oogleSearch":{},"web_search_options":{},"x":1}"#;
    let permitted = send(body, &allow(&["google"])).unwrap();
    assert_eq!(permitted.tally(), ToolTally { input: 3, denied: 2, would_deny: 0, output: 1 });
    assert!(permitted.tools().is_empty(), "members are not pruned");
    let sent = text(&permitted.keep(&Selection::Only(vec![]), None));
    assert_eq!(sent, r#"{"messages":[],"\u0067oogleSearch":{},"x":1}"#);
    let only = send(body, &deny(&["browse"])).unwrap().keep(&Selection::All, None);
    assert!(!text(&only).contains("web_search_options"), "all that a member counts as count");
    assert_eq!(send(r#"{"enable_search":null}"#, &allow(&[])).unwrap().tally().input, 0);
    for (look_alike, param) in [
        (r#"{"Enable_Search":true}"#, "Enable_Search"),
        (r#"{"googlesearch":{}}"#, "googlesearch"),
        ("{\"enable\u{200b}_search\":1}", "enable\\u{200b}_search"),
    ] {
        match send(look_alike, &Toollist::unbound()) {
            Err(Refused::Malformed(malformed)) => assert_eq!(malformed.param.as_deref(), Some(param)),
            other => panic!("{other:?}"),
        }
    }
    assert!(ChatRequest::parse(r#"{"enable_search":1,"enable\u005fsearch":2}"#.into(), &BOUNDS).is_err());
}
