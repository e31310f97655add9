//! What is cut out of a tool that goes on.

use serde_json::{Value, json};

use super::*;

#[test]
fn a_slim_tool_keeps_its_name_its_first_sentence_and_a_schema_that_takes_the_same_values() {
    let tool = r##"{ "type":"function", "function" : {"name":"a","description":"Books a room. It needs \"care\".\nMore.", "strict":true,
      "parameters":{"type":"object","title":"T","$defs":{"d":{"description":"x","type":"string"}},"properties":{
        "description":{"type":"string","description":"gone"}, "title":{"description":"gone","enum":["description"],"default":{"description":"kept"}},
        "n":{"anyOf":[{"type":"null","title":"gone"},{"$ref":"#/$defs/d","examples":[1]}]}},"required":["description","title"]}}}"##;
    let slim: Value = serde_json::from_slice(&slimmed(tool.as_bytes())).unwrap();
    let expected = json!({"type": "function", "function": {"name": "a", "description": "Books a room.", "strict": true,
        "parameters": {"type": "object", "$defs": {"d": {"type": "string"}}, "properties": {
            "description": {"type": "string"},
            "title": {"enum": ["description"], "default": {"description": "kept"}},
            "n": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/d"}]}}, "required": ["description", "title"]}}});
    assert_eq!(slim, expected);
}

#[test]
fn a_first_sentence_ends_where_a_reader_would_end_it() {
    for (text, first) in [
        ("Reads a file. Then more.", "Reads a file."),
        ("Takes e.g. a path and reads it", "Takes e.g. a path and reads it"),
        ("One line\\nand another", "One line"),
        ("获取天气。然后", "获取天气。"),
        ("v1.2 is old", "v1.2 is old"),
        ("", ""),
    ] {
        assert_eq!(&text[..sentence_end(text)], first);
    }
}

#[test]
fn what_is_no_tool_is_left_alone() {
    for json in ["[]", "7", r#"{"function":3}"#, r#"{"parameters":[1,"x"],"description":{"a":1}}"#, "{"] {
        assert_eq!(slimmed(json.as_bytes()), json.as_bytes());
    }
}

#[test]
fn selected_slim_and_whole_tools_and_examples_are_cut_in_one_splice() {
    let tool = |name: &str| {
        format!(
            r#"{{"name":"{name}","description":"Does a thing well. And more.","x-orqen-examples":["say"]}}"#
        )
    };
    let body = format!(r#"{{"tools":[{},{},{}]}}"#, tool("a"), tool("b"), tool("c"));
    let permitted = permit(&body, &Toollist::unbound(), ToolMode::Filter).unwrap();
    let prepared = permitted.keep(&Selection::Slimmed { whole: vec![2], slim: vec![0, 2, 9] }, None);
    assert_eq!(
        text(&prepared),
        r#"{"tools":[{"name":"a","description":"Does a thing well."},{"name":"c","description":"Does a thing well. And more."}]}"#
    );
    assert_eq!(prepared.tally().output, 2);
    assert_eq!(definitions(prepared.removed_by_selection()), [tool("b")]);
    assert_eq!(
        definitions(prepared.slimmed()),
        [tool("a")],
        "as the client wrote it, to be counted by what it lost"
    );
}
