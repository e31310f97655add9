//! What is no chat request, and what it is told.

use super::*;

#[test]
fn a_plain_request_is_read() {
    let request = parse(r#" {"model":"openai\/gpt-4\u006f","stream":true,"messages":[]} "#);
    assert_eq!(request.model(), Some("openai/gpt-4o"));
    assert!(request.stream());
    for body in
        ["{}", r#"{"model":null,"stream":null,"tools":null,"tool_choice":null,"stream_options":null}"#]
    {
        assert_eq!(parse(body).model(), None);
        assert!(!parse(body).stream());
    }
    assert!(!parse(r#"{"stream":false}"#).stream());
}

#[test]
fn what_is_no_json_object_is_refused() {
    assert_eq!(malformed("").message, "the body is empty: send a JSON object");
    assert_eq!(malformed("[1]").message, "the request is \"[1]\": send an object");
    assert_eq!(
        malformed("{} {}").message,
        "the body is not valid JSON at byte 3: expected nothing after the first document"
    );
    for body in
        ["null", "\"a\"", "{", "{\"messages\":[}", "\u{feff}{}", "{}x", "{\"a\":\"\u{1}\"}", "{\"a\":01}"]
    {
        assert!(malformed(body).param.is_none(), "{body}");
    }
    assert!(ChatRequest::parse(Bytes::from_static(b"{\"a\":\"\xc3\"}"), &BOUNDS).is_err());
}

#[test]
fn depth_is_bounded_everywhere() {
    let deep = |open: &str, n: usize, close: &str| open.repeat(n) + "1" + &close.repeat(n);
    for (name, taken) in [("messages", 127), ("x", 127)] {
        assert!(
            ChatRequest::parse(format!("{{\"{name}\":{}}}", deep("[", taken, "]")).into(), &BOUNDS).is_ok()
        );
        assert!(
            malformed(&format!("{{\"{name}\":{}}}", deep("[", taken + 1, "]"))).message.contains("128 deep")
        );
    }
    let unbound = Bounds { depth: usize::MAX };
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for member in
            ["messages", "stream_options", "tools", "functions", "tool_choice", "function_call", "model"]
        {
            let body = format!("{{\"{member}\":{}}}", deep(open, 100_000, close));
            let taken = ChatRequest::parse(body.into(), &unbound).is_ok();
            assert_eq!(taken, member == "messages", "{member}");
        }
    }
    let parameters = deep("{\"a\":", 100_000, "}");
    let body = format!(r#"{{"tools":[{{"name":"a","parameters":{parameters}}}]}}"#);
    assert!(ChatRequest::parse(body.into(), &unbound).is_ok());
}

#[test]
fn a_wrong_type_is_named_with_its_path_and_value() {
    for (body, param, wanted) in [
        (r#"{"model":7}"#, "model", "model is \"7\": send a string"),
        (r#"{"model":["a"]}"#, "model", "a string"),
        (r#"{"stream":"true"}"#, "stream", "true or false"),
        (r#"{"stream":1}"#, "stream", "true or false"),
        (r#"{"stream_options":[]}"#, "stream_options", "an object"),
        (r#"{"tools":{}}"#, "tools", "an array of tools"),
        (r#"{"tools":"get_weather"}"#, "tools", "an array of tools"),
        (r#"{"functions":{"name":"a"}}"#, "functions", "an array of tools"),
        (r#"{"tools":[["a"]]}"#, "tools[0]", "an object"),
        (r#"{"tools":[{"name":"a"},null]}"#, "tools[1]", "an object"),
        (r#"{"tools":[{"type":["function"],"name":"a"}]}"#, "tools[0].type", "a string"),
        (r#"{"tools":[{"type":"function","function":[{"name":"a"}]}]}"#, "tools[0].function", "an object"),
        (r#"{"tools":[{"type":"function","function":"a"}]}"#, "tools[0].function", "an object"),
        (r#"{"tools":[{"function":{"name":["a"]}}]}"#, "tools[0].function.name", "a string"),
        (r#"{"tools":[{"custom":{"name":{"x":1}}}]}"#, "tools[0].custom.name", "a string"),
        (r#"{"tools":[{"name":1}]}"#, "tools[0].name", "a string"),
        (r#"{"functions":[{"name":true}]}"#, "functions[0].name", "a string"),
        (r#"{"tool_choice":["a"]}"#, "tool_choice", "a string or an object"),
        (r#"{"tool_choice":true}"#, "tool_choice", "a string or an object"),
        (r#"{"tool_choice":{"function":["a"]}}"#, "tool_choice.function", "an object"),
        (r#"{"tool_choice":{"type":"allowed_tools","tools":{}}}"#, "tool_choice.tools", "an array of tools"),
        (r#"{"tool_choice":{"allowed_tools":["a"]}}"#, "tool_choice.allowed_tools", "an object"),
        (r#"{"tool_choice":{"allowed_tools":{"mode":1}}}"#, "tool_choice.allowed_tools.mode", "a string"),
        (
            r#"{"tool_choice":{"allowed_tools":{"tools":["a"]}}}"#,
            "tool_choice.allowed_tools.tools[0]",
            "an object",
        ),
        (r#"{"function_call":[]}"#, "function_call", "a string or an object"),
        (r#"{"function_call":{"name":1}}"#, "function_call.name", "a string"),
    ] {
        let malformed = malformed(body);
        assert_eq!(malformed.param.as_deref(), Some(param), "{body}: {malformed}");
        assert!(malformed.message.contains(wanted), "{body}: {malformed}");
    }
}

#[test]
fn a_repeated_member_is_refused_wherever_it_decides_something() {
    for (body, param) in [
        (r#"{"tools":[],"tools":[]}"#, "tools"),
        (r#"{"tools":[],"\u0074ools":[]}"#, "tools"),
        (r#"{"x":1,"x":1}"#, "x"),
        (r#"{"model":"a","messages":[],"model":"b"}"#, "model"),
        (r#"{"tools":[{"name":"a","name":"a"}]}"#, "tools[0].name"),
        (r#"{"tools":[{"name":"a","n\u0061me":"b"}]}"#, "tools[0].name"),
        (r#"{"tools":[{"name":"a","x":1,"x":2}]}"#, "tools[0].x"),
        (r#"{"tools":[{"function":{"name":"a","name":"b"}}]}"#, "tools[0].function.name"),
        (r#"{"tools":[{"function":{"name":"a"},"function":{"name":"b"}}]}"#, "tools[0].function"),
        (r#"{"tools":[{"custom":{"name":"a","format":1,"format":2}}]}"#, "tools[0].custom.format"),
        (r#"{"functions":[{"name":"a","name":"b"}]}"#, "functions[0].name"),
        (r#"{"tool_choice":{"type":"function","type":"custom","name":"a"}}"#, "tool_choice.type"),
        (r#"{"tool_choice":{"function":{"name":"a","name":"b"}}}"#, "tool_choice.function.name"),
        (r#"{"tool_choice":{"allowed_tools":{"tools":[],"tools":[]}}}"#, "tool_choice.allowed_tools.tools"),
        (
            r#"{"tool_choice":{"allowed_tools":{"tools":[{"name":"a","name":"b"}]}}}"#,
            "tool_choice.allowed_tools.tools[0].name",
        ),
        (r#"{"function_call":{"name":"a","name":"b"}}"#, "function_call.name"),
        (
            r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#,
            "stream_options.include_usage",
        ),
        (r#"{"stream_options":{"a":{"b":1,"b":2}}}"#, "stream_options.b"),
        (r#"{"stream_options":{"a":[{"b":1,"b":2}]}}"#, "stream_options.b"),
    ] {
        let malformed = malformed(body);
        assert_eq!(malformed.param.as_deref(), Some(param), "{body}");
        assert!(malformed.message.contains("more than once"), "{malformed}");
    }
}

#[test]
fn a_look_alike_of_a_governed_member_is_refused() {
    for (body, param) in [
        (r#"{"Tools":[]}"#, "Tools"),
        (r#"{"tools":[],"TOOLS":[]}"#, "TOOLS"),
        (r#"{"toolſ":[]}"#, "toolſ"),
        (r#"{"tool\u017f":[]}"#, "toolſ"),
        ("{\"tool\u{200b}s\":[]}", "tool\\u{200b}s"),
        (r#"{"tools\u0000":[]}"#, "tools\\0"),
        (r#"{"\ufefftools":[]}"#, "\\u{feff}tools"),
        (r#"{"ｔools":[]}"#, "ｔools"),
        (r#"{" tools":[]}"#, " tools"),
        (r#"{"Model":"a"}"#, "Model"),
        (r#"{"MESSAGES":[]}"#, "MESSAGES"),
        (r#"{"Stream":true}"#, "Stream"),
        (r#"{"Functions":[]}"#, "Functions"),
        (r#"{"Tool_Choice":"auto"}"#, "Tool_Choice"),
        (r#"{"function_Call":"auto"}"#, "function_Call"),
        (r#"{"Parallel_tool_calls":true}"#, "Parallel_tool_calls"),
        (r#"{"web_search_optionS":{}}"#, "web_search_optionS"),
        (r#"{"tools":[{"type":"function","Function":{"name":"b"},"name":"a"}]}"#, "tools[0].Function"),
        (r#"{"tools":[{"name":"a","Name":"b"}]}"#, "tools[0].Name"),
        (r#"{"tools":[{"Type":"web_search","name":"a"}]}"#, "tools[0].Type"),
        (r#"{"tools":[{"function":{"name":"a","NAME":"b"}}]}"#, "tools[0].function.NAME"),
        (r#"{"functions":[{"name":"a","Name":"b"}]}"#, "functions[0].Name"),
        (r#"{"tool_choice":{"name":"a","Function":{"name":"b"}}}"#, "tool_choice.Function"),
        (r#"{"tool_choice":{"allowed_tools":{"Tools":[]}}}"#, "tool_choice.allowed_tools.Tools"),
        (r#"{"function_call":{"name":"a","Name":"b"}}"#, "function_call.Name"),
        (r#"{"stream_options":{"Include_Usage":true}}"#, "stream_options.Include_Usage"),
    ] {
        let malformed = malformed(body);
        assert_eq!(malformed.param.as_deref(), Some(param), "{body}");
        assert!(malformed.message.contains("only in case, form or invisible characters"), "{malformed}");
    }
}

#[test]
fn what_decides_nothing_may_repeat_and_look_alike() {
    for body in [
        r#"{"messages":[{"role":"user","role":"x","Tools":1,"tools":1,"tools":2}]}"#,
        r#"{"tools":[{"function":{"name":"a","parameters":{"name":1,"name":2,"Name":3,"\ud800":1}}}]}"#,
        r#"{"tools":[{"name":"a","input_schema":{"type":1,"type":2}}]}"#,
        r#"{"tools":[{"type":"custom","custom":{"name":"a","format":{"type":1,"type":2,"Name":1}}}]}"#,
        r#"{"metadata":{"a":1,"a":2},"Foo":1,"foo":2,"response_format":{"Name":1,"name":2,"name":3}}"#,
        r#"{"messages":"whatever the provider says","user":"\ud800"}"#,
        r#"{"x":1,"X":2}"#,
    ] {
        assert_eq!(filtered(body, &deny(&["z"])), body);
    }
}

#[test]
fn ten_thousand_members_are_read_and_a_repeated_one_among_them_is_found() {
    let members = |last: usize| {
        let many: Vec<_> = (0..10_000).chain([last]).map(|i| format!("\"m{i}\":{i}")).collect();
        format!("{{{}}}", many.join(","))
    };
    parse(&members(10_000));
    for repeated in [0, 23, 24, 25, 9_999] {
        assert_eq!(malformed(&members(repeated)).param, Some(format!("m{repeated}")));
    }
    let escaped = r#"{"a":1,"\u0062":2,"c":3,"b":4}"#;
    assert_eq!(malformed(escaped).param.as_deref(), Some("b"));
    let too_many: Vec<_> = (0..=100_000).map(|i| format!("\"{i}\":0")).collect();
    assert!(malformed(&format!("{{{}}}", too_many.join(","))).message.contains("more than 100000 members"));
    let too_many = vec![r#"{"type":"a"}"#; 16_385].join(",");
    assert!(malformed(&format!("{{\"tools\":[{too_many}]}}")).message.contains("more than 16384 elements"));
}

#[test]
fn a_lone_surrogate_in_a_name_is_refused() {
    for (body, param) in [
        (r#"{"tools":[{"function":{"name":"a\ud800"}}]}"#, Some("tools[0].function.name")),
        (r#"{"tools":[{"type":"\udfff"}]}"#, Some("tools[0].type")),
        (r#"{"functions":[{"name":"\ud800\ud800"}]}"#, Some("functions[0].name")),
        (r#"{"tool_choice":"\ud800"}"#, Some("tool_choice")),
        (r#"{"model":"\ud800"}"#, Some("model")),
        (r#"{"tools\ud800":[]}"#, None),
        (r#"{"tools":[{"\ud800":1,"name":"a"}]}"#, Some("tools[0]")),
    ] {
        let malformed = malformed(body);
        assert_eq!(malformed.param.as_deref(), param, "{body}");
        assert!(malformed.message.contains("lone surrogate"), "{malformed}");
    }
}

#[test]
fn names_that_disagree_or_do_not_fit_the_type_are_refused() {
    for (tool, said) in [
        (r#"{"type":"function","function":{"name":"a"},"name":"b"}"#, "two names, \"a\" and \"b\""),
        (r#"{"type":"function","function":{"name":"a"},"name":"A"}"#, "two names"),
        (r#"{"custom":{"name":"a"},"name":"b"}"#, "two names"),
        (r#"{"function":{"name":"a"},"custom":{"name":"a"}}"#, "both `function` and `custom`"),
        (r#"{"type":"function","custom":{"name":"a"}}"#, "do not fit"),
        (r#"{"type":"function","function":{"name":"a"},"custom":{"name":"a"}}"#, "do not fit"),
        (r#"{"type":"custom","function":{"name":"a"}}"#, "do not fit"),
        (r#"{"type":"web_search","function":{"name":"a"}}"#, "do not fit"),
        (r#"{"type":"web_search","custom":{"name":"a"}}"#, "do not fit"),
        (r#"{"type":"Function","function":{"name":"a"}}"#, "do not fit"),
        (r#"{"type":"web_search","function":{}}"#, "do not fit"),
        (r#"{"type":"function"}"#, "has no name"),
        (r#"{"type":"function","function":{}}"#, "has no name"),
        (r#"{"type":"function","function":{"name":null}}"#, "has no name"),
        (r#"{"type":"custom","custom":{}}"#, "has no name"),
        (r#"{"google_search":{}}"#, "has no name"),
        ("{}", "has no name"),
    ] {
        let tools = malformed(&format!(r#"{{"tools":[{{"name":"ok"}},{tool}]}}"#));
        assert_eq!(tools.param.as_deref(), Some("tools[1]"), "{tool}");
        assert!(tools.message.contains(said), "{tools}");
        let choice = malformed(&format!(r#"{{"tool_choice":{tool}}}"#));
        assert!(choice.message.contains(said), "{choice}");
        let allowed = malformed(&format!(r#"{{"tool_choice":{{"type":"allowed_tools","tools":[{tool}]}}}}"#));
        assert!(allowed.message.contains(said), "{allowed}");
        let functions = malformed(&format!(r#"{{"functions":[{tool}]}}"#));
        assert!(functions.message.contains(said), "{functions}");
    }
    assert!(malformed(r#"{"functions":[{"type":"web_search"}]}"#).message.contains("has no name"));
    assert!(malformed(r#"{"function_call":{}}"#).message.contains("has no name"));
}

#[test]
fn a_tool_choice_that_says_two_things_is_refused() {
    for choice in [
        r#"{"type":"function","tools":[]}"#,
        r#"{"type":"function","function":{"name":"a"},"allowed_tools":{"tools":[]}}"#,
        r#"{"type":"allowed_tools","function":{"name":"a"},"tools":[]}"#,
        r#"{"type":"allowed_tools","name":"a","tools":[]}"#,
        r#"{"type":"allowed_tools","tools":[],"allowed_tools":{"tools":[]}}"#,
        r#"{"type":"allowed_tools","mode":"auto","allowed_tools":{"mode":"required","tools":[]}}"#,
        r#"{"type":"allowed_tools"}"#,
        r#"{"type":"allowed_tools","allowed_tools":{}}"#,
        r#"{"type":"allowed_tools","allowed_tools":null}"#,
        r#"{"type":"allowed_tools","tools":null}"#,
        r#"{"type":"tool"}"#,
        "{}",
    ] {
        let malformed = malformed(&format!("{{\"tool_choice\":{choice}}}"));
        assert_eq!(malformed.param.as_deref(), Some("tool_choice"), "{choice}");
    }
}

#[test]
fn every_shape_of_a_tool_is_taken() {
    let body = r#"{"tools":[
        {"type":"function","function":{"name":"a"}}, {"type":"function","name":"b"}, {"function":{"name":"c"}},
        {"name":"d","input_schema":{}}, {"type":"custom","custom":{"name":"e"}}, {"type":"custom","name":"f"},
        {"custom":{"name":"g"}}, {"type":"web_search"}, {"type":"web_search_20250305","name":"h"},
        {"type":"function","function":{"name":"i"},"name":"i"}, {"type":null,"custom":null,"function":{"name":"\u006a"}},
        {"type":"function","function":{},"name":"k"}
      ],"functions":[{"name":"l"},{"type":"function","function":{"name":"m"}}]}"#;
    let permitted = permit(body, &Toollist::unbound(), ToolMode::Filter).unwrap();
    let tools = permitted.tools();
    let names: Vec<_> = tools.iter().map(|tool| tool.name).collect();
    assert_eq!(names, ["a", "b", "c", "d", "e", "f", "g", "web_search", "h", "i", "j", "k", "l", "m"]);
    assert_eq!(tools[1].json, br#"{"type":"function","name":"b"}"#);
    assert_eq!(permitted.tally(), ToolTally { input: 14, denied: 0, would_deny: 0, output: 14 });
}

#[test]
fn a_name_of_a_kilobyte_is_taken_and_a_longer_one_refused_before_it_costs_anything() {
    let longest = "n".repeat(1024);
    let body = format!(r#"{{"tools":[{{"name":"{longest}"}}],"{longest}":1}}"#);
    assert_eq!(filtered(&body, &deny(&["a"])), body);
    // Folding it would take minutes: each of these characters unfolds to eighteen.
    let long = "\u{fdfa}".repeat(1_000_000);
    for (body, param) in [
        (format!(r#"{{"{long}":1}}"#), None),
        (format!(r#"{{"tools":[{{"{long}":1}}]}}"#), Some("tools[0]")),
        (format!(r#"{{"tools":[{{"name":"{long}"}}]}}"#), Some("tools[0].name")),
        (format!(r#"{{"tool_choice":"{long}"}}"#), Some("tool_choice")),
        (format!(r#"{{"model":"{long}"}}"#), Some("model")),
    ] {
        let malformed = malformed(&body);
        assert_eq!(malformed.param.as_deref(), param);
        assert!(malformed.message.contains("1024 at most") && malformed.message.len() < 400, "{malformed}");
    }
}

#[test]
fn tools_within_a_tool_pass_no_list() {
    for nested in [
        r#"{"name":"ok","tools":[{"name":"danger"}]}"#,
        r#"{"type":"namespace","name":"ok","tools":[{"name":"danger"}]}"#,
        r#"{"name":"ok","function_declarations":[{"name":"danger"}]}"#,
        r#"{"type":"function","function":{"name":"ok"},"googleSearch":{}}"#,
    ] {
        let body = format!(r#"{{"tools":[{nested}],"a":1}}"#);
        assert_eq!(filtered(&body, &deny(&["danger"])), r#"{"a":1}"#, "{nested}");
        assert_eq!(filtered(&body, &Toollist::unbound()), body, "a key without lists is not concerned");
    }
    let none = r#"{"tools":[{"name":"ok","tools":null}]}"#;
    assert_eq!(filtered(none, &deny(&["danger"])), none);
}
