//! Nobody gets past the guard: every method, through every door (gRPC, gRPC-Web, each REST route and alias), with
//! every kind of bad credential. The list of methods is written out here, so that a new one fails until it is listed.

use std::sync::Arc;

use http::HeaderMap;
use orqen::clock::ManualClock;
use serde_json::json;
use uuid::Uuid;

use crate::support::{
    actors::{Caller, Operator},
    issuer::claims,
    server::{Settings, TestServer},
    stores::{Place, on_every_store},
    surface::{Doors, Method, methods},
    told::PROVIDER,
};

mod credentials;

use credentials::{bearer, id};

/// What a method needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Needs {
    Any,
    Chat,
    Keys,
    Usage,
    Operator,
}

/// Every method, what it needs, and its routes.
const SURFACE: &[(&str, Needs, &[&str])] = &[
    ("AccountService/CreateAccount", Needs::Operator, &["POST /v1/accounts"]),
    ("AccountService/GetAccount", Needs::Operator, &["GET /v1/accounts/{account_id}"]),
    ("AccountService/GetMe", Needs::Any, &["GET /v1/account/me"]),
    ("AccountService/ListAccounts", Needs::Operator, &["GET /v1/accounts"]),
    ("AccountService/RevokeKeys", Needs::Operator, &["POST /v1/accounts/{account_id}/keys/revoke"]),
    ("AccountService/UpdatePolicy", Needs::Operator, &["PATCH /v1/accounts/{account_id}/policy"]),
    ("ChatService/CreateChatCompletion", Needs::Chat, &[]),
    ("ChatService/CreateRawChatCompletion", Needs::Chat, &["POST /v1/chat/completions"]),
    ("ChatService/ExplainToolSelection", Needs::Chat, &["POST /v1/chat/completions/explain"]),
    ("ChatService/ListModels", Needs::Chat, &["GET /v1/models"]),
    ("ChatService/StreamChatCompletion", Needs::Chat, &[]),
    ("KeyService/CreateKey", Needs::Keys, &["POST /v1/account/keys", "POST /v1/keys"]),
    (
        "KeyService/DelegateKey",
        Needs::Keys,
        &["POST /v1/account/keys/{key_id}/tokens", "POST /v1/keys/{key_id}/tokens"],
    ),
    ("KeyService/GetKey", Needs::Keys, &["GET /v1/account/keys/{key_id}", "GET /v1/keys/{key_id}"]),
    ("KeyService/ListAuditEvents", Needs::Usage, &["GET /v1/account/audit"]),
    ("KeyService/ListKeys", Needs::Keys, &["GET /v1/account/keys", "GET /v1/keys"]),
    ("KeyService/RevokeKey", Needs::Keys, &["DELETE /v1/account/keys/{key_id}", "DELETE /v1/keys/{key_id}"]),
    (
        "KeyService/RotateKey",
        Needs::Keys,
        &["POST /v1/account/keys/{key_id}/rotate", "POST /v1/keys/{key_id}/rotate"],
    ),
    (
        "KeyService/SetToollist",
        Needs::Keys,
        &["PUT /v1/account/keys/{key_id}/toollist", "PUT /v1/keys/{key_id}/toollist"],
    ),
    ("KeyService/UpdateKey", Needs::Keys, &["PATCH /v1/account/keys/{key_id}", "PATCH /v1/keys/{key_id}"]),
    (
        "ToolService/ListRecallAlerts",
        Needs::Usage,
        &["GET /v1/account/tools/recall-alerts", "GET /v1/tools/recall-alerts"],
    ),
    ("ToolService/ListToolHealth", Needs::Usage, &["GET /v1/account/tools/health", "GET /v1/tools/health"]),
    (
        "ToolService/ListToolSuggestions",
        Needs::Usage,
        &["GET /v1/account/tools/suggestions", "GET /v1/tools/suggestions"],
    ),
    ("UsageService/GetByKey", Needs::Usage, &["GET /v1/account/usage/by-key", "GET /v1/usage/by-key"]),
    ("UsageService/GetDaily", Needs::Usage, &["GET /v1/account/usage/daily", "GET /v1/usage/daily"]),
    (
        "UsageService/GetRequest",
        Needs::Usage,
        &["GET /v1/account/requests/{request_id}", "GET /v1/requests/{request_id}"],
    ),
    ("UsageService/GetSummary", Needs::Any, &["GET /v1/account/usage/summary", "GET /v1/usage/summary"]),
    ("UsageService/ListRequests", Needs::Usage, &["GET /v1/account/requests", "GET /v1/requests"]),
];

#[test]
fn every_method_and_every_route_is_listed_here() {
    let found = methods().into_iter().map(|method| {
        let routes =
            method.routes.iter().map(|route| format!("{} {}", route.verb, route.path)).collect::<Vec<_>>();
        (method.name(), routes)
    });
    let mut found: Vec<_> = found.collect();
    found.sort();
    let listed = SURFACE.iter().map(|(name, _, routes)| {
        ((*name).to_owned(), routes.iter().map(|route| (*route).to_owned()).collect::<Vec<_>>())
    });
    assert_eq!(found, listed.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_credential_gets_in_nowhere() {
    on_every_store(async |place| {
        let world = World::at(&place).await;
        let bad = world.bad_credentials().await;
        for method in methods() {
            for (what, headers, code) in &bad {
                world.expect_refused(&method, what, headers, code).await;
            }
        }
        world.server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_opens_exactly_the_methods_that_it_has_the_scope_for() {
    let world = World::at(&Place::sqlite()).await;
    for (what, headers, holds) in world.good_credentials().await {
        for method in methods() {
            if holds.contains(&world.needs(&method)) {
                world.expect_let_in(&method, what, &headers).await;
            } else {
                world.expect_refused(&method, what, &headers, "insufficient_scope").await;
            }
        }
    }
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_accounts_key_cannot_be_told_from_one_that_never_was() {
    on_every_store(async |place| {
        let world = World::at(&place).await;
        let foreign = world.foreign_key().await;
        let ids = [foreign.as_str(), &Uuid::now_v7().to_string(), "not-a-uuid", "0", "%F0%9F%94%91"];
        let doors = world.doors.with(&bearer(world.server.first_key().unwrap()));
        for method in methods().iter().filter(|method| method.is_about_a_key()) {
            for door in method.doors() {
                let mut answers = Vec::new();
                for id in ids {
                    let told = doors.knock(method, &door, id).await;
                    let told = told.unwrap_or_else(|| panic!("{} {door:?} took the id {id}", method.name()));
                    assert_eq!(told.code, "key_not_found", "{} {door:?} {id}", method.name());
                    // What the path decodes to, and what gRPC shows as it is.
                    answers.push(told.less(&[id, "🔑"]));
                }
                assert!(
                    answers.iter().all(|told| *told == answers[0]),
                    "{} {door:?}: {answers:#?}",
                    method.name()
                );
            }
        }
        assert_eq!(
            world.foreign_rest().get(&format!("/v1/keys/{foreign}")).await.success()["revision"],
            json!(1)
        );
        world.server.stop().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permission_is_asked_before_the_body_is_looked_at() {
    let server = TestServer::new().await;
    let stranger = server.anonymous();
    for method in methods() {
        for route in method.routes.iter().filter(|route| route.has_body) {
            let answer = stranger.rest().send(route.verb.clone(), &route.filled("x"), "{\"name\": ").await;
            answer.refused(401, "invalid_api_key");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    server.stop().await;
}

/// A server, whose clock stands, with two accounts.
struct World {
    server: TestServer,
    operator: Operator,
    doors: Doors,
    clock: Arc<ManualClock>,
    other_account: String,
}

impl World {
    async fn at(place: &Place) -> Self {
        let clock = Arc::new(ManualClock::at("2026-03-14T09:26:53Z".parse().unwrap()));
        let server = TestServer::start(Settings::at(place).clock(&clock)).await;
        let operator = server.operator();
        let other = operator.create_account("other").await.success();
        let other_account = other["id"].as_str().unwrap().to_owned();
        Self { doors: Doors::of(&server), server, operator, clock, other_account }
    }

    fn needs(&self, method: &Method) -> Needs {
        let row = SURFACE.iter().find(|row| row.0 == method.name());
        row.unwrap_or_else(|| panic!("{} is not listed", method.name())).1
    }

    async fn expect_refused(&self, method: &Method, what: &str, headers: &HeaderMap, code: &str) {
        let doors = self.doors.with(headers);
        for door in method.doors() {
            let told = doors.knock(method, &door, &Uuid::now_v7().to_string()).await;
            let code_told = told.as_ref().map(|told| told.code.as_str());
            assert_eq!(code_told, Some(code), "{what} at {} through {door:?}: {told:?}", method.name());
        }
    }

    async fn expect_let_in(&self, method: &Method, what: &str, headers: &HeaderMap) {
        let doors = self.doors.with(headers);
        for door in method.doors() {
            let told = doors.knock(method, &door, &Uuid::now_v7().to_string()).await;
            // An empty message is mostly refused, but by the method and not by the guard.
            let by_method = [
                "invalid_request_error",
                "key_not_found",
                "account_not_found",
                "request_not_found",
                PROVIDER,
            ];
            let by_method = by_method.map(Some);
            let code = told.as_ref().map(|told| told.code.as_str());
            assert!(
                code.is_none() || by_method.contains(&code),
                "{what} at {} through {door:?}: {told:?}",
                method.name()
            );
        }
    }

    /// A client of the house that acts for the other account.
    fn foreign_rest(&self) -> crate::support::rest::Rest {
        let more = json!({"scope": "chat keys usage", "account": self.other_account});
        self.server.anonymous().rest().bearer(&self.server.issuer().token(&claims(self.server.now(), more)))
    }

    /// The id of a key of the other account.
    async fn foreign_key(&self) -> String {
        let issued = self.foreign_rest().post("/v1/keys", &json!({"name": "theirs"})).await.success();
        id(&issued).to_owned()
    }
}
