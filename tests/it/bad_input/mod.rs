//! Bad input gets the documented error, at a bounded cost, over REST, gRPC and gRPC-Web; nothing panics, and nothing is
//! half-written: every test ends by looking whether the server still answers and has the keys that it had.

mod fields;
mod json;
mod protobuf;
mod routes;
mod sizes;

use serde_json::{Value, json};

use crate::support::{
    actors::{Caller, Operator},
    rest::{Answer, Rest},
    server::{Settings, TestServer},
    stores::Place,
    surface::{Method, Route, methods},
};

/// The longest answer to a bad request: sentences, and not what was sent.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A server, an operator and a key that every attempt is about.
struct World {
    server: TestServer,
    operator: Operator,
    id: String,
    before: Value,
}

impl World {
    async fn new() -> Self {
        Self::with(|settings| settings).await
    }

    async fn with(change: impl FnOnce(Settings) -> Settings) -> Self {
        let server = TestServer::start(change(Settings::at(&Place::sqlite()))).await;
        let operator = server.operator();
        let body = json!({"name": "subject", "allowed_tools": ["a*"], "denied_tools": ["b"]});
        let issued = operator.create_key(body).await.success();
        let before = state(&operator).await;
        Self { server, operator, id: issued["id"].as_str().unwrap().to_owned(), before }
    }

    /// The client that may call the method.
    fn rest(&self, method: &Method) -> &Rest {
        if for_operators(method) { self.operator.jwt_rest() } else { self.operator.rest() }
    }

    /// The id that the path of the method wants.
    async fn subject(&self, method: &Method) -> String {
        if method.descriptor.input().get_field_by_name("account_id").is_some() {
            return self.operator.account_id().await;
        }
        self.id.clone()
    }

    /// Everything is as it was, and the server still does its work.
    async fn end(self) {
        assert_eq!(state(&self.operator).await, self.before);
        self.operator.create_key(json!({"name": "still here"})).await.success();
        self.server.stop().await;
    }
}

/// All that a bad request could have changed.
async fn state(operator: &Operator) -> Value {
    let mut keys = operator.list_keys("?page_size=1000&include_revoked=true").await.success();
    for key in keys["keys"].as_array_mut().unwrap() {
        // Written behind the answers.
        key["last_used_at"] = Value::Null;
        key["generations"][0]["last_used_at"] = Value::Null;
    }
    let accounts = operator.jwt_rest().get("/v1/accounts").await.success();
    json!({"keys": keys, "accounts": accounts})
}

fn for_operators(method: &Method) -> bool {
    method.name().starts_with("AccountService") && method.name() != "AccountService/GetMe"
}

/// Whether its body is bytes that no message is read from.
fn is_raw(method: &Method) -> bool {
    method.descriptor.input().full_name() == "google.api.HttpBody"
        || method.routes.iter().any(|route| route.body_field.is_some())
}

/// Every route that takes a body, with its method.
fn body_routes() -> Vec<(Method, Route)> {
    let routes = methods().into_iter().flat_map(|method| {
        let routes: Vec<_> = method.routes.iter().filter(|route| route.has_body).cloned().collect();
        routes.into_iter().map(move |route| (method.clone(), route))
    });
    routes.collect()
}

/// A refusal that is short.
#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, what: &str) -> Value {
    assert!(answer.body.len() <= LONGEST_ANSWER, "{what}: {} bytes", answer.body.len());
    let error = answer.json()["error"].clone();
    assert_eq!((answer.status.as_u16(), error["code"].as_str()), (status, Some(code)), "{what}: {error}");
    error
}
