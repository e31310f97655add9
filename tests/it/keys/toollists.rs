//! `PUT …/toollist`: left out stays, `null` clears, `[]` is a list; over gRPC the mask says the same.

use orqen::proto::v1;
use prost_types::FieldMask;
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    keys::{id, with_an_operator},
    support::{actors::Caller, server::TestServer, told::Told},
};

/// The two lists of a key.
fn lists(key: &Value) -> (Value, Value) {
    (key["allowed_tools"].clone(), key["denied_tools"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn left_out_stays_null_clears_and_an_empty_list_is_a_list() {
    with_an_operator(async |_, operator| {
        let issued = operator.create_key(json!({"name": "key"})).await.success();
        let key_id = id(&issued);
        for (body, allowed, denied, revision) in [
            (json!({}), json!(null), json!(null), 1),
            (json!({"allowed_tools": ["a"]}), json!(["a"]), json!(null), 2),
            (json!({"denied_tools": ["b", "c*"]}), json!(["a"]), json!(["b", "c*"]), 3),
            (json!({}), json!(["a"]), json!(["b", "c*"]), 3),
            (json!({"allowed_tools": []}), json!([]), json!(["b", "c*"]), 4),
            (json!({"denied_tools": []}), json!([]), json!([]), 5),
            (json!({"allowed_tools": null}), json!(null), json!([]), 6),
            (json!({"denied_tools": null}), json!(null), json!(null), 7),
            (json!({"denied_tools": null, "allowed_tools": ["x", "y"]}), json!(["x", "y"]), json!(null), 8),
        ] {
            let key = operator.set_toollist(key_id, body.clone()).await.success();
            assert_eq!(lists(&key), (allowed, denied), "{body}");
            assert_eq!(key["revision"], revision, "{body}");
            assert_eq!(operator.key(key_id).await.success(), key);
        }
        let empty = operator.rest().send(http::Method::PUT, &format!("/v1/keys/{key_id}/toollist"), "").await;
        empty.refused(400, "invalid_request_error");
        assert_eq!(
            operator.key(key_id).await.success()["revision"],
            8,
            "a body that was lost changes nothing"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lists_have_bounds_and_each_bad_entry_is_named() {
    let server = TestServer::new().await;
    let operator = server.operator();
    let issued = operator.create_key(json!({"name": "key"})).await.success();
    let names = |count: usize| (0..count).map(|number| format!("tool_{number}")).collect::<Vec<_>>();
    let most = json!({"allowed_tools": names(1000), "denied_tools": ["\u{e9}".repeat(256)]});
    operator.set_toollist(id(&issued), most).await.success();
    for (body, param) in [
        (json!({"allowed_tools": names(1001)}), "allowed_tools"),
        (json!({"denied_tools": ["ok", "x".repeat(257)]}), "denied_tools[1]"),
        (json!({"allowed_tools": [""]}), "allowed_tools[0]"),
        (json!({"allowed_tools": ["a", null]}), "allowed_tools[1]"),
        (json!({"allowed_tools": ["a", 1]}), "allowed_tools[1]"),
        (json!({"allowed_tools": "a"}), "allowed_tools"),
        (json!({"allowed_tools": {"values": ["a"]}}), "allowed_tools"),
        (json!({"update_mask": "allowed_tools"}), "update_mask"),
        (json!({"allowed": ["a"]}), "allowed"),
    ] {
        let refused =
            operator.set_toollist(id(&issued), body.clone()).await.refused(400, "invalid_request_error");
        assert_eq!(refused["param"], param, "{}", refused["message"]);
    }
    let spelt = "{\"denied_tools\": [\"\\ud800\"]}";
    let path = format!("/v1/keys/{}/toollist", id(&issued));
    operator.rest().send(http::Method::PUT, &path, spelt).await.refused(400, "invalid_request_error");
    assert_eq!(operator.key(id(&issued)).await.success()["revision"], 2);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_a_list_that_the_mask_leaves_out_is_refused() {
    let server = TestServer::new().await;
    let operator = server.operator();
    let issued = operator.create_key(json!({"name": "key"})).await.success();
    let mut keys = operator.grpc().keys();
    let list = |entries: &[&str]| {
        Some(v1::StringList { values: entries.iter().map(|entry| (*entry).to_owned()).collect() })
    };
    let set = |allowed: Option<v1::StringList>, denied: Option<v1::StringList>, paths: Option<&[&str]>| {
        v1::SetToollistRequest {
            key_id: id(&issued).to_owned(),
            allowed_tools: allowed,
            denied_tools: denied,
            update_mask: paths
                .map(|paths| FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
            revision: None,
        }
    };
    let key = |answer: tonic::Response<v1::SetToollistResponse>| answer.into_inner().key.unwrap();

    for mask in [None, Some(&[][..])] {
        let both = key(keys.set_toollist(set(list(&["a"]), list(&["b"]), mask)).await.unwrap());
        assert_eq!((both.allowed_tools, both.denied_tools), (list(&["a"]), list(&["b"])), "{mask:?}");
    }
    let one = key(keys.set_toollist(set(list(&[]), None, Some(&["allowed_tools"]))).await.unwrap());
    assert_eq!((one.allowed_tools, one.denied_tools), (list(&[]), list(&["b"])));
    let cleared = key(keys.set_toollist(set(None, None, Some(&["denied_tools"]))).await.unwrap());
    assert_eq!((cleared.allowed_tools, cleared.denied_tools), (list(&[]), None));

    for (request, param) in [
        (set(None, list(&["rm"]), Some(&["allowed_tools"])), "denied_tools"),
        (set(list(&["a"]), None, Some(&["key_id", "allowed_tools"])), "update_mask"),
        (set(list(&["a"]), None, Some(&["allowed_tools.values"])), "update_mask"),
    ] {
        let status = keys.set_toollist(request.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(Told::by_grpc(&status).param.as_deref(), Some(param), "{request:?}");
    }
    let all = keys.set_toollist(set(list(&["a", ""]), list(&["rm"]), Some(&["allowed_tools", "x"]))).await;
    let message = all.unwrap_err().message().to_owned();
    for field in ["update_mask: ", "denied_tools: ", "allowed_tools[1]: "] {
        assert!(message.contains(field), "{message}");
    }
    server.stop().await;
}
