//! What must be right before anything is measured: a fast refusal is no speed, and neither is a list that is not kept.

use std::{io, net::SocketAddr};

use serde_json::Value;

use crate::{
    candidate::Candidate,
    client::{self, Connection},
    mock,
    orqen::Governance,
    payload::{self, Size},
};

/// Looks at one answer, at the refusal of a wrong key, and at what reaches the provider; gives what is wrong.
pub(crate) async fn of(candidate: &Candidate, mock: SocketAddr, body: &str) -> Result<(), String> {
    let to = candidate.address.ok_or("not there")?;
    let told = |error: io::Error| error.to_string();
    client::get(mock, "/keep").await.map_err(told)?;
    let mut connection = Connection::open(to).await.map_err(told)?;
    let request = payload::request(to, candidate.key.as_deref(), body);
    let answer = connection.send(&request).await.map_err(told)?;
    if answer.status != 200 {
        return Err(format!("status {}", answer.status));
    }
    right(connection.body(&answer), answer.length.is_none())?;
    let kept = client::get(mock, "/kept").await.map_err(told)?;
    forwarded(candidate, body, &kept)?;
    if candidate.key.is_some() {
        let request = payload::request(to, Some("sk-orq-0000000000000000000000000000000000000000"), body);
        let status = connection.send(&request).await.map_err(told)?.status;
        if status != 401 {
            return Err(format!("a wrong key gets {status}"));
        }
    }
    Ok(())
}

/// Whether an answer is the mock's.
fn right(body: &[u8], stream: bool) -> Result<(), String> {
    let same = if stream {
        memchr::memmem::find(body, b"data: [DONE]").is_some()
    } else {
        read(body)? == read(mock::ANSWER.as_bytes())?
    };
    same.then_some(()).ok_or_else(|| "the answer is not the mock's".into())
}

/// Whether the provider got the tools that it should.
fn forwarded(candidate: &Candidate, sent: &str, kept: &[u8]) -> Result<(), String> {
    let count = |body: &Value| body["tools"].as_array().map_or(0, Vec::len);
    let (sent, kept) = (count(&read(sent.as_bytes())?), count(&read(kept)?));
    let right = match candidate.governance {
        Governance::Off => kept == sent,
        // The lists take a quarter; where there is enough to choose from, pruning takes the most of the others.
        _ if sent == Size::Large.tools() => kept > 0 && kept <= sent / 2,
        _ if sent > 0 => kept < sent,
        _ => kept == sent,
    };
    right.then_some(()).ok_or_else(|| format!("of {sent} tools the provider got {kept}"))
}

fn read(json: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

/// How many tools of the first conversation of a size reach the provider.
pub(crate) async fn tools_kept(candidate: &Candidate, mock: SocketAddr, size: Size) -> Option<usize> {
    of(candidate, mock, &payload::bodies(size, false)[0]).await.ok()?;
    let kept = read(&client::get(mock, "/kept").await.ok()?).ok()?;
    kept["tools"].as_array().map(Vec::len)
}

/// The records of usage that Orqen lost, as its metrics say, or a word that they do not.
pub(crate) async fn records_lost(candidate: &Candidate) -> String {
    let Some(address) = candidate.address else { return "?".into() };
    let page = client::get(address, "/metrics").await.unwrap_or_default();
    let page = String::from_utf8_lossy(&page);
    let line = page.lines().find(|line| line.contains("usage_records_dropped") && !line.starts_with('#'));
    line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or("an unknown number of").to_owned()
}
