//! What the policy costs a chat request: parse, permit and keep, against copying the same bytes once.
//!
//! Three sizes, with lists and without: no tools, 16 (about 20 kB) and 128 (about 100 kB). With lists a quarter of
//! the tools goes, and the model is renamed, so that the body is spliced. The aim is 150 µs for 128 tools.

use std::fmt::Write;

use bytes::Bytes;
use divan::{Bencher, counter::BytesCount};
use orqen::domain::{
    chat_request::{Bounds, ChatRequest, PreparedRequest, Selection},
    key::ToolMode,
    toollist::Toollist,
};

const TOOLS: [usize; 3] = [0, 16, 128];
const BOUNDS: Bounds = Bounds { depth: 128 };

fn main() {
    divan::main();
}

#[divan::bench(args = TOOLS)]
fn echo(bencher: Bencher<'_, '_>, tools: usize) {
    let body = request(tools);
    bencher.counter(BytesCount::new(body.len())).bench(|| Bytes::copy_from_slice(divan::black_box(&body)));
}

#[divan::bench(args = TOOLS)]
fn parse(bencher: Bencher<'_, '_>, tools: usize) {
    let body = request(tools);
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| ChatRequest::parse(body.clone(), &BOUNDS).expect("the request is well-formed"));
}

#[divan::bench(args = TOOLS)]
fn without_lists(bencher: Bencher<'_, '_>, tools: usize) {
    let body = request(tools);
    let list = Toollist::unbound();
    bencher.counter(BytesCount::new(body.len())).bench(|| policy(body.clone(), &list, None));
}

#[divan::bench(args = TOOLS)]
fn with_lists(bencher: Bencher<'_, '_>, tools: usize) {
    let body = request(tools);
    let list = lists();
    bencher.counter(BytesCount::new(body.len())).bench(|| policy(body.clone(), &list, Some("gpt-4o")));
}

#[divan::bench(args = ["github_get_issue_5", "not_allowed", "Delete_Issue_3"])]
fn permits(bencher: Bencher<'_, '_>, name: &str) {
    let list = lists();
    bencher.bench(|| list.permits(divan::black_box(name)));
}

fn policy(body: Bytes, list: &Toollist, model: Option<&str>) -> PreparedRequest {
    ChatRequest::parse(body, &BOUNDS)
        .expect("the request is well-formed")
        .permit(list, ToolMode::Filter, &[])
        .expect("nothing is forced")
        .keep(&Selection::All, model)
}

/// Fifty exact names, two patterns, and denied ones that match a quarter of the tools.
fn lists() -> Toollist {
    let mut allowed: Vec<String> = (0..50).map(|i| format!("github_get_issue_{i}")).collect();
    allowed.extend(["github_*".to_owned(), "*_search".to_owned()]);
    let denied = ["github_delete_*", "delete_*", "exec"].map(str::to_owned).to_vec();
    Toollist::new(Some(allowed), Some(denied)).expect("the lists are well-formed")
}

/// A request as an agent sends it: a conversation of some kilobytes, then the tools.
fn request(tools: usize) -> Bytes {
    let mut body = String::from(r#"{"model":"openai/gpt-4o","stream":true,"temperature":0.2,"messages":["#);
    body.push_str(r#"{"role":"system","content":"You are a careful assistant that works in a repository."}"#);
    for turn in 0..12 {
        let _ = write!(
            body,
            r#",{{"role":"user","content":"Step {turn}: look at the open issues, \"fix\" what is small,\nand say what you did — briefly. {}"}}"#,
            "The build log is attached below for you to read. ".repeat(6)
        );
    }
    body.push(']');
    if tools > 0 {
        let definitions: Vec<_> = (0..tools).map(definition).collect();
        let _ = write!(
            body,
            r#","tools":[{}],"tool_choice":"auto","parallel_tool_calls":true"#,
            definitions.join(",")
        );
    }
    body.push('}');
    Bytes::from(body)
}

fn definition(index: usize) -> String {
    let verb = ["get", "list", "delete", "update"][index % 4];
    format!(
        r#"{{"type": "function", "function": {{"name": "github_{verb}_issue_{index}", "description": "Reads or changes issue number {index} of a repository. Use it when the user asks about an issue, a bug or a task.", "parameters": {{"type": "object", "properties": {{"owner": {{"type": "string", "description": "The account that owns the repository"}}, "repo": {{"type": "string", "description": "The repository's name"}}, "number": {{"type": "integer", "minimum": 1}}, "state": {{"type": "string", "enum": ["open", "closed", "all"], "default": "open"}}, "labels": {{"type": "array", "items": {{"type": "string"}}}}}}, "required": ["owner", "repo", "number"], "additionalProperties": false}}, "strict": true}}}}"#
    )
}
