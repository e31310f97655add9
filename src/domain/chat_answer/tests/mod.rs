//! Answers in one piece and in parts, by example; `laws` holds for all of them.

mod laws;

use super::*;

fn list(allowed: Option<&[&str]>, denied: &[&str]) -> Toollist {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Toollist::new(allowed.map(owned), Some(owned(denied))).unwrap()
}

fn guard(list: &Toollist) -> AnswerGuard {
    AnswerGuard::new(list, ToolMode::Filter).unwrap()
}

fn denying() -> AnswerGuard {
    guard(&list(None, &["gone"]))
}

/// What is left of a whole answer for a key that may not use `gone`.
fn whole(json: &str) -> Result<String, Unreadable> {
    denying()
        .whole(Bytes::copy_from_slice(json.as_bytes()))
        .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

/// What is left of a stream's texts: each is written as soon as it and all before it are settled, the rest at the end.
fn streamed(mut guard: AnswerGuard, texts: &[&str]) -> Result<Vec<String>, Unreadable> {
    let mut waiting = std::collections::VecDeque::new();
    let mut written = Vec::new();
    for text in texts.iter().map(Some).chain([None]) {
        match text {
            Some(text) => waiting.push_back((guard.read(text.as_bytes())?, (*text).to_owned())),
            None => guard.end(),
        }
        while waiting.front().is_some_and(|(answer, _)| guard.is_settled(answer)) {
            let (answer, text) = waiting.pop_front().unwrap();
            let left = guard.write(&answer, Bytes::from(text));
            written.extend(left.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()));
        }
    }
    assert!(waiting.is_empty());
    Ok(written)
}

/// A chunk with one choice, whose delta is this.
fn delta(delta: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{{delta}}}}}]}}"#)
}

/// A chunk with parts of tool calls.
fn parts(parts: &str) -> String {
    delta(&format!(r#""tool_calls":[{parts}]"#))
}

fn finish(reason: &str) -> String {
    format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"{reason}"}}]}}"#)
}

/// Streams parts of calls, for a key that may not use `gone`.
fn calls(all: &[&str]) -> Vec<String> {
    let mut texts: Vec<String> = all.iter().map(|one| parts(one)).collect();
    texts.push(finish("tool_calls"));
    streamed(denying(), &texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap()
}

#[test]
fn nothing_is_guarded_where_nothing_would_be_taken_out() {
    assert!(AnswerGuard::new(&Toollist::unbound(), ToolMode::Filter).is_none());
    assert!(AnswerGuard::new(&list(None, &[]), ToolMode::Block).is_none());
    assert!(AnswerGuard::new(&list(None, &["a"]), ToolMode::Observe).is_none());
    assert!(AnswerGuard::new(&list(None, &["a"]), ToolMode::Block).is_some());
    assert!(AnswerGuard::new(&list(Some(&[]), &[]), ToolMode::Filter).is_some());
}

#[test]
fn of_a_whole_answer_the_calls_go_and_with_the_last_of_them_their_member() {
    for (message, expected) in [
        (
            r#"{"content":null , "tool_calls":[ {"id":"1","type":"function","function":{"name":"gone","arguments":"{}"}} ]}"#,
            r#"{"content":null}"#,
        ),
        (r#"{"tool_calls":[{"function":{"name":"G\u004fNE"}}],"content":null}"#, r#"{"content":null}"#),
        (
            r#"{"tool_calls":[{"function":{"name":"gone"}}, {"function":{"name":"kept"}}],"x":1.0}"#,
            r#"{"tool_calls":[{"function":{"name":"kept"}}],"x":1.0}"#,
        ),
        (
            r#"{"tool_calls":[{"index":0,"function":{"name":"gone"}},{"index":1,"function":{"name":"kept"}},{"index":2,"name":"kept"}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"name":"kept"}},{"index":1,"name":"kept"}]}"#,
        ),
        (r#"{"function_call":{"name":"gone","arguments":"{}"},"content":""}"#, r#"{"content":""}"#),
        (r#"{"tool_calls":[{"type":"custom","custom":{"name":"gone","input":"x"}}]}"#, "{}"),
        (
            r#"{"tool_calls":[{"type":"gone","id":"1"},{"name":"gone"}],"function_call":{"name":"gone"}}"#,
            "{}",
        ),
        (r#"{"tool_calls":[{"type":"function","name":"kept","function":{"name":"gone"}}]}"#, "{}"),
    ] {
        let json = |message: &str| format!("{{\"choices\":[{{\"message\":{message},\"index\":0}}]}}\n");
        assert_eq!(whole(&json(message)).unwrap(), json(expected), "{message}");
    }
}

#[test]
fn the_reason_of_the_end_is_another_only_where_no_call_is_left() {
    let answer = |calls: &str, reason: &str| {
        format!(r#"{{"choices":[{{"message":{{"a":1{calls}}},"finish_reason":"{reason}"}}]}}"#)
    };
    let gone = r#","tool_calls":[{"function":{"name":"gone"}}]"#;
    for (calls, reason, left, expected) in [
        (gone, "tool_calls", "", "stop"),
        (r#","function_call":{"name":"gone"}"#, "function_call", "", "stop"),
        (gone, "length", "", "length"),
        (r#","tool_calls":[{"name":"a"}]"#, "tool_calls", r#","tool_calls":[{"name":"a"}]"#, "tool_calls"),
        (
            r#","tool_calls":[{"name":"gone"},{"name":"a"}]"#,
            "tool_calls",
            r#","tool_calls":[{"name":"a"}]"#,
            "tool_calls",
        ),
        ("", "tool_calls", "", "tool_calls"),
        (r#","tool_calls":[]"#, "tool_calls", r#","tool_calls":[]"#, "tool_calls"),
    ] {
        assert_eq!(whole(&answer(calls, reason)).unwrap(), answer(left, expected));
    }
    let two = r#"{"choices":[{"index":1,"message":{"tool_calls":[{"name":"gone"}]},"finish_reason":"tool_calls"},{"index":0,"message":{"tool_calls":[{"name":"a"}]},"finish_reason":"tool_calls"}]}"#;
    let left = r#"{"choices":[{"index":1,"message":{},"finish_reason":"stop"},{"index":0,"message":{"tool_calls":[{"name":"a"}]},"finish_reason":"tool_calls"}]}"#;
    assert_eq!(whole(two).unwrap(), left);
}

#[test]
fn an_answer_without_such_calls_is_the_very_same_buffer() {
    for json in [
        r#"{ "choices":[{"message":{"tool_calls":[{"function":{"name":"a\u0062"}}]},"finish_reason":"tool_calls"}],"x":1.0 }"#,
        r#"{"error":{"message":"no"}}"#,
        r#"{"choices":null}"#,
        r#"{"choices":[{"message":null},{"message":{"content":"\"tool_calls\":[{\"name\":\"gone\"}]","tool_calls":null}}]}"#,
        r#"{"choices":[{"message":{"tool_calls":[],"function_call":null,"content":[{"tool_calls":[{"name":"gone"}]}]}}]}"#,
        "{}",
        "1",
        " \n",
        "",
    ] {
        let bytes = Bytes::copy_from_slice(json.as_bytes());
        assert_eq!(denying().whole(bytes.clone()).unwrap().as_ptr(), bytes.as_ptr(), "{json}");
    }
}

#[test]
fn what_two_parsers_could_read_differently_is_unreadable() {
    let message = |message: &str| format!(r#"{{"choices":[{{"message":{{{message}}}}}]}}"#);
    for json in [
        r#"{"choices":[],"choices":[{"message":{"tool_calls":[{"name":"gone"}]}}]}"#.to_owned(),
        r#"{"choices":[],"ch\u006fices":[]}"#.to_owned(),
        r#"{"Choices":[{"tool_calls":0}]}"#.to_owned(),
        r#"{"choices":[{"message":{},"message":{"content":"call"}}]}"#.to_owned(),
        r#"{"choices":[{"finish_reason":"stop","finish_reason":"tool_calls"}]}"#.to_owned(),
        message(r#""tool_calls":[],"tool_calls":[{"name":"gone"}]"#),
        message(r#""tool_calls":[],"Tool_Calls":[{"name":"gone"}]"#),
        message(r#""tool_calls":[],"tool_cal\u200bls":[{"name":"gone"}]"#),
        message(r#""function_call":{},"FUNCTION_CALL":{"name":"gone"}"#),
        message(r#""tool_calls":[{"name":"a","name":"gone"}]"#),
        message(r#""tool_calls":[{"function":{"name":"a","n\u0061me":"gone"}}]"#),
        message(r#""tool_calls":[{"function":{"name":"a"},"Function":{"name":"gone"}}]"#),
        message(r#""tool_calls":[{"custom":{"name":"a","NAME":"gone"}}]"#),
        message(r#""tool_calls":{"name":"gone"}"#),
        message(r#""tool_calls":[["gone"]]"#),
        message(r#""tool_calls":"[]""#),
        message(r#""tool_calls":[{"function":"gone"}]"#),
        message(r#""tool_calls":[{"name":7}]"#),
        message(r#""tool_calls":[{"name":"a","index":-1}]"#),
        message(r#""function_call":["gone"]"#),
        message(r#""a\ud800":1"#),
        r#"[{"choices":[{"tool_calls":[]}]}]"#.to_owned(),
        r#"{"choices":{"0":{"tool_calls":[]}}}"#.to_owned(),
        "{}{}".to_owned(),
        "\u{feff}{}".to_owned(),
        "data: {}".to_owned(),
        "{\"choices\"".to_owned(),
        format!(r#"{{"x":{}{}}}"#, "[".repeat(200), "]".repeat(200)),
        message(&format!(r#""tool_calls":[{}{{}}]"#, "{},".repeat(CALLS_MAX))),
    ] {
        whole(&json).expect_err(&json);
    }
    assert_eq!(whole(r#"{"x":1,"x":2}"#).unwrap(), r#"{"x":1,"x":2}"#, "what decides nothing may be odd");
}

#[test]
fn an_answer_in_which_no_reader_finds_a_call_passes_however_odd_it_is() {
    for json in [
        r#"{"choices":[{"message":{"content":"a\n"},"message":{}}]}"#,
        r#"{"Choices":[]}"#,
        r#"[{"choices":[]}]"#,
        "  ",
    ] {
        assert_eq!(whole(json).unwrap(), json);
    }
    for json in [
        r#"{"choices":[],"Choices":[],"tool_c\u0061lls":[]}"#,
        r#"{"choices":[],"Choices":[],"tool_CaLLs":[]}"#,
        "{\"choices\":[],\"Choices\":[],\"tool_ca\u{200b}lls\":[]}",
        "{\"choices\":[],\"Choices\":[],\"tool_ca\u{7f}lls\":[]}",
        r#"{"choices":[],"Choices":[],"ｔool_ｃalls":[]}"#,
    ] {
        whole(json).expect_err(json);
    }
}

#[test]
fn a_call_of_nothing_and_a_name_that_is_none_pass_no_allowlist() {
    let mut allowing = guard(&list(Some(&["a*"]), &[]));
    let long = "a".repeat(1025);
    let json = format!(
        r#"{{"choices":[{{"message":{{"tool_calls":[{{}},{{"name":""}},{{"name":"a\ud800"}},{{"name":"{long}"}},{{"name":"A"}},{{"type":"web","name":"a"}},{{"name":"ab"}}]}}}}]}}"#
    );
    let left = allowing.whole(Bytes::from(json)).unwrap();
    assert_eq!(left, r#"{"choices":[{"message":{"tool_calls":[{"name":"ab"}]}}]}"#);
    assert_eq!(allowing.removed(), ["", "", "", "", "A", "a"]);
    let odd = r#"{"choices":[{"message":{"tool_calls":[{"name":"a\ud800"},{}]}}]}"#;
    assert_eq!(whole(odd).unwrap(), r#"{"choices":[{"message":{"tool_calls":[{}]}}]}"#);
}

#[test]
fn a_streamed_call_goes_with_all_of_its_parts_and_the_others_are_numbered_anew() {
    let left = calls(&[
        r#"{"index":0,"id":"1","function":{"name":"gone","arguments":""}}"#,
        r#"{"index":0,"function":{"arguments":"{"}}"#,
        r#"{"index":1,"id":"2","function":{"name":"kept","arguments":""}}"#,
        r#"{"index":1,"function":{"arguments":"{"}}"#,
        r#"{"index":0,"function":{"arguments":"}"}},{"index":1,"function":{"arguments":"}"}}"#,
    ]);
    assert_eq!(
        left,
        [
            parts(r#"{"index":0,"id":"2","function":{"name":"kept","arguments":""}}"#),
            parts(r#"{"index":0,"function":{"arguments":"{"}}"#),
            parts(r#"{"index":0,"function":{"arguments":"}"}}"#),
            finish("tool_calls"),
        ]
    );
    let left = calls(&[r#"{"index":0,"name":"gone"}"#, r#"{"index":0,"arguments":"{}"}"#]);
    assert_eq!(left, [finish("stop")]);
    let role = delta(r#""role":"assistant","tool_calls":[{"index":0,"name":"gone","arguments":"{}"}]"#);
    assert_eq!(streamed(denying(), &[&role]).unwrap(), [delta(r#""role":"assistant""#)]);
    let old = [delta(r#""function_call":{"name":"gone"}"#), delta(r#""function_call":{"arguments":"{}"}"#)];
    assert_eq!(streamed(denying(), &[&old[0], &old[1], &finish("function_call")]).unwrap(), [finish("stop")]);
}

#[test]
fn a_name_in_pieces_is_one_name_and_its_pieces_may_be_interleaved_with_anothers() {
    let pieces = [
        r#"{"index":0,"function":{"name":"go"}},{"index":1,"function":{"name":"go"}}"#,
        r#"{"index":1,"function":{"name":"od"}},{"index":0,"function":{"name":"ne"}}"#,
        r#"{"index":1,"function":{"arguments":"1"}},{"index":0,"function":{"arguments":"2"}}"#,
    ];
    let left = calls(&pieces);
    assert_eq!(
        left,
        [
            parts(r#"{"index":0,"function":{"name":"go"}}"#),
            parts(r#"{"index":0,"function":{"name":"od"}}"#),
            parts(r#"{"index":0,"function":{"arguments":"1"}}"#),
            finish("tool_calls"),
        ]
    );
    // Some clients take the last piece for the name, or the first.
    for pieces in [["un", "gone"], ["gone", "_not"]] {
        let texts = pieces.map(|name| format!(r#"{{"index":0,"function":{{"name":"{name}"}}}}"#));
        assert_eq!(calls(&[&texts[0], &texts[1]]), [finish("stop")], "{pieces:?}");
    }
}

#[test]
fn calls_that_a_provider_numbers_alike_are_told_apart() {
    let left = calls(&[
        r#"{"index":0,"id":"a","function":{"name":"one","arguments":"{}"}}"#,
        r#"{"index":0,"id":"b","function":{"name":"gone","arguments":"{}"}}"#,
        r#"{"index":0,"id":"c","function":{"name":"one","arguments":"{}"}}"#,
        r#"{"index":0,"id":"d","function":{"arguments":" "}}"#,
    ]);
    assert_eq!(
        left,
        [
            parts(r#"{"index":0,"id":"a","function":{"name":"one","arguments":"{}"}}"#),
            parts(r#"{"index":1,"id":"c","function":{"name":"one","arguments":"{}"}}"#),
            parts(r#"{"index":1,"id":"d","function":{"arguments":" "}}"#),
            finish("tool_calls"),
        ]
    );
    let repeated = r#"{"index":0,"function":{"name":"one","arguments":"{"}}"#;
    let emptied = r#"{"index":0,"function":{"name":"","arguments":"{"}}"#;
    assert_eq!(calls(&[repeated, repeated]), [parts(repeated), parts(emptied), finish("tool_calls")]);
}

#[test]
fn a_name_that_goes_on_after_its_call_has_passed_ends_the_stream() {
    let texts = [
        parts(r#"{"index":0,"name":"go"}"#),
        parts(r#"{"index":1,"name":"a","arguments":"{}"}"#),
        parts(r#"{"index":0,"name":"ne"}"#),
    ];
    assert_eq!(streamed(denying(), &[&texts[0], &texts[1], &texts[2]]), Err(Unreadable::Late));
}
