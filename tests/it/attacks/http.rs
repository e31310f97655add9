//! Requests that two readers of HTTP could cut differently, and headers that would be metadata inside.
//!
//! Behind each stands a second request, without a credential: what a connection that is shared with others would have
//! smuggled in. It must never get to the provider, nor must the first one with another body than it says.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{
    attacks::{DENIED, readers::finds_denied},
    chat::{CHAT, House},
    support::actors::{Agent, Caller},
};

/// What the first request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is taken, with the body that it says.
    Taken,
    /// So it is, by its chunks, and nothing is read behind it: the connection ends (RFC 9112, 6.1).
    Alone,
    /// It is refused, with a status from 400 on or by closing the connection.
    Refused,
}
use Heard::{Alone, Refused, Taken};

/// `P` is the route, `H` the headers that all have, `L` the body's length, `B` the body, `C` the body in chunks.
pub(super) const FRAMINGS: &[(&str, &str, Heard)] = &[
    ("a length", "POST P HTTP/1.1\r\nHContent-Length: L\r\n\r\nB", Taken),
    ("chunks", "POST P HTTP/1.1\r\nHTransfer-Encoding: chunked\r\n\r\nC", Taken),
    (
        "a length, then chunks",
        "POST P HTTP/1.1\r\nHContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nC",
        Alone,
    ),
    (
        "chunks, then a length",
        "POST P HTTP/1.1\r\nHTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nC",
        Alone,
    ),
    ("xchunked", "POST P HTTP/1.1\r\nHTransfer-Encoding: xchunked\r\n\r\nC", Refused),
    (
        "xchunked and a length",
        "POST P HTTP/1.1\r\nHTransfer-Encoding: xchunked\r\nContent-Length: L\r\n\r\nB",
        Refused,
    ),
    ("chunked, identity", "POST P HTTP/1.1\r\nHTransfer-Encoding: chunked, identity\r\n\r\nC", Refused),
    (
        "identity and a length",
        "POST P HTTP/1.1\r\nHTransfer-Encoding: identity\r\nContent-Length: L\r\n\r\nB",
        Refused,
    ),
    (
        "chunked and another",
        "POST P HTTP/1.1\r\nHTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\nC",
        Refused,
    ),
    ("a blank before the colon", "POST P HTTP/1.1\r\nHTransfer-Encoding : chunked\r\n\r\nC", Refused),
    ("a vertical tab", "POST P HTTP/1.1\r\nHTransfer-Encoding: \x0bchunked\r\n\r\nC", Refused),
    ("a folded coding", "POST P HTTP/1.1\r\nHTransfer-Encoding:\r\n chunked\r\n\r\nC", Refused),
    ("a folded header", "POST P HTTP/1.1\r\nHX-A: b\r\n c\r\nContent-Length: L\r\n\r\nB", Refused),
    ("two lengths", "POST P HTTP/1.1\r\nHContent-Length: L\r\nContent-Length: 5\r\n\r\nB", Refused),
    (
        "two lengths, the other way",
        "POST P HTTP/1.1\r\nHContent-Length: 5\r\nContent-Length: L\r\n\r\nB",
        Refused,
    ),
    ("a list of lengths", "POST P HTTP/1.1\r\nHContent-Length: L, 5\r\n\r\nB", Refused),
    ("a length with a sign", "POST P HTTP/1.1\r\nHContent-Length: +L\r\n\r\nB", Refused),
    ("a negative length", "POST P HTTP/1.1\r\nHContent-Length: -1\r\n\r\nB", Refused),
    ("a hexadecimal length", "POST P HTTP/1.1\r\nHContent-Length: 0x2a\r\n\r\nB", Refused),
    ("a length of an exponent", "POST P HTTP/1.1\r\nHContent-Length: 4e1\r\n\r\nB", Refused),
    ("a length of no digits", "POST P HTTP/1.1\r\nHContent-Length: \r\n\r\nB", Refused),
    ("a length beyond 64 bits", "POST P HTTP/1.1\r\nHContent-Length: 18446744073709551658\r\n\r\nB", Refused),
    (
        "a carriage return in a value",
        "POST P HTTP/1.1\r\nHX-A: b\rTransfer-Encoding: chunked\r\nContent-Length: L\r\n\r\nB",
        Refused,
    ),
    ("a NUL in a value", "POST P HTTP/1.1\r\nHX-A: b\0c\r\nContent-Length: L\r\n\r\nB", Refused),
    ("a NUL in a name", "POST P HTTP/1.1\r\nHX\0A: b\r\nContent-Length: L\r\n\r\nB", Refused),
    ("bare line feeds", "POST P HTTP/1.1\nHContent-Length: L\n\nB", Taken),
    (
        "a chunk with a prefix",
        "POST P HTTP/1.1\r\nHTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a chunk with a sign",
        "POST P HTTP/1.1\r\nHTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a chunk beyond 64 bits",
        "POST P HTTP/1.1\r\nHTransfer-Encoding: chunked\r\n\r\n1ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a chunk that is longer",
        "POST P HTTP/1.1\r\nHTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    (
        "a line feed in an extension",
        "POST P HTTP/1.1\r\nHTransfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
        Refused,
    ),
    ("chunks over HTTP/1.0", "POST P HTTP/1.0\r\nHTransfer-Encoding: chunked\r\n\r\nC", Refused),
    ("two blanks in the first line", "POST  P HTTP/1.1\r\nHContent-Length: L\r\n\r\nB", Refused),
    ("a version of none", "POST P HTTP/1.9\r\nHContent-Length: L\r\n\r\nB", Refused),
    ("a line break in the path", "POST P\r\nX: HTTP/1.1\r\nHContent-Length: L\r\n\r\nB", Refused),
    (
        "gzip that is none",
        "POST P HTTP/1.1\r\nHContent-Encoding: gzip\r\nContent-Length: L\r\n\r\nB",
        Refused,
    ),
    ("gzip as a coding", "POST P HTTP/1.1\r\nHTransfer-Encoding: gzip, chunked\r\n\r\nC", Refused),
    ("two credentials", "POST P HTTP/1.1\r\nHAuthorization: Bearer x\r\nContent-Length: L\r\n\r\nB", Refused),
    ("two types", "POST P HTTP/1.1\r\nHContent-Type: text/plain\r\nContent-Length: L\r\n\r\nB", Refused),
];

const BODY: &str = r#"{"model":"gpt-4o","tools":[{"name":"keep"}]}"#;
const SMUGGLED: &str = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 31\r\n\r\n{\"model\":\"gpt-4o\",\"smuggled\":1}";
/// So that the connection ends whatever was made of the first two.
const LAST: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

fn written(template: &str, secret: &str) -> String {
    let (head, body) = template.split_at(template.find("\n\r\n").or(template.find("\n\n")).unwrap() + 1);
    let headers = format!("Host: x\r\nAuthorization: Bearer {secret}\r\nContent-Type: application/json\r\n");
    let head = head.replacen(" P", &format!(" {CHAT}"), 1);
    let head = head.replacen("\nH", &format!("\n{headers}"), 1).replace(": L", &format!(": {}", BODY.len()));
    let head = head.replace(": +L", &format!(": +{}", BODY.len()));
    let chunked = format!("{:x}\r\n{BODY}\r\n0\r\n\r\n", BODY.len());
    let body = match body.trim_start_matches(['\r', '\n']) {
        "B" => body.replace('B', BODY),
        "C" => body.replace('C', &chunked),
        _ => body.to_owned(),
    };
    format!("{head}{body}{SMUGGLED}{LAST}")
}

/// What comes back of these bytes until the connection ends.
async fn sends(house: &House, bytes: &str) -> String {
    let mut socket = TcpStream::connect(house.server.address()).await.unwrap();
    // It may be closed before all is written.
    let _ = socket.write_all(bytes.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(Duration::from_secs(20), socket.read_to_end(&mut answer)).await.expect("it ends");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_framing_smuggles_a_request_in() {
    let house = House::new().await;
    let agent = house.denied(&[DENIED]).await;
    let mut wrong = Vec::new();
    for (what, template, expected) in FRAMINGS {
        let before = house.upstream.received().len();
        let answer = sends(&house, &written(template, agent.secret())).await;
        let heard = if answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.0 200") {
            // Behind what it takes it hears the two others too.
            if answer.matches("HTTP/1.1 ").count() == 1 { Alone } else { Taken }
        } else {
            Refused
        };
        let arrived = house.upstream.received().split_off(before);
        let bodies: Vec<&str> = arrived.iter().map(|one| one.text()).collect();
        let whole = match heard {
            Taken | Alone => bodies == [BODY],
            Refused => bodies.is_empty(),
        };
        if heard != *expected || !whole {
            wrong.push(format!(
                "{what}: {heard:?}, {bodies:?}: {}",
                answer.lines().next().unwrap_or_default()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Headers that would mean something inside, were they metadata, or elsewhere in the house.
pub(super) const HEADERS: &[(&str, &str)] = &[
    ("grpc-timeout", "1n"),
    ("grpc-encoding", "gzip"),
    ("grpc-status", "0"),
    ("grpc-message", "ok"),
    ("grpc-accept-encoding", "gzip"),
    ("grpc-status-details-bin", "AAAA"),
    ("grpc-trace-bin", "AAAA"),
    ("grpc-previous-rpc-attempts", "9"),
    ("x-orqen-tools-denied", "0"),
    ("x-orqen-tools-output", "1"),
    ("x-orqen-tool-mode", "observe"),
    ("x-orqen-account", "default"),
    ("x-orqen-key-id", "018f0000-0000-7000-8000-000000000000"),
    ("x-orqen-scopes", "chat keys usage operator"),
    ("x-orqen-operator", "true"),
    ("x-orqen-allowed-tools", "*"),
    ("x-orqen-routing", "limit"),
    ("x-orqen-prune", "off"),
    ("x-orqen-session-id", "task_kill"),
    ("x-http-method-override", "DELETE"),
    ("x-original-url", "/v1/accounts"),
    ("x-forwarded-user", "operator"),
    ("x-api-key", "sk-orq-0000"),
    ("api-key", "sk-orq-0000"),
    ("cookie", "authorization=operator"),
    ("openai-organization", "org-other"),
    ("proxy-authorization", "Bearer x"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_header_is_taken_for_metadata() {
    let house = House::new().await;
    let agent = house.agent_with(json!({"denied_tools": [DENIED], "scopes": ["chat"]})).await;
    let body = format!(r#"{{"model":"gpt-4o","tools":[{{"name":"keep"}},{{"name":"{DENIED}"}}]}}"#);
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        let rest = agent.rest().with(name.clone(), value);
        let before = house.upstream.received().len();
        let answer = rest.send(Method::POST, CHAT, body.clone()).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        assert_eq!(
            (answer.header("x-orqen-tools-denied"), answer.header("x-orqen-tools-output")),
            ("1", "1")
        );
        let arrived = &house.upstream.received()[before];
        assert_eq!(finds_denied(&arrived.body), None, "{name}");
        assert!(
            !arrived
                .headers
                .iter()
                .any(|(known, _)| known.starts_with("grpc-") || known.starts_with("x-orqen"))
        );
        assert!(!format!("{:?}", arrived.headers).contains("sk-orq-"), "{name}");
        for path in ["/v1/keys", "/v1/accounts", "/v1/account/audit"] {
            let status = rest.get(path).await.status.as_u16();
            assert!(matches!(status, 401 | 403 | 404), "{name} opens {path}: {status}");
        }
        rest.send(Method::DELETE, "/v1/keys/018f0000-0000-7000-8000-000000000000", "")
            .await
            .refused(403, "insufficient_scope");
    }
    by_grpc(&house, &agent, &body).await;
}

/// The same as metadata of gRPC.
async fn by_grpc(house: &House, agent: &Agent, body: &str) {
    // The protocol's own are the client library's to send.
    for (name, value) in HEADERS.iter().filter(|(name, _)| !name.starts_with("grpc-")) {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", HeaderValue::try_from(format!("Bearer {}", agent.secret())).unwrap());
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        let mut chat = agent.grpc().with_headers(headers).chat();
        chat.create_raw_chat_completion(crate::chat::http_body(body.to_owned())).await.unwrap();
        assert_eq!(finds_denied(&house.upstream.last().body), None, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_text_of_a_body_becomes_a_header() {
    let house = House::new().await;
    let agent = house.agent().await;
    for text in
        ["gpt-4o\\r\\nx-evil: 1", "gpt-4o\\nx-evil: 1", "gpt-4o\\u0000x-evil", "gpt-\\u000d\\u000ax-evil: 1"]
    {
        agent.posts(format!(r#"{{"model":"{text}","user":"{text}","messages":[]}}"#)).await;
        for arrived in house.upstream.received() {
            assert_eq!(arrived.line, "POST /v1/chat/completions HTTP/1.1");
            assert!(arrived.header("x-evil").is_none());
        }
    }
}
