//! What a tool brings beside its name: members that some provider takes for a tool, and the tools of MCP servers.

use super::*;

/// What is left of `tool` beside another one.
fn stays(tool: &str, list: &Toollist) -> bool {
    let body = format!(r#"{{"tools":[{{"name":"a"}},{tool}]}}"#);
    let sent = filtered(&body, list);
    assert!(sent == body || sent == r#"{"tools":[{"name":"a"}]}"#, "{sent}");
    sent == body
}

#[test]
fn an_unknown_member_is_one_more_name() {
    for tool in [
        r#"{"type":"get_weather","googleMaps":{}}"#,
        r#"{"name":"get_weather","googleMaps":[]}"#,
        r#"{"googleMaps":{"x":1},"type":"function","function":{"name":"get_weather"}}"#,
        r#"{"name":"get_weather","google\u004daps":{}}"#,
    ] {
        assert!(!stays(tool, &allow(&["a", "get_weather"])), "{tool}");
        assert!(stays(tool, &allow(&["a", "get_weather", "googleMaps"])), "{tool}");
        assert!(!stays(tool, &deny(&["googlemaps"])), "{tool}");
        assert!(stays(tool, &deny(&["other"])) && stays(tool, &Toollist::unbound()), "{tool}");
    }
    for tool in
        [r#"{"name":"get_weather","googleMaps":null}"#, r#"{"name":"get_weather","defer_loading":true}"#]
    {
        assert!(stays(tool, &allow(&["a", "get_weather"])), "{tool}");
    }
    let functions = r#"{"functions":[{"name":"a","parameters":{}},{"name":"b","googleMaps":{}}]}"#;
    assert_eq!(filtered(functions, &allow(&["a", "b"])), r#"{"functions":[{"name":"a","parameters":{}}]}"#);
}

#[test]
fn members_that_carry_no_tool_are_no_names() {
    for tool in [
        r#"{"name":"b","description":"","input_schema":{},"cache_control":{"type":"ephemeral"},"input_examples":[{}]}"#,
        r#"{"type":"function","name":"b","parameters":{},"strict":true,"x-orqen-examples":[]}"#,
        r#"{"name":"b","inputSchema":{},"outputSchema":{},"annotations":{},"_meta":{},"icons":[]}"#,
        r#"{"name":"b","parametersJsonSchema":{},"responseJsonSchema":{},"response":{}}"#,
        r#"{"type":"custom","name":"b","format":{"type":"grammar"}}"#,
        r#"{"type":"b","user_location":{},"filters":{"allowed_domains":[]},"container":{"type":"auto"}}"#,
        r#"{"type":"b","vector_store_ids":[],"ranking_options":{},"input_image_mask":{}}"#,
    ] {
        let all = allow(&["a", "b"]);
        let body = format!(r#"{{"tools":[{{"name":"a"}},{tool}]}}"#);
        let kept = body.replace(r#","x-orqen-examples":[]"#, "");
        assert_eq!(filtered(&body, &all), kept, "{tool}");
    }
    assert!(!stays(r#"{"name":"b","Parameters":{}}"#, &allow(&["a", "b"])), "a spelling that nobody knows");
}

#[test]
fn the_tools_of_an_mcp_server_are_names_too() {
    for allowed in [r#"["read","write"]"#, r#"{"read_only":false,"tool_names":["read","wr\u0069te"]}"#] {
        let tool = format!(r#"{{"type":"mcp","server_label":"files","allowed_tools":{allowed}}}"#);
        assert!(stays(&tool, &allow(&["a", "mcp", "read", "write"])));
        assert!(
            !stays(&tool, &allow(&["a", "mcp", "read"])) && !stays(&tool, &allow(&["a", "read", "write"]))
        );
        assert!(!stays(&tool, &deny(&["Write"])) && stays(&tool, &deny(&["other"])));
    }
}

#[test]
fn an_mcp_server_that_lists_no_tools_passes_no_denylist() {
    for tool in [
        r#"{"type":"mcp","server_label":"files"}"#,
        r#"{"type":"MCP","server_label":"files","allowed_tools":null}"#,
        r#"{"type":"mcp","server_label":"files","allowed_tools":{"read_only":true}}"#,
        r#"{"type":"mcp_toolset","mcp_server_name":"files"}"#,
    ] {
        assert!(!stays(tool, &deny(&["write"])), "{tool}");
        assert!(stays(tool, &deny(&[])) && stays(tool, &allow(&["a", "mcp*", "MCP"])), "{tool}");
    }
    let other = r#"{"type":"mcp","server_label":"files","allowed_tools":[{"name":"write"}]}"#;
    assert!(!stays(other, &deny(&["x"])) && stays(other, &Toollist::unbound()), "a shape that nobody knows");
}

#[test]
fn a_tool_of_more_names_than_are_looked_at_passes_no_list() {
    let tool = |count: usize| {
        let names: Vec<String> = (0..count).map(|i| format!("\"t{i}\"")).collect();
        format!(r#"{{"type":"mcp","allowed_tools":[{}]}}"#, names.join(","))
    };
    assert!(stays(&tool(256), &deny(&["x"])) && !stays(&tool(257), &deny(&["x"])));
    assert!(!stays(&tool(257), &allow(&["*"])) && stays(&tool(257), &Toollist::unbound()));
}
