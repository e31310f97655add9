//! Which method a request reaches, and what it hears when it reaches none.

use http::Request;
use serde_json::json;

use super::{Rest, field, method};
use crate::proto::v1;

#[test]
fn every_rule_and_alias_is_a_binding() {
    let rest = Rest::orqen();
    let have: Vec<String> = rest
        .transcoder
        .bindings()
        .iter()
        .map(|b| format!("{} {} {}", b.verb, b.path, b.method.descriptor.name()))
        .collect();
    for expected in [
        "GET /v1/account/keys ListKeys",
        "GET /v1/keys ListKeys",
        "POST /v1/account/keys CreateKey",
        "POST /v1/keys CreateKey",
        "GET /v1/keys/{key_id} GetKey",
        "PATCH /v1/account/keys/{key_id} UpdateKey",
        "PUT /v1/account/keys/{key_id}/toollist SetToollist",
        "PUT /v1/keys/{key_id}/toollist SetToollist",
        "DELETE /v1/account/keys/{key_id} RevokeKey",
        "POST /v1/chat/completions CreateRawChatCompletion",
        "POST /v1/chat/completions/explain ExplainToolSelection",
        "GET /v1/models ListModels",
        "GET /v1/usage/summary GetSummary",
        "GET /v1/account/me GetMe",
    ] {
        assert!(have.iter().any(|one| one == expected), "{expected} is missing from {have:#?}");
    }
    let chat = rest.transcoder.bindings().iter().find(|b| b.path == "/v1/chat/completions").unwrap();
    assert!(chat.method.raw && chat.method.chat_body);
    assert_eq!(chat.method.grpc_path, "/orqen.v1.ChatService/CreateRawChatCompletion");
}

#[tokio::test]
async fn path_variable_is_decoded_once() {
    let rest = Rest::orqen();
    for (segment, key_id) in
        [("abc", "abc"), ("a%20b", "a b"), ("a%2Fb", "a/b"), ("a%2525", "a%25"), ("a+b", "a+b")]
    {
        assert_eq!(rest.get(&format!("/v1/keys/{segment}")).await.status, 200, "{segment}");
        assert_eq!(rest.called::<v1::GetKeyRequest>().key_id, key_id);
    }
    assert_eq!(rest.get("/v1/k%65ys").await.status, 200);
}

#[tokio::test]
async fn unknown_paths_are_not_found() {
    let rest = Rest::orqen();
    for path in [
        "/",
        "/v1",
        "/v1/keys/",
        "/v1/keys//toollist",
        "/v1/keys/a/b",
        "/v2/keys",
        "/v1/keys/%zz",
        "/v1/keys/%ff",
        "//v1/keys",
        "/V1/keys",
        "/v1/keys/a/toollist/",
        "/v1/keys%2Fa",
    ] {
        let answer = rest.get(path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text.contains("there is no route `GET /"), "{}", answer.text);
    }
    assert_eq!(rest.get(&format!("/{}", "a/".repeat(30_000))).await.status, 404);
    assert_eq!(*rest.backend.asked.lock().unwrap(), 0);
}

#[tokio::test]
async fn wrong_verb_hears_what_the_path_takes() {
    let rest = Rest::orqen();
    for (verb, path, allow) in [
        ("DELETE", "/v1/keys", "GET, HEAD, POST"),
        ("OPTIONS", "/v1/keys/abc", "GET, HEAD, PATCH, DELETE"),
        ("GET", "/v1/chat/completions", "POST"),
        ("HEAD", "/v1/keys/a/toollist", "PUT"),
        ("BREW", "/v1/models", "GET, HEAD"),
    ] {
        let answer = rest.json(verb, path, "").await;
        assert_eq!((answer.status, answer.headers["allow"].to_str().unwrap()), (405, allow), "{verb} {path}");
    }
    let answer = rest.json("DELETE", "/v1/keys", "").await;
    assert_eq!(answer.text, "`/v1/keys` does not take DELETE; it takes GET, HEAD, POST");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let rest = Rest::orqen();
    let get = rest.get("/v1/models").await;
    let head = rest.send(Request::head("/v1/models").body("").unwrap()).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_eq!(head.headers["content-type"], "application/json");
    assert_eq!(head.headers["content-length"], get.text.len().to_string().as_str());
    let missing = rest.send(Request::head("/v1/nothing").body("").unwrap()).await;
    assert_eq!((missing.status, missing.text.as_str()), (404, ""));
}

#[tokio::test]
async fn literal_goes_before_variable_and_allow_is_the_sum() {
    let rest = Rest::made_up(
        json!([{"name": "M", "field": [field("id", 1, "TYPE_STRING")]}]),
        json!([
            method(
                "Any",
                ".test.M",
                ".test.M",
                json!({"get": "/t/{id}", "additionalBindings": [{"delete": "/t/{id}"}]})
            ),
            method("Mine", ".test.M", ".test.M", json!({"get": "/t/mine"})),
            method("Deep", ".test.M", ".test.M", json!({"get": "/t/{id}/deep"})),
        ]),
    );
    for (uri, called) in [("/t/mine", "Mine"), ("/t/other", "Any"), ("/t/mine/deep", "Deep")] {
        assert_eq!(rest.get(uri).await.status, 200);
        assert_eq!(rest.path_called(), Some(format!("/test.Test/{called}")));
    }
    assert_eq!(rest.json("DELETE", "/t/mine", "").await.status, 200);
    assert_eq!(rest.path_called().as_deref(), Some("/test.Test/Any"));
    assert_eq!(rest.json("PUT", "/t/mine", "").await.headers["allow"], "GET, HEAD, DELETE");
}

#[test]
fn answers_can_be_awaited_on_any_thread() {
    fn sendable<T: Send>(_: T) {}
    let rest = Rest::orqen();
    sendable(rest.handle(Request::new(http_body_util::Full::new(bytes::Bytes::new()))));
}
