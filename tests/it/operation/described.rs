//! The description of the routes: all of them, and as they are. That answers fit it is checked wherever a test gets
//! one (`support::described`).

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};

use crate::support::{
    actors::Caller,
    described,
    rest::{Answer, Rest},
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

/// Values just outside and just inside what a schema says, each set empty where it says nothing.
fn around(schema: &Value) -> (Vec<Value>, Vec<Value>) {
    let (mut outside, mut inside) = (Vec::new(), Vec::new());
    let told = |keyword: &str| schema[keyword].as_i64();
    let text = |length: i64| "x".repeat(usize::try_from(length).unwrap());
    // The range of a type alone is the reader's to check, and the tests of `rest` do.
    for (keyword, step) in [("minimum", -1), ("maximum", 1)] {
        let ends = [i64::from(i32::MIN), i64::from(i32::MAX), i64::MIN, i64::MAX];
        if let Some(bound) = told(keyword).filter(|bound| !ends.contains(bound)) {
            outside.push(json!(bound + step));
            inside.push(json!(bound));
        }
    }
    if let Some(most) = told("maxLength") {
        outside.push(json!(text(most + 1)));
        inside.push(json!(text(most)));
    }
    if told("minLength").is_some_and(|least| least > 0) {
        outside.push(json!(""));
    }
    if let Some(most) = told("maxItems") {
        let entries = |number: i64| (0..number).map(|entry| format!("tool_{entry}")).collect::<Vec<_>>();
        outside.push(json!(entries(most + 1)));
        inside.push(json!(entries(most)));
    }
    if let Some(most) = schema["items"]["maxLength"].as_i64() {
        outside.push(json!([text(most + 1)]));
        inside.push(json!([text(most)]));
    }
    (outside, inside)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_outside_the_description_are_refused_by_name_and_those_inside_are_not() {
    let settings = Settings::at(&Place::sqlite()).toml("[policy]\nmax_keys = \"unlimited\"");
    let server = TestServer::start(settings).await;
    let operator = server.operator();
    let account = operator.me().await.success()["account"]["id"].as_str().unwrap().to_owned();
    let key = operator.create_key(json!({"name": "k"})).await.success()["id"].as_str().unwrap().to_owned();
    let document = orqen::service::openapi().unwrap();
    let mut tried = 0;
    for (path, verbs) in document["paths"].as_object().unwrap() {
        let route = path.replace("{key_id}", &key).replace("{account_id}", &account);
        for (verb, operation) in verbs.as_object().unwrap() {
            let verb: http::Method = verb.to_ascii_uppercase().parse().unwrap();
            let by_operator = operation["security"][0]["key"][0] == "operator";
            let rest = if by_operator { operator.jwt_rest() } else { operator.rest() };
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            for (name, member) in schema["properties"].as_object().into_iter().flatten() {
                let (outside, inside) = around(member);
                for (value, fits) in
                    outside.iter().map(|v| (v, false)).chain(inside.iter().map(|v| (v, true)))
                {
                    let mut body = json!({name: value});
                    for required in schema["required"].as_array().into_iter().flatten() {
                        let unique = format!("n{tried}");
                        body.as_object_mut()
                            .unwrap()
                            .entry(required.as_str().unwrap())
                            .or_insert(json!(unique));
                    }
                    let answer = rest.send(verb.clone(), &route, body.to_string()).await;
                    judge(&answer, fits, name, &format!("{verb} {path} {value:.80}"));
                    tried += 1;
                }
            }
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                let (outside, inside) = around(&parameter["schema"]);
                if parameter["in"] != "query" {
                    continue;
                }
                for (value, fits) in
                    outside.iter().map(|v| (v, false)).chain(inside.iter().map(|v| (v, true)))
                {
                    let answer = rest.send(verb.clone(), &format!("{route}?{name}={value}"), "").await;
                    judge(&answer, fits, name, &format!("{verb} {path} {value}"));
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 100, "{tried}");
    server.stop().await;
}

/// A value that does not fit is refused and named; one that does may be refused for other reasons.
fn judge(answer: &Answer, fits: bool, name: &str, what: &str) {
    if fits {
        assert_ne!(answer.status, 400, "{what}: {answer:?}");
    } else {
        let error = answer.refused(400, "invalid_request_error");
        let param = error["param"].as_str().unwrap_or_default();
        assert!(param == name || param.starts_with(&format!("{name}[")), "{what}: {param}");
    }
}
