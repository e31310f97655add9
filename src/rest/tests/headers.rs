//! Fields that headers carry: `If-Match` on the way in, `ETag` on the way out.

use http::Request;

use super::Rest;
use crate::proto::v1;

async fn revoke(rest: &Rest, tags: &[&[u8]]) -> u16 {
    let mut request = Request::delete("/v1/keys/x");
    for tag in tags {
        request = request.header("if-match", *tag);
    }
    rest.send(request.body("").unwrap()).await.status
}

#[tokio::test]
async fn a_tag_is_the_field_and_a_star_or_no_header_leaves_it_unset() {
    let rest = Rest::orqen();
    rest.answers(&v1::RevokeKeyResponse::default());
    for (tags, revision) in [
        (&[][..], None),
        (&[&b"*"[..]], None),
        (&[b"\"7\""], Some(7)),
        (&[b"\"0\""], Some(0)),
        (&[b"\"9223372036854775807\""], Some(i64::MAX)),
    ] {
        assert_eq!(revoke(&rest, tags).await, 200, "{tags:?}");
        assert_eq!(rest.called::<v1::RevokeKeyRequest>().revision, revision, "{tags:?}");
    }
}

#[tokio::test]
async fn what_is_no_tag_of_ours_is_refused_by_the_name_of_its_header() {
    let rest = Rest::orqen();
    for tags in [
        &[&b"7"[..]][..],
        &[b""],
        &[b"\""],
        &[b"\"\""],
        &[b"\"7"],
        &[b"\"a\""],
        &[b"\"-7\""],
        &[b"\"7.0\""],
        &[b"\"7e0\""],
        &[b"\"9223372036854775808\""],
        &[b"W/\"7\""],
        &[b"\"7\", \"8\""],
        &[b"\"7\"", b"\"7\""],
        &[b"*", b"\"7\""],
        &[b"\"\xff\""],
    ] {
        assert_eq!(revoke(&rest, tags).await, 400, "{tags:?}");
        let [(field, _)] = &rest.fields_refused()[..] else {
            panic!("{tags:?}: {:?}", rest.fields_refused())
        };
        assert_eq!(field, "If-Match", "{tags:?}");
    }
}

#[tokio::test]
async fn neither_body_nor_query_gives_what_a_header_gives() {
    let rest = Rest::orqen();
    assert_eq!(rest.json("PATCH", "/v1/keys/x", r#"{"revision": 7}"#).await.status, 400);
    let told = "the header `If-Match` gives it; send it there".to_owned();
    assert_eq!(rest.fields_refused(), [("revision".to_owned(), told.clone())]);
    let request = Request::delete("/v1/keys/x?revision=7").body("").unwrap();
    assert_eq!(rest.send(request).await.status, 400);
    assert_eq!(rest.fields_refused(), [("revision".to_owned(), told)]);
    // It is told with what else is wrong, and is no member that the mask could name.
    let request = Request::patch("/v1/keys/x")
        .header("content-type", "application/json")
        .header("if-match", "7")
        .body(r#"{"nme": "x"}"#)
        .unwrap();
    assert_eq!(rest.send(request).await.status, 400);
    let fields: Vec<_> = rest.fields_refused().into_iter().map(|(field, _)| field).collect();
    assert_eq!(fields, ["If-Match", "nme"]);
    rest.answers(&v1::UpdateKeyResponse::default());
    let request = Request::patch("/v1/keys/x")
        .header("content-type", "application/json")
        .header("if-match", "\"7\"")
        .body(r#"{"name": "x"}"#)
        .unwrap();
    assert_eq!(rest.send(request).await.status, 200);
    let called = rest.called::<v1::UpdateKeyRequest>();
    assert_eq!((called.revision, called.update_mask.unwrap().paths), (Some(7), vec!["name".to_owned()]));
}

#[tokio::test]
async fn a_key_that_is_the_whole_body_has_its_revision_as_a_tag() {
    let rest = Rest::orqen();
    let key = || v1::Key { revision: 7, ..v1::Key::default() };
    rest.answers(&v1::GetKeyResponse { key: Some(key()) });
    assert_eq!(rest.get("/v1/keys/x").await.headers["etag"], "\"7\"");
    rest.answers(&v1::CreateKeyResponse {
        issued_key: Some(v1::IssuedKey { revision: 1, ..v1::IssuedKey::default() }),
    });
    assert_eq!(rest.json("POST", "/v1/keys", "{}").await.headers["etag"], "\"1\"");
    rest.answers(&v1::ListKeysResponse { keys: vec![key()], next_page_token: String::new() });
    assert!(!rest.get("/v1/keys").await.headers.contains_key("etag"));
}
