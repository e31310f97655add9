//! Lists: newest first, page by page, never with a secret.

use serde_json::{Value, json};

use crate::{
    keys::{id, ids, shown, with_an_operator},
    support::{actors::Caller, server::TestServer},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_newest_first_and_shows_each_key_as_it_is() {
    with_an_operator(async |_, operator| {
        let mut issued = Vec::new();
        for name in ["one", "two", "three"] {
            issued.push(shown(&operator.create_key(json!({"name": name})).await.success()));
        }
        let page = operator.list_keys("").await.success();
        assert_eq!(page["next_page_token"], "");
        let keys = page["keys"].as_array().unwrap();
        assert_eq!(keys.len(), 4);
        issued.reverse();
        assert_eq!(keys[..3], issued);
        assert_eq!(keys[3]["name"], "default");
        assert_eq!(operator.rest().get("/v1/keys").await.success()["keys"].as_array().unwrap()[..3], issued);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_250_keys_show_each_key_once_whatever_is_made_meanwhile() {
    with_an_operator(async |_, operator| {
        let mut made = vec![id(&operator.me().await.success()["key"]).to_owned()];
        for number in 0..249 {
            made.push(
                id(&operator.create_key(json!({"name": format!("k{number}")})).await.success()).to_owned(),
            );
        }
        made.reverse();
        let first = operator.list_keys("").await.success();
        assert_eq!(ids(&first).len(), 100, "the default size of a page");
        operator.create_key(json!({"name": "late"})).await.success();

        let mut seen = ids(&first);
        let mut token = first["next_page_token"].as_str().unwrap().to_owned();
        while !token.is_empty() {
            let page = operator.list_keys(&format!("?page_size=60&page_token={token}")).await.success();
            seen.extend(ids(&page));
            token = page["next_page_token"].as_str().unwrap().to_owned();
        }
        assert_eq!(seen, made);
        let exact = operator.list_keys("?page_size=251").await.success();
        assert_eq!((ids(&exact).len(), &exact["next_page_token"]), (251, &json!("")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_keys_are_listed_only_when_asked_for() {
    with_an_operator(async |_, operator| {
        let gone = operator.create_key(json!({"name": "gone"})).await.success();
        operator.revoke_key(id(&gone)).await.success();
        for query in ["", "?include_revoked=false"] {
            assert!(
                !ids(&operator.list_keys(query).await.success()).contains(&id(&gone).to_owned()),
                "{query}"
            );
        }
        let all = operator.list_keys("?include_revoked=true").await.success();
        let found = all["keys"].as_array().unwrap().iter().find(|key| id(key) == id(&gone)).unwrap().clone();
        assert_eq!(found["status"], "revoked");
        assert!(found["revoked_at"].as_str().unwrap().ends_with('Z'));
        assert_eq!(operator.key(id(&gone)).await.success(), found);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_size_or_token_that_cannot_be_is_refused_by_name() {
    let server = TestServer::new().await;
    let operator = server.operator();
    for size in ["0", "-1", "1001", "99999999999999999999", "ten", "1.5", "", "1e2x"] {
        let error =
            operator.list_keys(&format!("?page_size={size}")).await.refused(400, "invalid_request_error");
        assert_eq!(error["param"], "page_size", "{size}");
    }
    for size in ["1", "1000"] {
        operator.list_keys(&format!("?page_size={size}")).await.success();
    }
    let genuine: Value = operator.list_keys("").await.success();
    for token in ["x", "0", "../../etc/passwd", "AAAA", id(&genuine["keys"][0]), "%00", &"f".repeat(10_000)] {
        let error =
            operator.list_keys(&format!("?page_token={token}")).await.refused(400, "invalid_request_error");
        assert_eq!(error["param"], "page_token", "{token}");
    }
    for (query, param) in [
        ("?include_revoked=yes", "include_revoked"),
        ("?colour=red", "colour"),
        ("?page_size=1&page_size=2", "page_size"),
    ] {
        let error = operator.list_keys(query).await.refused(400, "invalid_request_error");
        assert_eq!(error["param"], param, "{query}");
    }
    server.stop().await;
}
