//! Every rule on the request side of the tool lists, each shape and spelling that could pass one by, and the laws
//! that no request breaks.

mod brought;
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
    ChatRequest::parse(Bytes::copy_from_slice(body.as_bytes()), &BOUNDS)
        .unwrap_or_else(|malformed| panic!("{malformed}: {body}"))
}

fn malformed(body: &str) -> Malformed {
    ChatRequest::parse(Bytes::copy_from_slice(body.as_bytes()), &BOUNDS).expect_err(body)
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
