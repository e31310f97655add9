//! Of two who change the same key the second is told: a change for a revision that the key no longer has is none.

use http::header;
use orqen::proto::v1;
use serde_json::{Value, json};
use tonic::Code;

use crate::{
    keys::{id, with_an_operator},
    support::{
        actors::{Caller, Operator},
        rest::{Answer, Rest},
        server::TestServer,
        told::Told,
    },
};

fn only_if(operator: &Operator, tag: &str) -> Rest {
    operator.rest().with(header::IF_MATCH, tag)
}

/// Every call that changes a key, of the key at `path`.
async fn every_change(rest: &Rest, path: &str) -> [Answer; 4] {
    [
        rest.patch(path, &json!({"name": "changed"})).await,
        rest.put(&format!("{path}/toollist"), &json!({"denied_tools": ["rm"]})).await,
        rest.post(&format!("{path}/rotate"), &json!({})).await,
        rest.delete(path).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_for_the_revision_that_a_key_has_is_made() {
    with_an_operator(async |_, operator| {
        let issued = operator.create_key(json!({"name": "key"})).await;
        assert_eq!(issued.header("etag"), "\"1\"");
        let issued = issued.success();
        let path = format!("/v1/keys/{}", id(&issued));
        assert_eq!(operator.rest().get(&path).await.header("etag"), "\"1\"");
        let renamed = only_if(operator, "\"1\"").patch(&path, &json!({"name": "renamed"})).await;
        assert_eq!((renamed.success()["revision"].clone(), renamed.header("etag")), (json!(2), "\"2\""));
        let lists = json!({"allowed_tools": ["a"]});
        let listed = only_if(operator, "\"2\"").put(&format!("{path}/toollist"), &lists).await;
        assert_eq!((listed.success()["revision"].clone(), listed.header("etag")), (json!(3), "\"3\""));
        // What changes nothing is no new revision, and may be said again.
        for _ in 0..2 {
            only_if(operator, "\"3\"").put(&format!("{path}/toollist"), &lists).await.success();
        }
        let rotated = only_if(operator, "\"3\"").post(&format!("{path}/rotate"), &json!({})).await;
        assert_eq!((rotated.success()["revision"].clone(), rotated.header("etag")), (json!(4), "\"4\""));
        only_if(operator, "*").patch(&path, &json!({"name": "any"})).await.success();
        for _ in 0..2 {
            // The second time it is at another revision, and revoked as was asked.
            only_if(operator, "\"5\"").delete(&path).await.success();
        }
        let revoked = operator.key(id(&issued)).await.success();
        assert_eq!((&revoked["status"], &revoked["revision"]), (&json!("revoked"), &json!(6)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_for_another_revision_is_a_conflict_and_changes_nothing() {
    with_an_operator(async |_, operator| {
        let issued = operator.create_key(json!({"name": "key"})).await.success();
        let path = format!("/v1/keys/{}", id(&issued));
        let now = operator.update_key(id(&issued), json!({"name": "now"})).await.success();
        for stale in ["\"1\"", "\"3\"", "\"0\"", "\"9223372036854775807\""] {
            for answer in every_change(&only_if(operator, stale), &path).await {
                let error = answer.refused(409, "conflict");
                assert_eq!(error["param"], "revision");
                let message = error["message"].as_str().unwrap();
                assert!(message.contains("revision 2") && message.contains("read it again"), "{message}");
            }
        }
        assert_eq!(operator.key(id(&issued)).await.success(), now);

        let mut keys = operator.grpc().keys();
        let key_id = id(&issued).to_owned();
        let stale = v1::RevokeKeyRequest { key_id: key_id.clone(), revision: Some(1) };
        let status = keys.revoke_key(stale).await.unwrap_err();
        assert_eq!((status.code(), Told::by_grpc(&status).code.as_str()), (Code::Aborted, "conflict"));
        keys.revoke_key(v1::RevokeKeyRequest { key_id, revision: Some(2) }).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_tag_is_refused_and_changes_nothing() {
    let server = TestServer::new().await;
    let operator = server.operator();
    let issued = operator.create_key(json!({"name": "key"})).await.success();
    let path = format!("/v1/keys/{}", id(&issued));
    for malformed in ["1", "", "W/\"1\"", "\"one\"", "\"1\", \"2\""] {
        for answer in every_change(&only_if(&operator, malformed), &path).await {
            assert_eq!(answer.refused(400, "invalid_request_error")["param"], "If-Match", "{malformed}");
        }
    }
    let refused = operator.update_key(id(&issued), json!({"revision": 1})).await;
    assert_eq!(refused.refused(400, "invalid_request_error")["param"], "revision");
    assert_eq!(operator.key(id(&issued)).await.success()["revision"], 1);
    // A key that is not there has no revision either.
    let nobody = "/v1/keys/018f0000-0000-7000-8000-000000000000";
    for tag in ["\"1\"", "*"] {
        for answer in every_change(&only_if(&operator, tag), nobody).await {
            answer.refused(404, "key_not_found");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_change_one_revision_exactly_one_does() {
    with_an_operator(async |_, operator| {
        let issued = operator.create_key(json!({"name": "key"})).await.success();
        let path = format!("/v1/keys/{}", id(&issued));
        let names: Vec<Value> = (0..16).map(|number| json!({"name": format!("by {number}")})).collect();
        let rest = only_if(operator, "\"1\"");
        let answers = futures_util::future::join_all(names.iter().map(|name| rest.patch(&path, name))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(won.len(), 1);
        lost.iter().for_each(|answer| drop(answer.refused(409, "conflict")));
        assert_eq!(operator.key(id(&issued)).await.success(), won[0].success());
    })
    .await;
}
