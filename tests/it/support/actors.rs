//! Those who call: an operator with the first key and a JWT, an agent with a key, and a stranger with nothing.
//!
//! Their methods are named after what they do and go over REST; `rest()`, `grpc()` and `grpc_web()` are for the tests
//! that care about the way.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{
    grpc::Grpc,
    grpc_web::GrpcWeb,
    rest::{Answer, Rest},
};

/// Whoever calls.
pub(crate) trait Caller {
    fn rest(&self) -> &Rest;
    fn grpc(&self) -> &Grpc;

    fn grpc_web(&self) -> GrpcWeb {
        GrpcWeb::new(self.rest())
    }

    async fn create_key(&self, body: Value) -> Answer {
        self.rest().post("/v1/account/keys", &body).await
    }

    async fn list_keys(&self, query: &str) -> Answer {
        self.rest().get(&format!("/v1/account/keys{query}")).await
    }

    async fn key(&self, id: &str) -> Answer {
        self.rest().get(&format!("/v1/account/keys/{id}")).await
    }

    async fn update_key(&self, id: &str, body: Value) -> Answer {
        self.rest().patch(&format!("/v1/account/keys/{id}"), &body).await
    }

    async fn set_toollist(&self, id: &str, body: Value) -> Answer {
        self.rest().put(&format!("/v1/account/keys/{id}/toollist"), &body).await
    }

    async fn rotate_key(&self, id: &str, body: Value) -> Answer {
        self.rest().post(&format!("/v1/account/keys/{id}/rotate"), &body).await
    }

    async fn delegate_key(&self, id: &str, body: Value) -> Answer {
        self.rest().post(&format!("/v1/account/keys/{id}/tokens"), &body).await
    }

    async fn revoke_key(&self, id: &str) -> Answer {
        self.rest().delete(&format!("/v1/account/keys/{id}")).await
    }

    async fn me(&self) -> Answer {
        self.rest().get("/v1/account/me").await
    }

    async fn usage_summary(&self) -> Answer {
        self.rest().get("/v1/usage/summary").await
    }

    async fn chat(&self, body: Value) -> Answer {
        self.rest().post("/v1/chat/completions", &body).await
    }
}

/// Whoever holds the first key and a JWT of the issuer.
pub(crate) struct Operator {
    address: SocketAddr,
    rest: Rest,
    grpc: Grpc,
    jwt_rest: Rest,
    jwt_grpc: Grpc,
}

/// Whoever holds a key.
pub(crate) struct Agent {
    address: SocketAddr,
    rest: Rest,
    grpc: Grpc,
    secret: String,
}

/// Whoever holds nothing.
pub(crate) struct Anonymous {
    rest: Rest,
    grpc: Grpc,
}

impl Operator {
    pub(crate) fn new(address: SocketAddr, key: &str, jwt: &str) -> Self {
        let (rest, grpc) = (Rest::new(address), Grpc::new(address));
        Self {
            address,
            jwt_rest: rest.bearer(jwt),
            jwt_grpc: grpc.bearer(jwt),
            rest: rest.bearer(key),
            grpc: grpc.bearer(key),
        }
    }

    /// REST with the JWT.
    pub(crate) fn jwt_rest(&self) -> &Rest {
        &self.jwt_rest
    }

    /// gRPC with the JWT.
    pub(crate) fn jwt_grpc(&self) -> &Grpc {
        &self.jwt_grpc
    }

    /// Makes a key, and whoever will hold it.
    pub(crate) async fn equip(&self, body: Value) -> (Agent, Value) {
        let issued = self.create_key(body).await.success();
        (Agent::new(self.address, issued["key"].as_str().unwrap()), issued)
    }

    /// Changes the policy of an account.
    pub(crate) async fn update_policy(&self, account: &str, policy: Value) -> Answer {
        self.jwt_rest.patch(&format!("/v1/accounts/{account}/policy"), &policy).await
    }

    /// Whoever holds a key that was made elsewhere.
    pub(crate) fn agent(&self, issued: &Value) -> Agent {
        Agent::new(self.address, issued["key"].as_str().unwrap())
    }

    /// Revokes keys of an account.
    pub(crate) async fn revoke_keys(&self, account: &str, which: Value) -> Answer {
        self.jwt_rest.post(&format!("/v1/accounts/{account}/keys/revoke"), &which).await
    }

    pub(crate) async fn create_account(&self, name: &str) -> Answer {
        self.jwt_rest.post("/v1/accounts", &json!({"name": name})).await
    }

    /// The id of the account that its key belongs to.
    pub(crate) async fn account_id(&self) -> String {
        self.me().await.success()["account"]["id"].as_str().unwrap().to_owned()
    }
}

impl Agent {
    pub(crate) fn new(address: SocketAddr, secret: &str) -> Self {
        Self {
            address,
            rest: Rest::new(address).bearer(secret),
            grpc: Grpc::new(address).bearer(secret),
            secret: secret.to_owned(),
        }
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// The same agent on connections of its own, over HTTP/1.1.
    pub(crate) fn over_http1(&self) -> Self {
        Self::new(self.address, &self.secret)
    }

    /// The same agent on connections of its own, over HTTP/2.
    pub(crate) fn over_http2(&self) -> Self {
        Self { rest: self.rest.over_http2(), ..self.over_http1() }
    }
}

impl Anonymous {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { rest: Rest::new(address), grpc: Grpc::new(address) }
    }
}

impl Caller for Operator {
    fn rest(&self) -> &Rest {
        &self.rest
    }

    fn grpc(&self) -> &Grpc {
        &self.grpc
    }
}

impl Caller for Agent {
    fn rest(&self) -> &Rest {
        &self.rest
    }

    fn grpc(&self) -> &Grpc {
        &self.grpc
    }
}

impl Caller for Anonymous {
    fn rest(&self) -> &Rest {
        &self.rest
    }

    fn grpc(&self) -> &Grpc {
        &self.grpc
    }
}
