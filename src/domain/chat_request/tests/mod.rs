//! Every rule on the request side of the tool lists, each shape and spelling that could pass one by, and the laws
//! that no request breaks.

mod brought;
mod familiar;
mod laws;
mod parse;
mod permit;
mod splice;
mod trim;
mod usage;
mod verdicts;
mod work;

use super::*;

const BOUNDS: Bounds = Bounds { depth: 128 };

fn parse(body: &str) -> ChatRequest {
    again(body.as_bytes()).unwrap_or_else(|malformed| panic!("{malformed}: {body}"))
}

/// What is read of a body whose arrays of tools were read before, at another place of another body.
fn again(body: &[u8]) -> Result<ChatRequest, Malformed> {
    let arrays = ToolArrays::eager();
    let familiar = Familiar { arrays: &arrays, owner: uuid::Uuid::from_u128(1), keeps: true };
    let moved = [b" ", body].concat();
    let _ = ChatRequest::parse_familiar(moved.into(), &BOUNDS, familiar);
    ChatRequest::parse_familiar(Bytes::copy_from_slice(body), &BOUNDS, familiar)
}

fn definitions(set: &ToolSet) -> Vec<&str> {
    set.definitions().map(|definition| std::str::from_utf8(definition.json).unwrap()).collect()
}

fn malformed(body: &str) -> Malformed {
    let malformed = ChatRequest::parse(Bytes::copy_from_slice(body.as_bytes()), &BOUNDS).expect_err(body);
    assert_eq!(again(body.as_bytes()).expect_err(body), malformed);
    malformed
}

fn list(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(|&name| name.to_owned()).collect())
}

fn allow(names: &[&str]) -> Toollist {
    Toollist::new(list(names), None).unwrap()
}

fn deny(names: &[&str]) -> Toollist {
    Toollist::new(None, list(names)).unwrap()
}

fn permit(body: &str, toollist: &Toollist, mode: ToolMode) -> Result<PermittedRequest, Refused> {
    parse(body).permit(toollist, mode, &[])
}

/// What is sent of `body` in `filter` mode.
fn filtered(body: &str, toollist: &Toollist) -> String {
    let permitted =
        permit(body, toollist, ToolMode::Filter).unwrap_or_else(|refused| panic!("{refused}: {body}"));
    text(&permitted.keep(&Selection::All, None))
}

/// The member and the message of a refusal in `filter` mode.
fn refused(body: &str, toollist: &Toollist) -> (String, String) {
    match permit(body, toollist, ToolMode::Filter) {
        Err(Refused::ToolNotAllowed { param, message, .. }) => (param, message),
        other => panic!("{other:?}: {body}"),
    }
}

fn text(prepared: &PreparedRequest) -> String {
    String::from_utf8(prepared.body().to_vec()).unwrap()
}
