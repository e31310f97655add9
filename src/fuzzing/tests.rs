//! Every file of the corpora through its target, and that the oracles see what they are there to see: one that never
//! speaks up would pass every run.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use super::{client::Client, given::Given, json::Json, promises::Sent, wire};

/// Runs every file of a corpus, and names the one that fails.
fn run(corpus: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(corpus);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{corpus} has no corpus");
    for file in files {
        let input = fs::read(&file).unwrap();
        assert!(!objects(|| target(&input)), "{} breaks a promise", file.display());
    }
}

fn objects(judge: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(judge)).is_err()
}

#[test]
fn every_request_of_the_corpus_keeps_the_promises() {
    run("splicer", super::splicer);
}

#[test]
fn every_event_stream_of_the_corpus_is_read_alike() {
    run("sse", super::sse);
}

#[test]
fn every_answer_of_the_corpus_keeps_the_promises() {
    run("answer", super::answer);
}

#[test]
fn every_message_of_the_corpus_reads_back() {
    run("transcoder", super::transcoder);
}

/// Whether a request that is sent as `after` brings a tool that is forbidden under these lists.
fn brings_one(lists: &str, after: &str) -> bool {
    let input = format!("{lists}\n");
    let given = Given::of(input.as_bytes()).unwrap();
    let after = Json::read(after.as_bytes()).unwrap();
    let sent = Sent { lists: &given.lists, members: &[], before: after, after };
    objects(|| sent.brings_no_forbidden_tool())
}

#[test]
fn a_forbidden_tool_is_seen_under_any_of_its_names() {
    for tool in [
        r#"{"type":"function","function":{"name":"gone"}}"#,
        r#"{"function":{"name":"a"},"name":"\u0067one"}"#,
        r#"{"name":"gone","name":"a"}"#,
        r#"{"type":"custom","custom":{"name":"GONE"}}"#,
        r#"{"type":"gone"}"#,
        r#"{"type":"mcp","allowed_tools":{"tool_names":["gone"]}}"#,
        r#"{"name":"a","functionDeclarations":[]}"#,
    ] {
        assert!(brings_one("|gone|", &format!(r#"{{"tools":[{tool}]}}"#)), "{tool}");
        assert!(brings_one("|gone|", &format!(r#"{{"functions":[{tool}],"functions":[]}}"#)), "{tool}");
        assert!(!brings_one("|other|", &format!(r#"{{"tools":[{{"name":"a"}}],"x":{tool}}}"#)), "{tool}");
    }
    for choice in [r#""gone""#, r#"{"name":"gone"}"#, r#"{"type":"allowed_tools","tools":[{"name":"gone"}]}"#]
    {
        assert!(brings_one("|gone|", &format!(r#"{{"tool_choice":{choice}}}"#)), "{choice}");
    }
    assert!(brings_one("g*e,a|gone|", r#"{"function_call":{"name":"gone"}}"#));
    assert!(brings_one("a*|web|", r#"{"web_search_options":{}}"#));
}

#[test]
fn two_readings_of_a_request_are_seen() {
    let alike = |after: &str| {
        let given = Given::of(b"||\n").unwrap();
        let after = Json::read(after.as_bytes()).unwrap();
        !objects(|| Sent { lists: &given.lists, members: &[], before: after, after }.is_read_by_all_alike())
    };
    assert!(alike(r#"{"tools":[{"name":"a","parameters":{"x":1,"x":2}}]}"#));
    for request in [
        r#"{"tools":[],"tools":[]}"#,
        r#"{"Tools":[]}"#,
        r#"{"tools":[{"name":"a","n\u0061me":"b"}]}"#,
        r#"{"tools":[{"function":{"Name":"b"}}]}"#,
        r#"{"tool_choice":{"allowed_tools":{"tools":[],"tools":[]}}}"#,
    ] {
        assert!(!alike(request), "{request}");
    }
}

/// Whether a client that hears these texts would carry out a call that is forbidden.
fn calls_one(texts: &[&str]) -> bool {
    let given = Given::of(b"a*|gone|\n").unwrap();
    let mut client = Client::default();
    texts.iter().for_each(|text| client.hear(text.as_bytes()));
    objects(|| client.calls_nothing_forbidden(&given.lists))
}

#[test]
fn a_forbidden_call_is_seen_whole_and_in_parts() {
    let part = |call: &str| format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{call}]}}}}]}}"#);
    let [one, other] =
        [r#"{"index":1,"function":{"name":"a"}}"#, r#"{"index":1,"function":{"name":"b"}}"#].map(part);
    assert!(!calls_one(&[&one, &other]), "an allowed name in two parts");
    assert!(calls_one(&[&other, &one]) && calls_one(&[&other]));
    let [go, ne] = [r#"{"function":{"name":"go"}}"#, r#"{"function":{"name":"ne"}}"#].map(part);
    assert!(calls_one(&[&go, &ne]));
    for call in [r#"{"name":"gone"}"#, r#"{"type":"x"}"#, r#"{"custom":{"name":"c"}}"#] {
        assert!(calls_one(&[&part(call)]), "{call}");
        let message = format!(r#"{{"choices":[{{"message":{{"function_call":{call}}}}}]}}"#);
        assert!(calls_one(&[&message]), "{call}");
    }
    assert!(!calls_one(&["", "[DONE]", r#"{"choices":[{"message":{"tool_calls":[{"name":"ab"}]}}]}"#]));
}

#[test]
fn streams_are_read_by_the_rules_and_by_the_line() {
    let event = |name: &str, data: &str| (name.as_bytes().to_vec(), data.as_bytes().to_vec());
    let stream = b"\xef\xbb\xbfevent: e\rdata: 1\r\ndata:2\n\r\n: c\ndata\n\ndata: 3";
    assert_eq!(wire::events(stream), (vec![event("e", "1\n2"), event("", "")], Some(event("", "3"))));
    assert_eq!(wire::data_lines(stream), [&b"1"[..], b"2", b"", b"3"]);
}
