//! REST says what gRPC says: each case is told to the server once through every door that its method has, each time
//! about a fresh key, and the answers, successes and errors alike, must be the same but for ids and secrets.
//!
//! The clock stands still, so that times are the same without being left out of the comparison.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use http::Method as Verb;
use orqen::clock::ManualClock;
use prost_reflect::{DynamicMessage, ReflectMessage};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    actors::{Caller, Operator},
    grpc::Grpc,
    grpc_web::GrpcWeb,
    rest::{Answer, Rest},
    server::{Settings, TestServer},
    stores::Place,
    surface::{Door, Method, Route, header_of, method, methods},
    told::Told,
    transcode,
};

mod cases;

use cases::{Case, Turn, cases};

/// An answer, in REST's form.
type Outcome = Result<Value, Told>;

#[tokio::test(flavor = "multi_thread")]
async fn rest_answers_what_grpc_answers() {
    let clock = Arc::new(ManualClock::at("2026-03-14T09:26:53.589793Z".parse().unwrap()));
    // On SQLite alone: between the two forms of an answer lies no database.
    let server = TestServer::start(Settings::at(&Place::sqlite()).clock(&clock)).await;
    let operator = server.operator();
    // From here on it says when it was last used, to every door the same.
    while operator.me().await.success()["key"]["last_used_at"].is_null() {
        tokio::task::yield_now().await;
    }
    let me = operator.me().await.success();
    let known = [&me["account"]["id"], &me["key"]["id"]].map(|id| id.as_str().unwrap().to_owned());
    let request = recorded_request(&operator).await;
    for case in cases() {
        let method = method(case.method);
        let mut outcomes = Vec::new();
        for door in method.doors() {
            let turn = prepared(&operator, &known, &request).await;
            let outcome = asked(&operator, &case, &method, &door, &turn).await;
            outcomes.push((door, normal(outcome, &turn)));
        }
        let expected = &outcomes[0].1;
        assert_eq!(expected.is_ok(), case.succeeds, "{} ({}): {expected:?}", case.method, case.what);
        for (door, outcome) in &outcomes {
            assert_eq!(outcome, expected, "{} ({}) through {door:?}", case.method, case.what);
        }
    }
    server.stop().await;
}

#[test]
fn every_method_with_a_route_has_a_case_that_succeeds_and_one_that_fails() {
    let bound = methods().into_iter().filter(|method| !method.routes.is_empty()).map(|method| method.name());
    let bound: BTreeSet<String> = bound.filter(|name| name != cases::RAW).collect();
    let of = |succeeds: bool| -> BTreeSet<String> {
        cases().iter().filter(|case| case.succeeds == succeeds).map(|case| case.method.to_owned()).collect()
    };
    assert_eq!(of(true), bound);
    // What takes nothing cannot be asked wrongly.
    let empty = |name: &String| method(name).descriptor.input().fields().len() == 0;
    assert_eq!(of(false), bound.into_iter().filter(|name| !empty(name)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn raw_chat_says_the_same_bytes_over_rest_and_grpc() {
    let clock = Arc::new(ManualClock::at("2026-03-14T09:26:53Z".parse().unwrap()));
    let settings = Settings::at(&Place::sqlite()).clock(&clock);
    let server = TestServer::start(settings).await;
    let operator = server.operator();
    for stream in [false, true] {
        let body = json!({
            "model": "orqen/demo",
            "stream": stream,
            "messages": [{"role": "user", "content": "Say something"}],
        });
        let over_rest = operator.chat(body.clone()).await;
        assert_eq!(over_rest.status, 200);
        let sent = orqen::proto::google::api::HttpBody {
            content_type: "application/json".into(),
            data: body.to_string().into(),
            extensions: Vec::new(),
        };
        let mut pieces = operator.grpc().chat().create_raw_chat_completion(sent).await.unwrap().into_inner();
        let (mut over_grpc, mut content_type) = (Vec::new(), String::new());
        while let Some(piece) = pieces.message().await.unwrap() {
            content_type.push_str(&piece.content_type);
            over_grpc.extend_from_slice(&piece.data);
        }
        assert_eq!(content_type, over_rest.header("content-type"));
        let without_id = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            let at = text.find("chatcmpl-").unwrap() + "chatcmpl-".len();
            let id: String = text[at..].chars().take_while(|letter| *letter != '"').collect();
            text.replace(&id, "…")
        };
        assert_eq!(without_id(&over_grpc), without_id(&over_rest.body));
    }
    server.stop().await;
}

/// The id of a chat request whose record can be read.
async fn recorded_request(operator: &Operator) -> String {
    let answer =
        operator.chat(json!({"model": "orqen/demo", "messages": [{"role": "user", "content": "x"}]})).await;
    let id = answer.header("x-request-id").to_owned();
    while operator.rest().get(&format!("/v1/requests/{id}")).await.status != 200 {
        tokio::task::yield_now().await;
    }
    id
}

/// A fresh key to ask about, and names that nothing has yet.
async fn prepared(operator: &Operator, [account, own]: &[String; 2], request: &str) -> Turn {
    let body =
        json!({"name": "subject", "allowed_tools": ["github_*", "slack_send"], "denied_tools": ["rm"]});
    let issued = operator.create_key(body).await.success();
    let text = |member: &str| issued[member].as_str().unwrap().to_owned();
    let name = format!("fresh-{}", Uuid::now_v7());
    Turn {
        id: text("id"),
        prefix: text("key_prefix"),
        account: account.clone(),
        own: own.clone(),
        request: request.to_owned(),
        name,
    }
}

async fn asked(operator: &Operator, case: &Case, method: &Method, door: &Door, turn: &Turn) -> Outcome {
    let (rest, grpc): (&Rest, &Grpc) = match case.as_operator {
        true => (operator.jwt_rest(), operator.jwt_grpc()),
        false => (operator.rest(), operator.grpc()),
    };
    let encoded = Bytes::from((case.message)(turn));
    let body = method.routes[0].response_body.as_deref();
    let decoded = |bytes: Bytes| {
        let message = DynamicMessage::decode(method.descriptor.output(), bytes).unwrap();
        transcode::answer(&message, body)
    };
    match door {
        Door::Grpc => {
            grpc.call(&method.path(), encoded).await.map(decoded).map_err(|status| Told::by_grpc(&status))
        }
        Door::GrpcWeb => {
            let answer = GrpcWeb::new(rest).call(&method.path(), encoded).await;
            answer.map(decoded).map_err(|status| Told::by_grpc(&status))
        }
        Door::Rest(route) => {
            let message = DynamicMessage::decode(method.descriptor.input(), encoded).unwrap();
            let answer = over_rest(rest, route, &message).await;
            if answer.status == 200 { Ok(answer.json()) } else { Err(Told::by_rest(&answer)) }
        }
    }
}

/// The message as the route wants it: in path, headers and body, or in path, headers and query.
async fn over_rest(rest: &Rest, route: &Route, message: &DynamicMessage) -> Answer {
    let variable = route.path.find('{').map(|at| {
        let name = route.path[at + 1..].split('}').next().unwrap();
        (name.to_owned(), message.get_field_by_name(name).unwrap().as_str().unwrap().to_owned())
    });
    let (less, id) = variable.unzip();
    let mut less: Vec<String> = less.into_iter().collect();
    let mut rest = rest.clone();
    for field in message.descriptor().fields() {
        let Some(header) = header_of(&field) else { continue };
        less.push(field.name().to_owned());
        if message.has_field(&field) {
            let value = message.get_field(&field);
            let text = match header.as_str() {
                "if-match" => format!("\"{}\"", value.as_i64().unwrap()),
                _ => value.as_str().unwrap().to_owned(),
            };
            rest = rest.with(header, &text);
        }
    }
    let mut path = route.filled(&id.unwrap_or_default());
    if let Some(field) = &route.body_field {
        let carrier = message.get_field_by_name(field).unwrap();
        let data = carrier.as_message().unwrap().get_field_by_name("data").unwrap();
        return rest.send(route.verb.clone(), &path, data.as_bytes().unwrap().clone()).await;
    }
    let members = transcode::request(message, &less);
    if route.has_body {
        return rest.send(route.verb.clone(), &path, members.to_string()).await;
    }
    assert!(matches!(route.verb, Verb::GET | Verb::DELETE));
    for (at, (name, value)) in members.as_object().unwrap().iter().enumerate() {
        let separator = if at == 0 { '?' } else { '&' };
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        path.push_str(&format!("{separator}{name}={value}"));
    }
    rest.send(route.verb.clone(), &path, "").await
}

/// The outcome less what differs from turn to turn.
fn normal(outcome: Outcome, turn: &Turn) -> Outcome {
    let outcome = outcome.map(|mut value| {
        fresh(&mut value);
        value
    });
    // The token of a page is the id of its last key, without the hyphens.
    let token = turn.id.replace('-', "");
    let texts = [turn.id.as_str(), &token, &turn.prefix, &turn.name];
    match outcome {
        Ok(value) => {
            let mut text = value.to_string();
            for one in texts {
                text = text.replace(one, "…");
            }
            Ok(serde_json::from_str(&text).unwrap())
        }
        Err(told) => Err(told.less(&texts)),
    }
}

/// Replaces what was made in this call: a secret, its prefix, and the id of what has just come to be.
fn fresh(value: &mut Value) {
    let Some(members) = value.as_object_mut() else { return };
    let issued = members.contains_key("key_prefix") && members.contains_key("key");
    if issued {
        let secret = members["key"].as_str().unwrap();
        assert!(secret.starts_with(members["key_prefix"].as_str().unwrap()));
        assert_eq!(members["generations"][0]["key_prefix"], members["key_prefix"]);
        members["generations"][0]["key_prefix"] = json!("…");
        for member in ["key", "key_prefix"] {
            members[member] = json!("…");
        }
    }
    if let Some(token) = members.get_mut("token") {
        assert_eq!(token.as_str().unwrap().split('.').count(), 3);
        *token = json!("…");
    }
    if issued || members.contains_key("policy") {
        assert!(Uuid::parse_str(members["id"].as_str().unwrap()).is_ok());
        members["id"] = json!("…");
    }
}
