//! Descriptors that cannot be served stop the start, by name.

use serde_json::{Value, json};

use super::{Scripted, field, made_up, method, options};
use crate::{proto::POOL, rest::Transcoder};

fn problem_of(methods: Value) -> String {
    let messages = json!([
        {"name": "M", "field": [
            field("id", 1, "TYPE_STRING"), field("list", 2, "*TYPE_STRING"), field("at", 3, ".google.protobuf.Timestamp"),
        ]},
        {"name": "Masked", "field": [field("update_mask", 1, ".google.protobuf.FieldMask")]},
        {"name": "Carrier", "field": [field("bytes", 1, ".google.api.HttpBody")]},
        {"name": "Odd", "field": [field("inner", 1, ".test.Odd2")]},
        {"name": "Odd2", "field": [field("again", 1, ".test.Odd"), field("any", 2, "*.google.protobuf.Any")]},
    ]);
    let backend = std::sync::Arc::new(Scripted::default());
    match Transcoder::new(&made_up(messages, methods), options("test"), backend) {
        Ok(_) => "none".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn problem_of_rule(rule: Value) -> String {
    problem_of(json!([method("Call", ".test.M", ".test.M", rule)]))
}

#[test]
fn malformed_rules_are_refused_by_name() {
    for (rule, problem) in [
        (json!({"get": "/t/{id}"}), "none"),
        (json!({"get": "/t/{at}"}), "none"),
        (
            json!({"get": "t"}),
            "test.Test.Call: malformed `google.api.http` rule: t: it does not start with `/`",
        ),
        (json!({"get": "/t/"}), "no literal segment"),
        (json!({"get": "/t/{id=keys/*}"}), "`{id=keys` is no literal segment"),
        (json!({"get": "/t/{id}:cancel"}), "`{id}:cancel` is no literal segment"),
        (json!({"get": "/t/*"}), "`*` is no literal segment"),
        (json!({"get": "/t/{}"}), "no variable"),
        (json!({"get": "/t/{id.x}"}), "no variable"),
        (json!({"get": "/t/{id}/{id}"}), "the variable `id` is there twice"),
        (json!({"get": "/t/{nope}"}), "`nope` is no field"),
        (
            json!({"get": "/t/{list}"}),
            "`list` is no field of the message, or not one that this place can hold",
        ),
        (json!({"post": "/t", "body": "nope"}), "`nope` is no field"),
        (json!({"post": "/t/{id}", "body": "id"}), "`id` is no field"),
        (json!({"get": "/t", "responseBody": "nope"}), "`nope` is no field"),
        (json!({"custom": {"kind": "HEAD", "path": "/t"}}), "none of get, put"),
        (json!({}), "none of get, put"),
        (
            json!({"get": "/t", "additionalBindings": [{"get": "/u", "additionalBindings": [{"get": "/v"}]}]}),
            "within",
        ),
        (
            json!({"get": "/t", "additionalBindings": [{"get": "/t"}]}),
            "GET /t is already bound to test.Test.Call",
        ),
        (
            json!({"get": "/t/{id}/x", "additionalBindings": [{"get": "/t/{at}/x"}]}),
            "GET /t/{at}/x is already bound to test.Test.Call",
        ),
    ] {
        let found = problem_of_rule(rule.clone());
        assert!(found.contains(problem), "{rule}: {found}");
    }
}

#[test]
fn methods_without_their_options_are_refused_by_name() {
    let call = |options: Value| {
        problem_of(
            json!([{"name": "Call", "inputType": ".test.M", "outputType": ".test.M", "options": options}]),
        )
    };
    assert_eq!(call(json!({})), "test.Test.Call: lacks the option `(orqen.v1.access)`");
    assert!(call(json!({"[google.api.http]": {"get": "/t"}})).contains("lacks the option"));
    let neither = call(json!({"[orqen.v1.access]": {"requires": 1}}));
    assert_eq!(neither, "test.Test.Call: has neither a `google.api.http` rule nor `grpc_only`");
    assert_eq!(call(json!({"[orqen.v1.access]": {"grpc_only": true}})), "none");
    let both = call(json!({"[orqen.v1.access]": {"grpcOnly": true}, "[google.api.http]": {"get": "/t"}}));
    assert_eq!(both, "test.Test.Call: has a `google.api.http` rule and is `grpc_only`");
}

#[test]
fn types_and_streams_without_json_are_refused() {
    let odd = problem_of(json!([method("Call", ".test.M", ".test.Odd", json!({"get": "/t"}))]));
    assert_eq!(odd, "test.Test.Call: `inner.any (google.protobuf.Any)` has no JSON form");
    let masked = problem_of(json!([method("Call", ".test.Masked", ".test.M", json!({"get": "/t"}))]));
    assert!(masked.contains("update_mask is made from the body's members"), "{masked}");
    let out = problem_of(json!([method("Call", ".test.M", ".test.Masked", json!({"get": "/t"}))]));
    assert!(out.contains("`update_mask (google.protobuf.FieldMask)` has no JSON form"), "{out}");

    let mut stream = method("Call", ".test.M", ".test.M", json!({"get": "/t"}));
    stream["serverStreaming"] = json!(true);
    assert!(problem_of(json!([stream])).contains("a stream of messages has no JSON form"));

    let body = ".google.api.HttpBody";
    let half = problem_of(json!([method("Call", body, ".test.M", json!({"post": "/t", "body": "*"}))]));
    assert!(half.contains("HttpBody must be both"), "{half}");
    let out = problem_of(json!([method("Call", ".test.M", ".test.Carrier", json!({"get": "/t"}))]));
    assert_eq!(out, "test.Test.Call: `bytes (google.api.HttpBody)` has no JSON form");
    for (rule, problem) in [
        (json!({"post": "/t", "body": "bytes"}), "none"),
        (
            json!({"post": "/t", "body": "*"}),
            "test.Test.Call: `bytes (google.api.HttpBody)` has no JSON form",
        ),
        (json!({"get": "/t"}), "test.Test.Call: `bytes (google.api.HttpBody)` has no JSON form"),
    ] {
        assert_eq!(problem_of(json!([method("Call", ".test.Carrier", ".test.M", rule)])), problem);
    }
    let get = problem_of(json!([method("Call", body, body, json!({"get": "/t"}))]));
    assert!(get.contains("HttpBody needs body: \"*\""), "{get}");
    assert_eq!(problem_of(json!([method("Call", body, body, json!({"post": "/t", "body": "*"}))])), "none");
}

#[test]
fn names_that_are_not_in_the_pool_are_refused() {
    for (package, access, header, missing) in [
        ("nope.v1", "orqen.v1.access", "orqen.v1.header", "nope.v1"),
        ("orqen.v1", "a.b", "orqen.v1.header", "a.b"),
        ("orqen.v1", "orqen.v1.access", "a.b", "a.b"),
    ] {
        let (access_option, header_option) = (access.to_owned(), header.to_owned());
        let names = crate::rest::Names { access_option, header_option, ..super::names(package) };
        let options = super::Options { names, ..options(package) };
        let error = Transcoder::new(&POOL, options, std::sync::Arc::new(Scripted::default())).err().unwrap();
        assert_eq!(error.to_string(), format!("{missing}: is not in the descriptor pool"));
    }
}

#[test]
fn headers_that_carry_nothing_are_refused_by_name() {
    for (kind, optional, header, problem) in [
        ("TYPE_INT64", true, "If-Match", "none"),
        ("TYPE_STRING", false, "Idempotency-Key", "none"),
        ("TYPE_INT64", false, "If-Match", "`*` leaves it unset"),
        ("TYPE_INT64", true, "If Match", "no header's name"),
        ("TYPE_INT64", true, "", "no header's name"),
        ("*TYPE_INT64", false, "X-List", "one number or text"),
        (".google.protobuf.Timestamp", false, "X-Time", "one number or text"),
    ] {
        let mut carried = field("carried", 1, kind);
        carried["options"] = json!({"[orqen.v1.header]": header});
        if optional {
            carried["proto3Optional"] = json!(true);
            carried["oneofIndex"] = json!(0);
        }
        let oneofs = if optional { json!([{"name": "_carried"}]) } else { json!([]) };
        let messages = json!([{"name": "M", "field": [carried], "oneofDecl": oneofs}]);
        let methods = json!([method("Call", ".test.M", ".test.M", json!({"get": "/t"}))]);
        let backend = std::sync::Arc::new(Scripted::default());
        let found = match Transcoder::new(&made_up(messages, methods), options("test"), backend) {
            Ok(_) => "none".to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(found.contains(problem), "{header}: {found}");
    }
}
