//! Every kind of field that proto3 has, in bodies, queries and answers: what our own messages do not use yet
//! must not be found out to be broken by the first that does.

use prost_reflect::DynamicMessage;
use serde_json::json;

use super::{Rest, field, method};

/// A message with every kind of field, and the methods that take and give it.
fn kinds() -> Rest {
    let map = json!({"name": "CountsEntry", "options": {"mapEntry": true}, "field": [
        field("key", 1, "TYPE_INT32"), field("value", 2, "TYPE_BOOL"),
    ]});
    let in_oneof = |name: &str, number: u32| {
        let mut one = field(name, number, "TYPE_STRING");
        one["oneofIndex"] = json!(0);
        one
    };
    Rest::made_up(
        json!([{"name": "K", "nestedType": [map], "oneofDecl": [{"name": "choice"}], "field": [
            field("id", 1, "TYPE_STRING"), field("child", 2, ".test.K"), field("children", 3, "*.test.K"),
            field("ratio", 4, "TYPE_DOUBLE"), field("part", 5, "TYPE_FLOAT"), field("data", 6, "TYPE_BYTES"),
            field("counts", 7, "*.test.K.CountsEntry"), in_oneof("left", 8), in_oneof("right", 9),
            field("any", 10, ".google.protobuf.Value"), field("object", 11, ".google.protobuf.Struct"),
            field("list", 12, ".google.protobuf.ListValue"), field("at", 13, ".google.protobuf.Timestamp"),
            field("tags", 14, "*TYPE_STRING"), field("small", 15, "TYPE_UINT32"), field("large", 16, "TYPE_FIXED64"),
        ]}]),
        json!([
            method("Put", ".test.K", ".test.K", json!({"post": "/k", "body": "*"})),
            method("Get", ".test.K", ".test.K", json!({"get": "/k"})),
            method("PutChild", ".test.K", ".test.K", json!({"post": "/k/{id}", "body": "child"})),
        ]),
    )
}

/// What the last call carried, given back as an answer.
async fn echoed(rest: &Rest) -> serde_json::Value {
    let bytes = rest.backend.calls.lock().unwrap().last().unwrap().1.clone();
    let of = rest.transcoder.bindings()[0].method.descriptor.input();
    rest.answers(&DynamicMessage::decode(of, bytes).unwrap());
    serde_json::from_str(&rest.json("POST", "/k", "{}").await.text).unwrap()
}

#[tokio::test]
async fn every_kind_of_field_is_taken_and_given() {
    let rest = kinds();
    let body = json!({
        "id": "a", "child": {"id": "b", "children": []}, "children": [{"id": "c"}, {}], "ratio": 0.1, "part": 1.5,
        "data": "AP/+", "counts": {"10": true, "-1": false}, "right": "r",
        "any": [null, 1, "x", {"a": [true]}], "object": {"b": {"c": null}, "a": -2.5}, "list": [null, [], {}],
        "at": "2026-01-31T12:00:00.000001Z", "tags": ["x"], "small": 4_294_967_295_u32, "large": u64::MAX,
    });
    let answer = rest.json("POST", "/k", body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let back = echoed(&rest).await;
    for (name, value) in body.as_object().unwrap() {
        match name.as_str() {
            "child" => assert_eq!(back["child"]["id"], "b"),
            "children" => assert_eq!(back["children"][0]["id"], "c"),
            _ => assert_eq!(&back[name], value, "{name}"),
        }
    }
    assert_eq!(
        (&back["left"], &back["child"]["child"], &back["child"]["tags"]),
        (&json!(null), &json!(null), &json!([]))
    );
}

#[tokio::test]
async fn wrong_nested_values_are_named_by_path() {
    let rest = kinds();
    for (body, field, message) in [
        (r#"{"child":{"children":[{},{"ratio":"x"}]}}"#, "child.children[1].ratio", "expected a number"),
        (r#"{"child":{"nope":1}}"#, "child.nope", "there is no such member"),
        (r#"{"child":[]}"#, "child", "expected an object, got an array"),
        (r#"{"children":[null]}"#, "children[0]", "null cannot stand here"),
        (r#"{"ratio":1e400}"#, "ratio", "within the range"),
        (r#"{"part":1e39}"#, "part", "within the range"),
        (r#"{"data":"a"}"#, "data", "expected base64"),
        (r#"{"data":"a b="}"#, "data", "expected base64"),
        (r#"{"counts":{"x":true}}"#, "counts.x", "expected a number, got \"x\""),
        (r#"{"counts":{"1":null}}"#, "counts.1", "null cannot stand here"),
        (r#"{"counts":{"1":true,"01":true}}"#, "counts.01", "the key is given more than once"),
        (r#"{"left":"a","right":"b"}"#, "right", "it cannot stand beside `left`"),
        (r#"{"any":{"a":1e400}}"#, "any.a", "within the range"),
        (r#"{"any":{"a":"\udc00"}}"#, "any.a", "surrogate"),
        (r#"{"object":{"\udc00":1}}"#, "object.\"\u{fffd}\"", "surrogate"),
        (r#"{"small":-1}"#, "small", "from 0 to 4294967295, got -1"),
        (r#"{"large":18446744073709551616}"#, "large", "from 0 to 18446744073709551615"),
    ] {
        assert_eq!(rest.json("POST", "/k", body).await.status, 400, "{body}");
        let (named, said) = rest.fields_refused().remove(0);
        assert_eq!(named, field);
        assert!(said.contains(message), "{body}: {said}");
    }
    let nested = format!(r#"{{"any":{}{}}}"#, "[".repeat(120), "]".repeat(120));
    assert_eq!(rest.json("POST", "/k", nested).await.status, 400);
    assert!(rest.fields_refused()[0].1.contains("messages lie more than 100 deep"));
    let nested = format!(r#"{{"any":{}{}}}"#, "[".repeat(50), "]".repeat(50));
    assert_eq!(rest.json("POST", "/k", nested).await.status, 200);
    assert!(echoed(&rest).await["any"][0][0].is_array());
}

#[tokio::test]
async fn query_reaches_nested_and_repeated_fields() {
    let rest = kinds();
    let uri =
        "/k?child.id=x&child.child.ratio=-2.5e1&tags=a&tags=b&at=2026-01-01T00:00:00Z&child.tags=c&data=AA==";
    assert_eq!(rest.get(uri).await.status, 200);
    let back = echoed(&rest).await;
    assert_eq!(back["child"]["child"]["ratio"], -25);
    assert_eq!((&back["tags"], &back["child"]["tags"]), (&json!(["a", "b"]), &json!(["c"])));
    assert_eq!((&back["at"], &back["data"]), (&json!("2026-01-01T00:00:00Z"), &json!("AA==")));
    for (query, message) in [
        ("child=1", "cannot be given in the query"),
        ("children=1", "cannot be given in the query"),
        ("counts=1", "cannot be given in the query"),
        ("object.a=1", "`object` has no fields of its own"),
        ("at.seconds=1", "`at` has no fields of its own"),
        ("children.id=1", "`children` has no fields of its own"),
        ("child.nope=1", "there is no such parameter; known are `id`"),
        ("ratio=inf", "expected a number"),
        ("ratio=NaN", "expected a number"),
        ("child.id=1&child.id=2", "given more than once"),
    ] {
        assert_eq!(rest.get(&format!("/k?{query}")).await.status, 400, "{query}");
        assert!(rest.fields_refused()[0].1.contains(message), "{query}: {:?}", rest.fields_refused());
    }
}

#[tokio::test]
async fn body_field_takes_the_body_and_the_query_the_rest() {
    let rest = kinds();
    assert_eq!(rest.json("POST", "/k/me?tags=a", r#"{"id":"b"}"#).await.status, 200);
    let back = echoed(&rest).await;
    assert_eq!(
        (&back["id"], &back["child"]["id"], &back["tags"]),
        (&json!("me"), &json!("b"), &json!(["a"]))
    );
    assert_eq!(rest.json("POST", "/k/me?child.id=x&id=y", r#"{"id":5}"#).await.status, 400);
    let named: Vec<String> = rest.fields_refused().into_iter().map(|(field, _)| field).collect();
    assert_eq!(named, ["child.id", "id", "child.id"]);
}
