//! Fields of the wrong type, unknown fields, and values out of bounds: each is named, at every route, in body and query.

use prost_reflect::{FieldDescriptor, Kind};
use serde_json::{Value, json};

use crate::{
    bad_input::{World, body_routes, is_raw, refused},
    support::{actors::Caller, surface::methods},
};

/// Values that a field of this kind does not take.
fn wrong(field: &FieldDescriptor) -> Vec<Value> {
    let any = |more: &[Value]| [&[json!(true), json!({"a": 1}), json!([[]])], more].concat();
    match field.kind() {
        Kind::String => any(&[json!(1), json!(["x"]), json!(1.5)]),
        Kind::Int32 | Kind::Int64 => any(&[
            json!("1"),
            json!(""),
            json!(1.5),
            json!([1]),
            json!(9_223_372_036_854_775_808_u64),
            json!(-1e300),
            json!("unlimited"),
        ]),
        Kind::Bool => vec![json!("true"), json!(1), json!(0), json!([true]), json!({})],
        Kind::Enum(_) => any(&[json!("nope"), json!(1), json!(""), json!("FILTER"), json!(["filter"])]),
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => any(&[
                json!(1_900_000_000),
                json!("tomorrow"),
                json!("2030-01-01"),
                json!("2030-01-01T00:00:00"),
                json!("2030-13-01T00:00:00Z"),
                json!("2030-02-30T00:00:00Z"),
                json!("12030-01-01T00:00:00Z"),
                json!({"seconds": 1}),
            ]),
            "orqen.v1.StringList" => {
                any(&[json!("a"), json!(1), json!([1]), json!([null]), json!({"values": []})])
            }
            "orqen.v1.ScopeList" => {
                any(&[json!("chat"), json!([1]), json!(["root"]), json!(["CHAT"]), json!([null])])
            }
            other => panic!("say what {other} does not take"),
        },
        other => panic!("say what {other:?} does not take"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_every_body_refuses_the_wrong_types_by_name() {
    let world = World::new().await;
    for (method, route) in body_routes() {
        if is_raw(&method) {
            continue;
        }
        let path = route.filled(&world.subject(&method).await);
        let input = method.descriptor.input();
        let in_body = |field: &FieldDescriptor| {
            field.name() != "update_mask" && !route.path.contains(&format!("{{{}}}", field.name()))
        };
        for field in input.fields().filter(in_body) {
            for value in wrong(&field) {
                let mut body = json!({field.name(): value});
                if field.name() != "name" && input.get_field_by_name("name").is_some() {
                    body["name"] = json!("would be fine");
                }
                let answer = world.rest(&method).send(route.verb.clone(), &path, body.to_string()).await;
                let what = format!("{} {path}: {body}", route.verb);
                let error = refused(&answer, 400, "invalid_request_error", &what);
                let param = error["param"].as_str().unwrap();
                let at = param.strip_prefix(field.name()).unwrap_or_else(|| panic!("{what}: {error}"));
                assert!(at.is_empty() || at.starts_with(['[', '.']), "{what}: {error}");
            }
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_field_is_refused_by_name_in_every_body_and_query() {
    let world = World::new().await;
    for method in methods().iter().filter(|method| !is_raw(method)) {
        for route in &method.routes {
            let path = route.filled(&world.subject(method).await);
            let attempts = match route.has_body {
                true => vec![
                    (path.clone(), "{\"colour\": null}", "colour"),
                    (path.clone(), "{\"update_mask\": {\"paths\": []}}", "update_mask"),
                    (path.clone(), "{\"updateMask\": \"name\"}", "updateMask"),
                    (format!("{path}?colour=red"), "{}", "colour"),
                ],
                false => vec![
                    (format!("{path}?colour=red"), "", "colour"),
                    (format!("{path}?page_size.x=1"), "", "page_size.x"),
                    (format!("{path}?key_id=other"), "", "key_id"),
                ],
            };
            for (path, body, param) in attempts {
                let answer = world.rest(method).send(route.verb.clone(), &path, body).await;
                let error =
                    refused(&answer, 400, "invalid_request_error", &format!("{} {path} {body}", route.verb));
                assert_eq!(error["param"], param, "{} {path} {body}: {error}", route.verb);
            }
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_wrong_type_and_fields_out_of_bounds_are_told_in_one_answer() {
    let world = World::new().await;
    let (operator, id) = (&world.operator, &world.id);
    let create = json!({
        "name": "", "colour": "red", "toolMode": 1, "expires_at": "2001-01-01T00:00:00Z",
        "scopes": ["root"], "rate_limit_rpm": 0, "allowed_tools": ["a", ""], "denied_tools": [7],
    });
    let every = [
        "colour",
        "toolMode",
        "scopes[0]",
        "denied_tools[0]",
        "name",
        "expires_at",
        "rate_limit_rpm",
        "allowed_tools[1]",
    ];
    for (answer, fields) in [
        (operator.create_key(create).await, &every[..]),
        (operator.update_key(id, json!({"disabled": "no", "name": " "})).await, &["disabled", "name"]),
        (
            operator.set_toollist(id, json!({"denied_tools": 1, "allowed_tools": [""]})).await,
            &["denied_tools", "allowed_tools[0]"],
        ),
        (operator.rotate_key(id, json!({"overlap_seconds": -1, "x": 1})).await, &["x", "overlap_seconds"]),
        (
            operator.delegate_key(id, json!({"expires_in_seconds": 0, "scopes": [], "x": 1})).await,
            &["x", "expires_in_seconds", "scopes"],
        ),
        (operator.jwt_rest().post("/v1/accounts", &json!({"name": "", "x": 1})).await, &["x", "name"]),
        (operator.list_keys("?page_size=0&include_revoked=maybe").await, &["include_revoked", "page_size"]),
        (
            operator.rest().get("/v1/requests?page_size=0&status=7&since=yesterday&key_id=x").await,
            &["since", "page_size", "key_id", "status"],
        ),
        (
            operator.rest().get("/v1/usage/by-key?page_token=AAAA&first_day=today&x=1").await,
            &["x", "first_day", "page_token"],
        ),
        (operator.rest().get("/v1/usage/daily?last_day=now&x=1").await, &["x", "last_day"]),
        (operator.jwt_rest().get("/v1/accounts?page_size=0&x=1").await, &["x", "page_size"]),
    ] {
        let error = refused(&answer, 400, "invalid_request_error", fields[0]);
        let message = error["message"].as_str().unwrap();
        for field in fields {
            assert!(message.contains(&format!("{field}: ")), "{field}: {message}");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_no_and_of_too_many_characters_are_refused() {
    let world = World::new().await;
    let id = world.id.clone();
    let operator = &world.operator;
    for name in ["", " \t ", &"x".repeat(129), &"\u{e9}".repeat(10_000), "a\nb", "a\u{85}b", "a\u{0}b"] {
        for answer in [
            operator.create_key(json!({"name": name})).await,
            operator.update_key(&id, json!({"name": name})).await,
            operator.create_account(name).await,
        ] {
            let error = refused(&answer, 400, "invalid_request_error", name);
            assert_eq!(error["param"], "name");
            assert!(answer.body.len() < 1000, "a long name is not repeated at length: {error}");
        }
    }
    let longest = "\u{1f4da}".repeat(128);
    let renamed = operator.update_key(&id, json!({"name": format!("  {longest} ")})).await.success();
    assert_eq!(renamed["name"], longest);
    // Put back, as `end` will look.
    assert_eq!(world.before["keys"]["keys"][0]["name"], "subject");
    assert_eq!(renamed["revision"], 2);
    world.server.stop().await;
}
