//! The provider: answers that are built before, and streams whose chunks tell when they were written.
//!
//! How streams go is set over HTTP (`GET /set?chunks=100&pause_us=0`), and so is what the checks ask for: `GET /keep` has
//! it keep the body of the next chat request, `GET /kept` gives that.

use std::{
    io::{self, Write},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use memchr::memmem;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::{procs, wire};

/// The answer to a chat request that is no stream.
pub(crate) const ANSWER: &str = r#"{"id":"chatcmpl-7f3a","object":"chat.completion","created":1767225600,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"All of it is done: the meeting is moved, and everybody who was invited knows.","refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":61,"completion_tokens":18,"total_tokens":79,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}},"service_tier":"default","system_fingerprint":"fp_b1"}"#;
const STREAM: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const BEFORE: &str = r#"{"id":"chatcmpl-7f3a","object":"chat.completion.chunk","created":1767225600,"model":"gpt-4o-mini","service_tier":"default","system_fingerprint":"fp_b1","choices":[{"index":0,"delta":"#;
const USAGE: &str = r#"{"id":"chatcmpl-7f3a","object":"chat.completion.chunk","created":1767225600,"model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":61,"completion_tokens":100,"total_tokens":161}}"#;

static CHUNKS: AtomicU64 = AtomicU64::new(100);
static PAUSE_US: AtomicU64 = AtomicU64::new(0);
static KEEP: AtomicBool = AtomicBool::new(false);
static KEPT: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Serves until the parent ends.
pub(crate) fn run() {
    procs::end_with_parent();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            tokio::spawn(serve(socket));
        }
    });
}

async fn serve(mut socket: TcpStream) -> io::Result<()> {
    let answer = json(ANSWER.as_bytes());
    let mut buffer = Vec::with_capacity(1 << 14);
    while let Some(head) = wire::head(&mut socket, &mut buffer).await? {
        let whole = head.end + head.length.unwrap_or(0);
        wire::until(&mut socket, &mut buffer, whole).await?;
        if buffer.starts_with(b"POST ") {
            let body = &buffer[head.end..whole];
            if KEEP.swap(false, Relaxed) {
                *KEPT.lock().unwrap() = body.to_vec();
            }
            if memmem::find(body, br#""stream":true"#).is_some() {
                stream(&mut socket).await?;
            } else {
                socket.write_all(&answer).await?;
            }
        } else {
            let line = buffer[..head.end].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            let told = control(&String::from_utf8_lossy(line));
            socket.write_all(&json(&told)).await?;
        }
        buffer.drain(..whole);
    }
    Ok(())
}

/// Does what a path asks for, and gives what to answer.
fn control(path: &str) -> Vec<u8> {
    match path {
        "/keep" => KEEP.store(true, Relaxed),
        "/kept" => return KEPT.lock().unwrap().clone(),
        _ => {
            for (name, value) in path.split(['?', '&']).filter_map(|pair| pair.split_once('=')) {
                let value = value.parse().unwrap();
                match name {
                    "chunks" => CHUNKS.store(value, Relaxed),
                    _ => PAUSE_US.store(value, Relaxed),
                }
            }
        }
    }
    b"{}".to_vec()
}

/// A whole answer.
fn json(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n")
            .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// A stream: the role, chunks with the time of each, the end, and usage, as OpenAI sends them.
async fn stream(socket: &mut TcpStream) -> io::Result<()> {
    let pause = Duration::from_micros(PAUSE_US.load(Relaxed));
    let mut out = STREAM.to_vec();
    event(&mut out, &format!(r#"{BEFORE}{{"role":"assistant","content":""}},"finish_reason":null}}]}}"#))?;
    socket.write_all(&out).await?;
    for _ in 0..CHUNKS.load(Relaxed) {
        out.clear();
        let (mark, now) = (String::from_utf8_lossy(wire::MARK), wire::now());
        event(&mut out, &format!(r#"{BEFORE}{{"content":" {mark}{now:016x}"}},"finish_reason":null}}]}}"#))?;
        socket.write_all(&out).await?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    out.clear();
    event(&mut out, &format!(r#"{BEFORE}{{}},"finish_reason":"stop"}}]}}"#))?;
    event(&mut out, USAGE)?;
    event(&mut out, "[DONE]")?;
    out.extend_from_slice(b"0\r\n\r\n");
    socket.write_all(&out).await
}

/// An event, in a chunk of its own.
fn event(out: &mut Vec<u8>, data: &str) -> io::Result<()> {
    write!(out, "{:x}\r\ndata: {data}\n\n\r\n", data.len() + 8)
}
