//! A REST request as a message: nothing panics, what is taken is what others take for JSON, goes over the wire, and
//! reads back from its own JSON as the same message.

use std::{sync::LazyLock, time::Duration};

use bytes::Bytes;
use http::Request;
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage};

use super::{given, json::Json};
use crate::{
    proto::POOL,
    rest::{
        Options,
        fuzzing::{Reader, Taking, read, text},
    },
    service,
};

static READER: LazyLock<Reader> = LazyLock::new(|| {
    let options = Options {
        names: service::route_names(),
        account_body: 1 << 20,
        chat_body: 1 << 20,
        json_depth: 128,
        body_timeout: Duration::from_secs(10),
    };
    Reader::new(&POOL, options).expect("the routes of our own protos can be served")
});

/// Reads a request: its verb and target in the first line, a header in each further one, an empty line, the body.
/// Where the verb is `=`, the target is the name of a message of ours and the body its JSON: so answers are tried too.
pub fn transcoder(input: &[u8]) {
    let Some((verb, target, headers, body)) = parts(input) else { return };
    if verb == "=" {
        let of = POOL.get_message_by_name(target).filter(|of| of.package_name() == "orqen.v1");
        let message = of.and_then(|of| read(of, body).ok());
        return message.iter().for_each(|message| judge(message, Some(body)));
    }
    let mut builder = Request::builder().method(verb).uri(target);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    let Ok(request) = builder.body(Bytes::copy_from_slice(body)) else { return };
    let Some(Taking { message, json }) = READER.take(request) else { return };
    let blank = body.iter().all(u8::is_ascii_whitespace);
    judge(&message, (json && !blank).then_some(body));
}

/// Judges a message that was taken, out of this JSON where there was one.
fn judge(message: &DynamicMessage, json: Option<&[u8]>) {
    if let Some(json) = json {
        let Some(json) = Json::read(json) else { panic!("what is taken is no JSON") };
        let mut names: Vec<String> = json.members().into_iter().map(|(name, _)| name).collect();
        let given = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), given, "a member is taken twice");
    }
    let wired = over_the_wire(message);
    let written = text(message);
    assert!(Json::read(&written).is_some(), "it is written as no JSON");
    let back = match read(message.descriptor(), &written) {
        Ok(back) => back,
        Err(problem) => panic!("it does not read back: {problem}"),
    };
    assert!(over_the_wire(&back) == wired, "it reads back as another message");
    assert_eq!(text(&back), written, "it is written otherwise");
}

/// The verb, the target, the headers and the body.
type Parts<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, &'a [u8]);

fn parts(input: &[u8]) -> Option<Parts<'_>> {
    let (line, mut rest) = given::first_line(input)?;
    let (verb, target) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    let mut headers = Vec::new();
    loop {
        let (line, after) = given::first_line(rest)?;
        rest = after;
        if line.is_empty() {
            return Some((verb, target, headers, rest));
        }
        headers.push(std::str::from_utf8(line).ok()?.split_once(": ")?);
    }
}

/// A message as it is at the other end.
fn over_the_wire(message: &DynamicMessage) -> DynamicMessage {
    match DynamicMessage::decode(message.descriptor(), message.encode_to_vec().as_slice()) {
        Ok(decoded) => decoded,
        Err(problem) => panic!("the other end does not take it: {problem}"),
    }
}
