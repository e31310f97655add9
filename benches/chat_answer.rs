//! What the guard of answers costs a chunk of a stream, and a whole answer, of a key with lists. Keys without lists have
//! no guard: `none` is all that they pay.

use bytes::Bytes;
use divan::Bencher;
use orqen::domain::{chat_answer::AnswerGuard, key::ToolMode, toollist::Toollist};

const TEXT: &[u8] = br#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","service_tier":"default","system_fingerprint":"fp_1","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"abc"}"#;
const CALL: &[u8] = br#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"github_get_issue","arguments":"{"}}]},"finish_reason":null}]}"#;

fn main() {
    divan::main();
}

fn lists() -> Toollist {
    let denied = ["github_delete_*", "delete_*", "exec"].map(str::to_owned).to_vec();
    Toollist::new(None, Some(denied)).expect("the lists are well-formed")
}

#[divan::bench]
fn none(bencher: Bencher<'_, '_>) {
    let list = Toollist::unbound();
    bencher.bench(|| AnswerGuard::new(divan::black_box(&list), ToolMode::Filter).is_none());
}

#[divan::bench(args = ["text", "call"])]
fn chunk(bencher: Bencher<'_, '_>, kind: &str) {
    let json = if kind == "text" { TEXT } else { CALL };
    let mut guard = AnswerGuard::new(&lists(), ToolMode::Filter).expect("there are lists");
    bencher.bench_local(|| {
        let answer = guard.read(divan::black_box(json)).expect("it is well-formed");
        guard.write(&answer, Bytes::from_static(json))
    });
}

#[divan::bench]
fn whole(bencher: Bencher<'_, '_>) {
    let text = "All that the model had to say about it. ".repeat(100);
    let json = Bytes::from(format!(
        r#"{{"id":"1","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","tool_calls":[{{"id":"a","type":"function","function":{{"name":"exec","arguments":"{{}}"}}}}]}},"finish_reason":"tool_calls"}}]}}"#
    ));
    let list = lists();
    bencher.bench(|| {
        let mut guard = AnswerGuard::new(&list, ToolMode::Filter).expect("there are lists");
        guard.whole(json.clone())
    });
}
