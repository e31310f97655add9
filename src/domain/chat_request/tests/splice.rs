//! The bytes that are sent: what stays is untouched, and what goes leaves valid JSON.

use super::*;

#[test]
fn an_untouched_request_is_the_very_same_buffer() {
    let body =
        Bytes::from_static(br#"{"model":"gpt\u002d4o","tools":[{"name":"a"}],"web_search_options":{}}"#);
    for (model, selection) in
        [(None, Selection::All), (Some("gpt-4o"), Selection::All), (None, Selection::Only(vec![0]))]
    {
        let request = ChatRequest::parse(body.clone(), &BOUNDS).unwrap();
        let permitted = request.permit(&deny(&["b"]), ToolMode::Filter, &[]).unwrap();
        let prepared = permitted.keep(&selection, model);
        assert_eq!(prepared.body().as_ptr(), body.as_ptr());
        assert_eq!(prepared.body(), &body);
    }
}

#[test]
fn a_removed_element_takes_one_comma_and_the_white_space_between() {
    let body = "{\"tools\" : [ {\"name\":\"a\"} ,\n  {\"name\":\"b\"} ,\t{\"name\":\"c\"} ]\r\n}\n";
    for (denied, expected) in [
        (vec!["a"], "{\"tools\" : [ {\"name\":\"b\"} ,\t{\"name\":\"c\"} ]\r\n}\n"),
        (vec!["b"], "{\"tools\" : [ {\"name\":\"a\"} ,\t{\"name\":\"c\"} ]\r\n}\n"),
        (vec!["c"], "{\"tools\" : [ {\"name\":\"a\"} ,\n  {\"name\":\"b\"} ]\r\n}\n"),
        (vec!["a", "b"], "{\"tools\" : [ {\"name\":\"c\"} ]\r\n}\n"),
        (vec!["a", "c"], "{\"tools\" : [ {\"name\":\"b\"} ]\r\n}\n"),
        (vec!["b", "c"], "{\"tools\" : [ {\"name\":\"a\"} ]\r\n}\n"),
        (vec!["a", "b", "c"], "{\r\n}\n"),
    ] {
        assert_eq!(filtered(body, &deny(&denied)), expected, "{denied:?}");
    }
}

#[test]
fn numbers_order_white_space_and_escapes_survive() {
    let body = "{ \"seed\" : 12345678901234567890123 ,\"z\":1.0E+02,\"messages\":[{\"content\":\"\\u00e9\\/\\ud83d\\ude00 é\"}],\t\"tools\":[{\"name\":\"x\"},{\"name\":\"keep\",\"parameters\":{\"b\":-0.10e1,\"a\":[ ]}}],\"a\":{ \"b\":null , \"b\":2 } }";
    assert_eq!(filtered(body, &deny(&["x"])), body.replace("{\"name\":\"x\"},", ""));
}

#[test]
fn the_model_is_written_over_or_put_in() {
    let sent = |body: &str, list: &Toollist, model: &str| {
        text(&permit(body, list, ToolMode::Filter).unwrap().keep(&Selection::All, Some(model)))
    };
    let unbound = Toollist::unbound();
    assert_eq!(
        sent(r#"{"n":1, "model" : "openai/gpt-4o" }"#, &unbound, "gpt-4o"),
        r#"{"n":1, "model" : "gpt-4o" }"#
    );
    assert_eq!(sent(r#"{"model":"\u0061/b"}"#, &unbound, "q\"\\\n\u{1}é"), r#"{"model":"q\"\\\n\u0001é"}"#);
    assert_eq!(sent(r#"{"model":null}"#, &unbound, "m"), r#"{"model":"m"}"#);
    assert_eq!(sent("{}", &unbound, "m"), r#"{"model":"m"}"#);
    assert_eq!(sent(" { } ", &unbound, "m"), r#" {"model":"m" } "#);
    assert_eq!(sent(r#"{ "n":1}"#, &unbound, "m"), r#"{"model":"m", "n":1}"#);
    let only_tools = r#"{"tools":[{"name":"a"}],"tool_choice":"auto"}"#;
    assert_eq!(sent(only_tools, &deny(&["a"]), "m"), r#"{"model":"m"}"#);
    let leading = r#"{"tools":[{"name":"a"}],"n":1}"#;
    assert_eq!(sent(leading, &deny(&["a"]), "m"), r#"{"model":"m","n":1}"#);
    let within = r#"{"tools":[{"name":"a"},{"name":"b"}],"model":"x","web_search_options":{}}"#;
    assert_eq!(sent(within, &allow(&["b"]), "m"), r#"{"tools":[{"name":"b"}],"model":"m"}"#);
}

#[test]
fn a_selection_only_removes() {
    let body = r#"{"tools":[{"name":"a"},{"name":"x"},{"name":"b"}],"functions":[{"name":"x"},{"name":"c"}],"tool_choice":"auto","parallel_tool_calls":true}"#;
    let permitted = || permit(body, &deny(&["x"]), ToolMode::Filter).unwrap();
    let names: Vec<_> = permitted().tools().iter().map(|tool| tool.name.to_owned()).collect();
    assert_eq!(names, ["a", "b", "c"]);

    let prepared = permitted().keep(&Selection::Only(vec![1, 2, 9, usize::MAX]), None);
    assert_eq!(
        text(&prepared),
        r#"{"tools":[{"name":"b"}],"functions":[{"name":"c"}],"tool_choice":"auto","parallel_tool_calls":true}"#
    );
    assert_eq!(prepared.tally(), ToolTally { input: 5, denied: 2, would_deny: 0, output: 2 });
    assert_eq!(definitions(prepared.removed_by_lists()), [r#"{"name":"x"}"#; 2]);
    assert_eq!(definitions(prepared.removed_by_selection()), [r#"{"name":"a"}"#]);

    let prepared = permitted().keep(&Selection::Only(vec![2]), None);
    assert_eq!(text(&prepared), r#"{"functions":[{"name":"c"}]}"#);
    assert_eq!(text(&permitted().keep(&Selection::Only(vec![]), None)), "{}");
    assert!(
        text(&permitted().keep(&Selection::Only(vec![0, 0, 2, 1]), None))
            .contains(r#"[{"name":"a"},{"name":"b"}]"#)
    );
}

#[test]
fn what_the_choice_speaks_of_is_never_pruned() {
    let keep_none = |choice: &str| {
        let body = format!(r#"{{"tools":[{{"name":"a"}},{{"name":"b"}}],"tool_choice":{choice}}}"#);
        let prepared =
            permit(&body, &deny(&["z"]), ToolMode::Filter).unwrap().keep(&Selection::Only(vec![]), None);
        (text(&prepared), body)
    };
    for choice in [r#"{"name":"a"}"#, r#""a""#, r#"{"type":"allowed_tools","tools":[{"name":"a"}]}"#] {
        let (sent, body) = keep_none(choice);
        assert_eq!(sent, body.replace(r#",{"name":"b"}"#, ""));
    }
    for choice in [r#""required""#, r#"{"type":"any"}"#] {
        let (sent, body) = keep_none(choice);
        assert_eq!(sent, body, "a demanded call keeps something to call");
    }
    for choice in [r#""auto""#, r#""none""#, "null"] {
        assert_eq!(keep_none(choice).0, "{}");
    }
    let body = r#"{"functions":[{"name":"a"},{"name":"b"}],"function_call":{"name":"b"}}"#;
    let prepared =
        permit(body, &Toollist::unbound(), ToolMode::Filter).unwrap().keep(&Selection::Only(vec![]), None);
    assert_eq!(text(&prepared), r#"{"functions":[{"name":"b"}],"function_call":{"name":"b"}}"#);
}

#[test]
fn removed_tools_do_not_hold_the_clients_buffer() {
    let body =
        Bytes::from(format!(r#"{{"tools":[{{"name":"a"}},{{"name":"b"}}],"x":"{}"}}"#, "x".repeat(100_000)));
    let request = ChatRequest::parse(body.clone(), &BOUNDS).unwrap();
    let prepared = request.permit(&deny(&["b"]), ToolMode::Filter, &[]).unwrap().keep(&Selection::All, None);
    let removed = prepared.removed_by_lists().clone();
    drop(prepared);
    assert!(body.is_unique());
    assert_eq!(definitions(&removed), [r#"{"name":"b"}"#]);
    let held = ToolSet::held([&removed, &removed, &ToolSet::default()]);
    assert!((54..2_000).contains(&held), "{held}");
}
