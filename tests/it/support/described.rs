//! Holds every answer that a test gets over REST to the description at `/openapi.json`: a route that answers what it
//! does not say fails whichever test comes by.

use std::{collections::HashMap, sync::LazyLock};

use http::{Method, StatusCode};
use jsonschema::Validator;
use serde_json::{Value, json};

use super::rest::Answer;

static DESCRIBED: LazyLock<Described> = LazyLock::new(|| Described::new(orqen::service::openapi().unwrap()));

struct Described {
    /// The segments of a path, its verb, and what its answers look like.
    operations: Vec<(Vec<String>, Method, Validator)>,
    error: Validator,
}

impl Described {
    fn new(document: Value) -> Self {
        let validator = |schema: &Value| {
            // The references point into the whole.
            let mut root = schema.clone();
            root["components"] = document["components"].clone();
            jsonschema::validator_for(&root).unwrap()
        };
        let mut operations = Vec::new();
        for (path, verbs) in document["paths"].as_object().unwrap() {
            for (verb, operation) in verbs.as_object().unwrap() {
                let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
                let verb = verb.to_ascii_uppercase().parse().unwrap();
                operations.push((segments(path), verb, validator(schema)));
            }
        }
        let error = validator(&json!({"$ref": "#/components/schemas/Error"}));
        Self { operations, error }
    }

    fn operation(&self, verb: &Method, path: &str) -> Option<&Validator> {
        let path = segments(path);
        let fits = |of: &[String]| {
            of.len() == path.len() && of.iter().zip(&path).all(|(of, is)| of.starts_with('{') || of == is)
        };
        // A literal segment goes before a variable, as `…/keys/{key_id}` may fit another route's name.
        let mut fitting: Vec<_> =
            self.operations.iter().filter(|(of, served, _)| served == verb && fits(of)).collect();
        fitting.sort_by_key(|(of, ..)| of.iter().filter(|segment| segment.starts_with('{')).count());
        fitting.first().map(|(.., validator)| validator)
    }
}

fn segments(path: &str) -> Vec<String> {
    path.split('/').map(str::to_owned).collect()
}

/// Fails where this answer is not as the description says. Chat is the provider's, and refusals of a server that is
/// not one of ours are not looked at.
pub(crate) fn check(verb: &Method, path: &str, answer: &Answer) {
    let path = path.split('?').next().unwrap_or_default();
    if !path.starts_with("/v1/") || path == "/v1/chat/completions" || *verb == Method::HEAD {
        return;
    }
    let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else { return };
    let validator = match answer.status {
        StatusCode::OK => DESCRIBED.operation(verb, path).unwrap_or_else(|| {
            panic!("{verb} {path} answers, and is not described");
        }),
        _ => &DESCRIBED.error,
    };
    if let Err(wrong) = validator.validate(&body) {
        panic!("{verb} {path} is not as described: {wrong} at {}\n{answer:?}", wrong.instance_path());
    }
}

/// How often each operation is described, by its path and verb.
pub(crate) fn operations() -> HashMap<String, Vec<String>> {
    let document = orqen::service::openapi().unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .map(|(path, verbs)| {
            let verbs = verbs.as_object().unwrap().keys().map(|verb| verb.to_ascii_uppercase());
            (path.clone(), verbs.collect())
        })
        .collect()
}
