//! From messages to JSON text and headers.

use bytes::Bytes;
use prost_types::Timestamp;
use tonic::{Status, metadata::MetadataMap};

use super::Rest;
use crate::{proto::v1, rest::UnaryAnswer};

#[tokio::test]
async fn every_field_is_there_and_absent_ones_are_null() {
    let rest = Rest::orqen();
    rest.answers(&v1::GetKeyResponse { key: Some(v1::Key::default()) });
    let answer = rest.get("/v1/keys/k").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(
        answer.text,
        r#"{"id":"","name":"","key_prefix":"","status":null,"scopes":[],"allowed_tools":null,"denied_tools":null,"tool_mode":null,"limits":null,"created_at":null,"created_by":"","last_used_at":null,"expires_at":null,"revoked_at":null,"rotated_at":null,"revision":0,"generations":[]}"#
    );
}

#[tokio::test]
async fn values_have_their_json_forms() {
    let rest = Rest::orqen();
    let limit = v1::Limit { value: Some(i64::MAX), source: v1::LimitSource::Policy as i32 };
    let unlimited = v1::Limit { value: None, source: v1::LimitSource::Key as i32 };
    let key = v1::Key {
        id: "0190".to_owned(),
        name: "a \"b\"\n\u{1}é".to_owned(),
        status: v1::KeyStatus::Active as i32,
        scopes: vec![v1::Scope::Chat as i32, v1::Scope::Keys as i32, 99],
        allowed_tools: Some(v1::StringList { values: vec![] }),
        denied_tools: Some(v1::StringList { values: vec!["github_*".to_owned()] }),
        tool_mode: v1::ToolMode::Filter as i32,
        limits: Some(v1::KeyLimits {
            rate_limit_rpm: Some(limit),
            k_target: Some(unlimited),
            ..v1::KeyLimits::default()
        }),
        created_at: Some(Timestamp { seconds: 1_700_000_000, nanos: 0 }),
        last_used_at: Some(Timestamp { seconds: 1_700_000_000, nanos: 120_000_000 }),
        expires_at: Some(Timestamp { seconds: 1_700_000_000, nanos: 120_300_000 }),
        revoked_at: Some(Timestamp { seconds: -1, nanos: 1 }),
        rotated_at: Some(Timestamp { seconds: i64::MAX, nanos: -1 }),
        revision: -9_007_199_254_740_993,
        ..v1::Key::default()
    };
    rest.answers(&v1::ListKeysResponse { keys: vec![key], next_page_token: String::new() });
    let answer = rest.get("/v1/keys").await;
    assert_eq!(
        answer.text,
        r#"{"keys":[{"id":"0190","name":"a \"b\"\n\u0001é","key_prefix":"","status":"active","scopes":["chat","keys",null],"allowed_tools":[],"denied_tools":["github_*"],"tool_mode":"filter","limits":{"rate_limit_rpm":{"value":9223372036854775807,"source":"policy"},"concurrent_requests":null,"daily_token_budget":null,"weekly_token_budget":null,"k_target":{"value":null,"source":"key"}},"created_at":"2023-11-14T22:13:20Z","created_by":"","last_used_at":"2023-11-14T22:13:20.120Z","expires_at":"2023-11-14T22:13:20.120300Z","revoked_at":"1969-12-31T23:59:59.000000001Z","rotated_at":null,"revision":-9007199254740993,"generations":[]}],"next_page_token":""}"#
    );
}

#[tokio::test]
async fn response_body_is_the_field_alone() {
    let rest = Rest::orqen();
    rest.answers(&v1::CreateKeyResponse {
        issued_key: Some(v1::IssuedKey { key: Some("sk-orq-x".to_owned()), ..v1::IssuedKey::default() }),
    });
    let answer = rest.json("POST", "/v1/keys", r#"{"name":"a"}"#).await;
    assert!(
        answer.text.starts_with(r#"{"id":"""#)
            && answer.text.ends_with(r#","revision":0,"key":"sk-orq-x","generations":[]}"#)
    );
    rest.answers(&v1::CreateKeyResponse { issued_key: None });
    assert_eq!(rest.json("POST", "/v1/keys", r#"{"name":"a"}"#).await.text, "null");
    rest.answers(&v1::RevokeKeyResponse { id: "a".to_owned(), revoked: true });
    assert_eq!(rest.json("DELETE", "/v1/keys/a", "").await.text, r#"{"id":"a","revoked":true}"#);
}

#[tokio::test]
async fn metadata_become_headers_unless_they_are_grpcs_own() {
    let rest = Rest::orqen();
    let mut metadata = MetadataMap::new();
    for (name, value) in
        [("x-orqen-a", "1"), ("x-orqen-a", "2"), ("grpc-status", "0"), ("content-type", "application/grpc")]
    {
        metadata.append(name, value.parse().unwrap());
    }
    metadata.insert_bin("x-secret-bin", tonic::metadata::MetadataValue::from_bytes(b"x"));
    metadata.insert("content-length", "3".parse().unwrap());
    *rest.backend.answer.lock().unwrap() = Some(Ok(UnaryAnswer { metadata, message: Bytes::new() }));
    let answer = rest.get("/v1/models").await;
    assert_eq!(answer.text, r#"{"object":"","data":[]}"#);
    let names: Vec<&str> = answer.headers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x-orqen-a", "content-type"]);
    assert_eq!(answer.headers.get_all("x-orqen-a").iter().count(), 2);
}

#[tokio::test]
async fn failed_calls_and_broken_answers_go_to_the_error_table() {
    let rest = Rest::orqen();
    *rest.backend.answer.lock().unwrap() = Some(Err(Status::internal("the store burnt down")));
    let answer = rest.get("/v1/models").await;
    assert_eq!((answer.status, answer.text.as_str()), (500, "the store burnt down"));
    *rest.backend.answer.lock().unwrap() =
        Some(Ok(UnaryAnswer { message: Bytes::from_static(b"\xff\xff"), ..UnaryAnswer::default() }));
    assert_eq!(rest.get("/v1/models").await.status, 500);
}
