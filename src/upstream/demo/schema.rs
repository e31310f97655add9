//! Arguments that fit a JSON schema: what the schema gives (`const`, `enum`, `default`, `examples`), else the
//! smallest value of its type, with text from the user's message.
//!
//! Not a solver: `pattern`, `not`, `if` and conditions between members are not looked at. The schema is the client's
//! and may be hostile (a thousand references to one huge default), so depth and size are bounded; beyond a bound the
//! value is `null`.

use serde_json::{Map, Number, Value, value::RawValue};

use super::words;

/// The largest schema that becomes a tree, in bytes: a hundred times a real one. A tree may take eighty times as much.
const LARGEST: usize = 256 * 1024;
const DEEPEST: usize = 16;
/// How much an answer may weigh: a value is 1, and so are each 64 bytes of a name or a given text.
const HEAVIEST: usize = 1_000;
const BYTES_A_WEIGHT: usize = 64;
/// How much of the user's text a string takes, and how long `minLength` may make it, in characters.
const TEXT: usize = 120;
const LONGEST: usize = 1_024;
const MOST_ITEMS: u64 = 16;

/// The schema in a tool's `parameters`; null when there is none, or one that is larger than is read.
pub(super) fn read(parameters: Option<&RawValue>) -> Value {
    let text = parameters.map_or("", RawValue::get);
    if text.len() > LARGEST { Value::Null } else { serde_json::from_str(text).unwrap_or_default() }
}

/// Arguments of a tool with these `parameters`; `{}` when there are none.
pub(super) fn arguments(parameters: &Value, user_text: &str) -> Value {
    let mut filler = Filler { root: parameters, text: words::cut(user_text, TEXT), left: HEAVIEST };
    match parameters {
        Value::Object(_) => match filler.value(parameters, 0) {
            object @ Value::Object(_) => object,
            _ => Value::Object(Map::new()),
        },
        _ => Value::Object(Map::new()),
    }
}

struct Filler<'a> {
    root: &'a Value,
    text: String,
    left: usize,
}

impl<'a> Filler<'a> {
    fn value(&mut self, schema: &'a Value, depth: usize) -> Value {
        if depth > DEEPEST || !self.spend(1) {
            return Value::Null;
        }
        if let Some(given) = given(schema) {
            return self.copied(given);
        }
        if let Some(target) = schema["$ref"].as_str() {
            return self.referred(target).map_or(Value::Null, |schema| self.value(schema, depth + 1));
        }
        let fields = schema.get("properties").is_some();
        if let Some(first) = alternative(schema).filter(|_| !fields) {
            return self.value(first, depth + 1);
        }
        let parts: Vec<&'a Value> = schema["allOf"].as_array().into_iter().flatten().take(DEEPEST).collect();
        match kind(schema, fields || !parts.is_empty()) {
            "object" => self.object(schema, &parts, depth),
            "array" => self.array(schema, depth),
            "integer" => number(schema, true),
            "number" => number(schema, false),
            "boolean" => Value::Bool(true),
            "null" => Value::Null,
            _ => Value::String(self.string(schema)),
        }
    }

    /// Takes from what is left; once something was too heavy nothing is left for anything else, which bounds the
    /// work as well as the answer.
    fn spend(&mut self, weight: usize) -> bool {
        let enough = weight <= self.left;
        self.left = if enough { self.left - weight } else { 0 };
        enough
    }

    fn copied(&mut self, given: &Value) -> Value {
        let affordable = self.left > 0 && self.spend(weight(given));
        if affordable { given.clone() } else { Value::Null }
    }

    /// The required members, and as many others as `minProperties` wants; those of `allOf` come first.
    fn object(&mut self, schema: &'a Value, parts: &[&'a Value], depth: usize) -> Value {
        let mut object = Map::new();
        for part in parts {
            match self.value(part, depth + 1) {
                Value::Object(members) => object.extend(members),
                // `allOf` round a type that is no object.
                other if schema.get("properties").is_none() => return other,
                _ => {}
            }
        }
        let properties = schema["properties"].as_object().into_iter().flatten();
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for name in required {
            if !self.spend(1 + name.len() / BYTES_A_WEIGHT) {
                break;
            }
            let member = schema["properties"].get(name).unwrap_or(&schema["additionalProperties"]);
            let value = self.value(member, depth + 1);
            object.insert(name.to_owned(), value);
        }
        let least = schema["minProperties"].as_u64().unwrap_or(0).min(MOST_ITEMS) as usize;
        let missing = least.saturating_sub(object.len());
        let more: Vec<_> = properties.filter(|(name, _)| !object.contains_key(*name)).take(missing).collect();
        for (name, member) in more {
            if self.spend(1 + name.len() / BYTES_A_WEIGHT) {
                object.insert(name.clone(), self.value(member, depth + 1));
            }
        }
        Value::Object(object)
    }

    /// At least one item, where `maxItems` has room for it: an empty list shows little.
    fn array(&mut self, schema: &'a Value, depth: usize) -> Value {
        let most = schema["maxItems"].as_u64().unwrap_or(MOST_ITEMS);
        let count = schema["minItems"].as_u64().unwrap_or(1).max(1).min(most).min(MOST_ITEMS);
        let unique = schema["uniqueItems"] == true;
        let mut items: Vec<Value> = Vec::new();
        for index in 0..count as usize {
            let item = schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
            let value = match item["enum"].as_array() {
                Some(values) if unique => values.get(index).map_or(Value::Null, |value| self.copied(value)),
                _ => self.value(item, depth + 1),
            };
            let seen = unique && items.contains(&value);
            items.push(if seen { distinct(value, index) } else { value });
        }
        Value::Array(items)
    }

    fn string(&self, schema: &Value) -> String {
        let fixed = match schema["format"].as_str() {
            Some("date-time") => Some("2025-01-01T00:00:00Z"),
            Some("date") => Some("2025-01-01"),
            Some("time") => Some("00:00:00Z"),
            Some("duration") => Some("PT1H"),
            Some("email" | "idn-email") => Some("user@example.com"),
            Some("uri" | "url" | "iri" | "uri-reference") => Some("https://example.com/"),
            Some("uuid") => Some("00000000-0000-4000-8000-000000000000"),
            Some("hostname" | "idn-hostname") => Some("example.com"),
            Some("ipv4") => Some("192.0.2.1"),
            Some("ipv6") => Some("2001:db8::1"),
            _ => None,
        };
        if let Some(fixed) = fixed {
            return fixed.to_owned();
        }
        let most =
            schema["maxLength"].as_u64().map_or(usize::MAX, |most| most.try_into().unwrap_or(usize::MAX));
        let least = schema["minLength"].as_u64().map_or(0, |least| least.min(LONGEST as u64) as usize);
        let mut text: String = self.text.chars().take(most).collect();
        let length = text.chars().count();
        text.extend(std::iter::repeat_n('.', least.saturating_sub(length)));
        text
    }

    /// What a reference within the schema points at.
    fn referred(&self, target: &str) -> Option<&'a Value> {
        self.root.pointer(target.strip_prefix('#')?)
    }
}

/// The value that the schema itself gives.
fn given(schema: &Value) -> Option<&Value> {
    let first = |name: &str| schema.get(name).and_then(Value::as_array).and_then(|values| values.first());
    first("enum")
        .or_else(|| schema.get("const"))
        .or_else(|| schema.get("default"))
        .or_else(|| first("examples"))
}

/// How much a value counts.
fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len() / BYTES_A_WEIGHT,
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => {
            let of_member =
                |(name, value): (&String, &Value)| 1 + name.len() / BYTES_A_WEIGHT + weight(value);
            1 + members.iter().map(of_member).sum::<usize>()
        }
        _ => 1,
    }
}

/// The first way that is not `null`.
fn alternative(schema: &Value) -> Option<&Value> {
    let ways = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array())?;
    ways.iter().find(|way| way["type"] != "null").or_else(|| ways.first())
}

fn kind(schema: &Value, has_fields: bool) -> &str {
    let named = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        kind => kind.as_str(),
    };
    let guessed = if has_fields {
        "object"
    } else if schema.get("items").is_some() || schema.get("prefixItems").is_some() {
        "array"
    } else if schema.get("minimum").is_some() || schema.get("maximum").is_some() {
        "number"
    } else {
        "string"
    };
    named.unwrap_or(guessed)
}

/// 1, or the number nearest to it within the bounds.
fn number(schema: &Value, whole: bool) -> Value {
    let bound = |name: &str| schema[name].as_f64();
    let step = bound("multipleOf").filter(|step| *step > 0.0).unwrap_or(if whole { 1.0 } else { 0.0 });
    let rounded = |value: f64, up: bool| match step {
        0.0 => value,
        step if up => (value / step).ceil() * step,
        step => (value / step).floor() * step,
    };
    // Exclusive bounds are left by one step, or by one where there is no step.
    let gap = if step > 0.0 { step } else { 1.0 };
    let low = bound("minimum")
        .map(|least| rounded(least, true))
        .or_else(|| bound("exclusiveMinimum").map(|least| rounded(least, false) + gap));
    let high = bound("maximum")
        .map(|most| rounded(most, false))
        .or_else(|| bound("exclusiveMaximum").map(|most| rounded(most, true) - gap));
    let mut value = rounded(1.0, true);
    value = high.map_or(value, |high| value.min(high));
    value = low.map_or(value, |low| value.max(low));
    if let (Some(low), Some(high)) = (bound("exclusiveMinimum"), bound("exclusiveMaximum"))
        && step == 0.0
    {
        value = f64::midpoint(low, high);
    }
    // Whole numbers are written without a fraction, as far as a float can tell them apart.
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        return Value::from(value as i64);
    }
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

/// Another value of the same type, for `uniqueItems`.
fn distinct(value: Value, index: usize) -> Value {
    match value {
        Value::String(text) => Value::String(format!("{text} {}", index + 1)),
        Value::Number(number) => Value::from(number.as_i64().unwrap_or(0).wrapping_add(index as i64)),
        other => other,
    }
}

#[cfg(test)]
mod tests;
