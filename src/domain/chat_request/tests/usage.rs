//! The usage of a stream is asked for, whatever the client wrote, and hidden where he did not ask.

use super::*;

/// What is sent of `body`, and whether the chunk with the usage is hidden.
fn asked(body: &str) -> (String, bool) {
    let request = ChatRequest::parse(Bytes::copy_from_slice(body.as_bytes()), &Bounds { depth: 32 }).unwrap();
    let permitted = request.permit(&Toollist::unbound(), ToolMode::Filter, &[]).unwrap();
    let prepared = permitted.asking_usage().keep(&Selection::All, None);
    (String::from_utf8(prepared.body().to_vec()).unwrap(), prepared.hides_usage())
}

#[test]
fn a_stream_asks_for_its_usage_and_keeps_what_else_it_says() {
    for (body, sent) in [
        (
            r#"{"stream":true,"messages":[]}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true,"messages":[]}"#,
        ),
        (
            r#"{"stream_options": null , "stream":true}"#,
            r#"{"stream_options": {"include_usage":true} , "stream":true}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{ }}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true }}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"x":[1, {"include_usage":false}]}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true,"x":[1, {"include_usage":false}]}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage" : false}}"#,
            r#"{"stream":true,"stream_options":{"include_usage" : true}}"#,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_usage":null}}"#,
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        ),
    ] {
        assert_eq!(asked(body), (sent.to_owned(), true), "{body}");
    }
}

#[test]
fn a_client_who_asks_himself_gets_it_and_an_answer_in_one_piece_is_left_alone() {
    for body in [
        r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
        r#"{"stream":false,"stream_options":{"include_usage":false}}"#,
        r#"{"messages":[]}"#,
        "{}",
    ] {
        assert_eq!(asked(body), (body.to_owned(), false));
    }
}

#[test]
fn the_models_name_is_written_beside_it() {
    let request =
        ChatRequest::parse(Bytes::from_static(br#"{"stream":true}"#), &Bounds { depth: 32 }).unwrap();
    let permitted = request.permit(&Toollist::unbound(), ToolMode::Filter, &[]).unwrap();
    let prepared = permitted.asking_usage().keep(&Selection::All, Some("m"));
    let sent: serde_json::Value = serde_json::from_slice(prepared.body()).unwrap();
    assert_eq!(
        sent,
        serde_json::json!({"model": "m", "stream": true, "stream_options": {"include_usage": true}})
    );
}
