//! Health for balancers, reflection for operators, an id for every request, and figures that begin with zero.

use std::collections::BTreeSet;

use orqen::proto::POOL;
use prost::Message;
use serde_json::json;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, ServerReflectionResponse, server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
};

use crate::support::{
    actors::{Anonymous, Caller},
    grpc::Grpc,
    server::{Settings, TestServer},
    stores::{Place, on_every_store},
};

#[tokio::test(flavor = "multi_thread")]
async fn healthz_and_readyz_answer_anyone() {
    let server = TestServer::new().await;
    for (path, word) in [("/healthz", "alive"), ("/readyz", "ready")] {
        let answer = server.anonymous().rest().get(path).await;
        assert_eq!(answer.success(), json!({"status": word}));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_health_knows_every_service_and_no_other() {
    let server = TestServer::new().await;
    let anonymous = server.anonymous();
    let services = POOL.services().filter(|service| service.package_name() == "orqen.v1");
    for name in services.map(|service| service.full_name().to_owned()).chain([String::new()]) {
        let answer = health(&anonymous, &name).await.unwrap();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
    }
    assert_eq!(health(&anonymous, "orqen.v1.Nope").await.unwrap_err().code(), Code::NotFound);
    server.stop().await;
}

async fn health(anonymous: &Anonymous, service: &str) -> Result<HealthCheckResponse, tonic::Status> {
    let request = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let answer = anonymous.grpc().call("/grpc.health.v1.Health/Check", request.into()).await?;
    Ok(HealthCheckResponse::decode(answer).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_answers_loopback_until_there_is_a_port_for_operators() {
    let server = TestServer::new().await;
    let listed = services(server.anonymous().grpc()).await.unwrap();
    let ours = POOL.services().map(|service| service.full_name().to_owned());
    assert!(listed.is_superset(&ours.collect()), "{listed:?}");
    assert!(listed.contains("grpc.health.v1.Health"));
    server.stop().await;

    let settings = Settings::at(&Place::sqlite()).toml("[server]\nadmin_listen = \"127.0.0.1:0\"");
    let server = TestServer::start(settings).await;
    let refused = services(server.anonymous().grpc()).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let admin = Anonymous::new(server.admin_address().unwrap());
    assert_eq!(services(admin.grpc()).await.unwrap(), listed);
    server.stop().await;
}

async fn services(grpc: &Grpc) -> Result<BTreeSet<String>, tonic::Status> {
    let message_request = Some(MessageRequest::ListServices("*".into()));
    let request = ServerReflectionRequest { host: String::new(), message_request }.encode_to_vec();
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let answer = ServerReflectionResponse::decode(grpc.call(path, request.into()).await?).unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("no list of services: {answer:?}");
    };
    Ok(list.service.into_iter().map(|service| service.name).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_of_our_own() {
    let server = TestServer::new().await;
    let operator = server.operator();
    let chosen = operator.rest().with("x-request-id".parse().unwrap(), "chosen-by-the-client");
    let by_web = operator.grpc_web().send("/orqen.v1.KeyService/ListKeys", vec![0; 5].into()).await;
    let by_grpc =
        operator.grpc().keys().list_keys(orqen::proto::v1::ListKeysRequest::default()).await.unwrap();
    let refused =
        server.anonymous().grpc().accounts().get_me(orqen::proto::v1::GetMeRequest {}).await.unwrap_err();
    let mut ids = vec![
        by_grpc.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned(),
        refused.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned(),
    ];
    for answer in [
        by_web,
        operator.me().await,
        chosen.get("/v1/account/me").await,
        server.anonymous().me().await,
        server.anonymous().rest().get("/nowhere").await,
        server.anonymous().rest().get("/healthz").await,
    ] {
        ids.push(answer.header("x-request-id").to_owned());
    }
    assert!(ids.iter().all(|id| id.starts_with("req_") && id.len() > 20), "{ids:?}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_has_used_nothing_at_the_primary_path_and_the_alias() {
    on_every_store(async |place| {
        let server = TestServer::start(Settings::at(&place)).await;
        let (agent, _) = server.operator().equip(json!({"name": "agent", "scopes": ["chat"]})).await;
        let none = json!({
            "requests": {"total": 0, "complete": 0, "client": 0, "upstream": 0, "error": 0},
            "tools": {"input": 0, "denied": 0, "output": 0, "would_deny": 0, "called": 0},
            "estimated_tokens_saved": 0,
            "tokens": {"prompt": 0, "completion": 0, "cached": 0},
            "tokens_saved": {"by_pruning": 0, "by_lists": 0},
            "recall_misses": 0,
        });
        for (rest, account) in [(server.operator().rest(), none.clone()), (agent.rest(), json!(null))] {
            for path in ["/v1/usage/summary", "/v1/account/usage/summary"] {
                let mut summary = rest.get(path).await.success();
                for member in ["period_start", "period_end"] {
                    let time = summary.as_object_mut().unwrap().remove(member).unwrap();
                    assert!(time.as_str().unwrap().ends_with("-01T00:00:00Z"), "{time}");
                }
                let mut expected = none.clone();
                expected["account"] = account.clone();
                // `tests/it/limits/left.rs` has what these say.
                for limits in ["limits", "account_limits"] {
                    let left = summary.as_object_mut().unwrap().remove(limits).unwrap();
                    assert_eq!(left.is_null(), limits == "account_limits" && account.is_null(), "{limits}");
                }
                assert_eq!(summary, expected, "{path}");
            }
        }
        server.stop().await;
    })
    .await;
}
