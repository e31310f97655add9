//! How much work a request may cause: comparing its names with the lists, and folding those that are not ASCII.

use super::*;

/// The message of a refusal for too much work.
fn too_much(body: &str, list: &Toollist) -> String {
    match permit(body, list, ToolMode::Observe) {
        Err(Refused::Malformed(malformed)) => malformed.message,
        other => panic!("{other:?}"),
    }
}

fn tools(count: usize, name: &str) -> String {
    let tools: Vec<String> = (0..count).map(|i| format!(r#"{{"name":"{i}{name}"}}"#)).collect();
    format!("[{}]", tools.join(","))
}

#[test]
fn names_that_would_take_the_patterns_too_long_are_refused_wherever_they_stand() {
    let patterns: Vec<_> = (0..1000).map(|i| format!("*{i}*")).collect();
    let patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
    let many = tools(2_200, &"n".repeat(1000));
    for body in [
        format!(r#"{{"tools":{many}}}"#),
        format!(r#"{{"functions":{many}}}"#),
        format!(r#"{{"tool_choice":{{"type":"allowed_tools","tools":{many}}}}}"#),
        format!(r#"{{"tool_choice":{{"type":"allowed_tools","allowed_tools":{{"tools":{many}}}}}}}"#),
    ] {
        let message = too_much(&body, &deny(&patterns));
        assert!(message.contains("1000 patterns: send fewer tools"), "{message}");
        assert!(permit(&body, &deny(&["x"]), ToolMode::Observe).is_ok());
    }
}

#[test]
fn folding_is_bounded_for_the_request_as_a_whole() {
    let name = "é".repeat(500);
    let many = format!(r#"{{"tools":{}}}"#, tools(1_100, &name));
    assert!(too_much(&many, &deny(&["x"])).contains("1048576 that can be compared with a denylist"));
    assert!(permit(&many, &allow(&["x"]), ToolMode::Observe).is_ok(), "allowed names are not folded");
    assert!(
        permit(&format!(r#"{{"tools":{}}}"#, tools(1_000, &name)), &deny(&["x"]), ToolMode::Observe).is_ok()
    );

    let members = |count: usize| (0..count).map(|i| format!(r#","{i}{name}":1"#)).collect::<String>();
    for (count, fits) in [(1_000, true), (1_100, false)] {
        let in_root = format!(r#"{{"a":1{}}}"#, members(count));
        let in_many = format!(
            r#"{{"tools":[{{"name":"a"{}}},{{"name":"b"{}}}]}}"#,
            members(count / 2),
            members(count / 2)
        );
        for body in [in_root, in_many] {
            let read = ChatRequest::parse(Bytes::from(body), &BOUNDS);
            assert_eq!(read.is_ok(), fits);
            assert!(read.err().is_none_or(|malformed| malformed.message.contains("1048576 bytes of those")));
        }
    }
}
