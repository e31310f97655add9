//! Keys, as the contract's sections 2 and 3 describe them: made, listed, changed, restricted and revoked. What chat
//! makes of a tool list is not here.

mod audit;
mod changing;
mod creating;
mod delegating;
mod escalating;
mod forging;
mod granting;
mod holding;
mod listing;
mod repeating;
mod revisions;
mod revoking;
mod rotating;
mod toollists;

use serde_json::Value;

use crate::support::{
    actors::Operator,
    server::{Settings, TestServer},
    stores::{Place, on_every_store},
};

/// Runs a test against a new server on every database.
async fn with_an_operator(test: impl AsyncFn(&TestServer, &Operator)) {
    on_every_store(async |place: Place| {
        let server = TestServer::start(Settings::at(&place)).await;
        let operator = server.operator();
        test(&server, &operator).await;
        server.stop().await;
    })
    .await;
}

fn id(key: &Value) -> &str {
    key["id"].as_str().unwrap()
}

/// An issued key without its secret: what every other answer shows of it.
fn shown(issued: &Value) -> Value {
    let mut key = issued.clone();
    key.as_object_mut().unwrap().remove("key");
    key
}

/// The ids of a list's page.
fn ids(page: &Value) -> Vec<String> {
    page["keys"].as_array().unwrap().iter().map(|key| id(key).to_owned()).collect()
}
