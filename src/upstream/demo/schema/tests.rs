//! Arguments for schemas of every kind, hostile ones included.

use serde_json::json;

use super::*;

fn filled(schema: Value) -> Value {
    let parameters = json!({"type": "object", "properties": {"v": schema}, "required": ["v"]});
    arguments(&parameters, "weather in Paris")["v"].clone()
}

#[test]
fn what_the_schema_gives_comes_first() {
    assert_eq!(filled(json!({"type": "string", "enum": ["c", "f"], "default": "f"})), "c");
    assert_eq!(filled(json!({"const": 7})), 7);
    assert_eq!(filled(json!({"type": "string", "default": "d", "examples": ["e"]})), "d");
    assert_eq!(filled(json!({"type": "string", "examples": ["e"]})), "e");
}

#[test]
fn every_type_gets_a_value_within_its_bounds() {
    for (schema, expected) in [
        (json!({"type": "string"}), json!("weather in Paris")),
        (json!({"type": "string", "maxLength": 7}), json!("weather")),
        (json!({"type": "string", "minLength": 18}), json!("weather in Paris..")),
        (json!({"type": ["null", "integer"], "minimum": 5}), json!(5)),
        (json!({"type": "integer", "exclusiveMinimum": 5}), json!(6)),
        (json!({"type": "integer", "minimum": 5, "multipleOf": 4}), json!(8)),
        (json!({"type": "integer", "maximum": -3}), json!(-3)),
        (json!({"type": "number", "minimum": 0.5, "maximum": 0.75}), json!(0.75)),
        (json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}), json!(0.25)),
        (json!({"type": "boolean"}), json!(true)),
        (json!({"type": "null"}), json!(null)),
        (json!({"type": "array", "items": {"type": "integer"}, "minItems": 2}), json!([1, 1])),
        (
            json!({"type": "array", "items": {"type": "integer"}, "minItems": 2, "uniqueItems": true}),
            json!([1, 2]),
        ),
        (json!({"type": "array", "maxItems": 0}), json!([])),
        (json!({"anyOf": [{"type": "null"}, {"type": "integer"}]}), json!(1)),
        (json!({"allOf": [{"type": "string"}], "description": "x"}), json!("weather in Paris")),
        (json!({}), json!("weather in Paris")),
        (json!(true), json!("weather in Paris")),
    ] {
        assert_eq!(filled(schema.clone()), expected, "{schema}");
    }
}

#[test]
fn objects_have_their_required_members_and_no_more() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"$ref": "#/$defs/city"}},
        "required": ["a", "c", "unlisted"],
        "$defs": {"city": {"type": "object", "properties": {"zip": {"type": "integer"}}, "required": ["zip"]}},
    });
    let expected = json!({"a": 1, "c": {"zip": 1}, "unlisted": "hi"});
    assert_eq!(arguments(&schema, "hi"), expected);
    assert_eq!(arguments(&Value::Null, "hi"), json!({}));
    assert_eq!(arguments(&json!({"type": "string"}), "hi"), json!({}));
}

#[test]
fn schemas_that_never_end_are_bounded() {
    let circle = json!({"type": "object", "properties": {"n": {"$ref": "#"}}, "required": ["n"]});
    assert!(arguments(&circle, "hi").is_object());
    let mut bomb = json!({"type": "integer"});
    for _ in 0..12 {
        bomb = json!({"type": "array", "minItems": 1_000_000_000u64, "items": bomb});
    }
    let text = arguments(&json!({"properties": {"b": bomb}, "required": ["b"]}), "hi").to_string();
    assert!(text.len() < 100_000, "{}", text.len());
}

#[test]
fn a_huge_text_is_not_copied_a_thousand_times() {
    let huge = "x".repeat(1_000_000);
    let names: Vec<String> = (0..5_000).map(|n| format!("m{n}")).collect();
    for shared in [
        json!({"default": huge}),
        json!({"default": [huge]}),
        json!({"type": "object", "required": [huge]}),
        json!({"type": "array", "uniqueItems": true, "minItems": 9, "items": {"enum": [huge, huge]}}),
    ] {
        let properties: Map<String, Value> =
            names.iter().map(|name| (name.clone(), json!({"$ref": "#/$defs/shared"}))).collect();
        let schema = json!({"properties": properties, "required": names, "$defs": {"shared": shared}});
        let text = arguments(&schema, "hi").to_string();
        assert!(text.len() < 100_000, "{}", text.len());
    }
}
