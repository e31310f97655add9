//! The description of the routes: all of them, and as they are. That answers fit it is checked wherever a test gets
//! one (`support::described`).

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

use crate::support::{
    described,
    rest::Rest,
    server::{Settings, TestServer},
    stores::Place,
    surface,
};

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_served_to_anybody_and_is_what_the_command_prints() {
    let server = TestServer::start(Settings::at(&Place::sqlite())).await;
    let anybody = Rest::new(server.address());
    let answer = anybody.get("/openapi.json").await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.success(), orqen::service::openapi().unwrap());
    let head = anybody.send(http::Method::HEAD, "/openapi.json", "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    anybody.post("/openapi.json", &Value::Null).await.refused(405, "method_not_allowed");
    server.stop().await;
}

#[test]
fn every_route_and_alias_has_its_operation() {
    let mut described: BTreeSet<_> = described::operations()
        .into_iter()
        .flat_map(|(path, verbs)| verbs.into_iter().map(move |verb| (path.clone(), verb)))
        .collect();
    for method in surface::methods() {
        for route in &method.routes {
            let there = described.remove(&(route.path.clone(), route.verb.to_string()));
            assert!(there, "{} {} of {} is not described", route.verb, route.path, method.name());
        }
    }
    assert!(described.is_empty(), "described and not served: {described:?}");
}

#[test]
fn every_operation_says_what_it_does_and_who_may() {
    let document = orqen::service::openapi().unwrap();
    let mut ids = HashSet::new();
    for (path, verbs) in document["paths"].as_object().unwrap() {
        for (verb, operation) in verbs.as_object().unwrap() {
            let told = |member: &str| operation[member].as_str().is_some_and(|text| !text.is_empty());
            assert!(told("summary") && told("description"), "{verb} {path}");
            assert!(ids.insert(operation["operationId"].clone()), "{verb} {path}: its id is there twice");
            let needs = operation["security"][0]["key"][0].as_str().unwrap_or_default();
            assert!(["any", "chat", "keys", "usage", "operator"].contains(&needs), "{verb} {path}: {needs}");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(parameter["description"].is_string(), "{verb} {path}: {parameter}");
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (member, schema) in schema["properties"].as_object().unwrap() {
            assert!(name == "Error" || schema["description"].is_string(), "{name}.{member} is not described");
        }
    }
}
