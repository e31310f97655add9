//! What the description of the REST routes says beside what the descriptors say of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    proto,
    rest::{self, BindingError},
    service::Reason,
};

/// By which names the routes are found in our protos.
pub fn route_names() -> rest::Names {
    rest::Names {
        package: "orqen.v1".into(),
        access_option: "orqen.v1.access".into(),
        header_option: "orqen.v1.header".into(),
        bounds_option: "orqen.v1.bounds".into(),
    }
}

/// The OpenAPI 3.1 description of every route, as `/openapi.json` serves it and `orqen openapi` prints it.
pub fn openapi() -> Result<Value, BindingError> {
    let about = rest::About {
        info: json!({
            "title": "Orqen",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "A gateway between AI agents and model providers that decides which tools a model may see.",
            "license": {"name": env!("CARGO_PKG_LICENSE"), "identifier": env!("CARGO_PKG_LICENSE")},
        }),
        credential: json!({
            "type": "http",
            "scheme": "bearer",
            "description": "An Orqen key (`sk-orq-…`), or a JWT of the configured issuer.",
        }),
        error: error(),
        requests: BTreeMap::from([
            ("orqen.v1.ChatService.CreateRawChatCompletion", chat_request()),
            ("orqen.v1.ChatService.ExplainToolSelection", chat_request()),
        ]),
        answers: BTreeMap::from([("orqen.v1.ChatService.CreateRawChatCompletion", chat_answer())]),
    };
    let names = route_names();
    Ok(rest::openapi(&rest::bindings(&proto::POOL, &names)?, &names, about))
}

fn error() -> Value {
    let codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
    json!({
        "type": "object",
        "description": "Why a request was refused or failed.",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {
                    "type": "string",
                    "description": "What was wrong, with which value, and what to do.",
                },
                "type": {"type": "string", "description": "OpenAI's word for the status."},
                "param": {"type": ["string", "null"], "description": "The field that it is about."},
                "code": {"type": "string", "enum": codes, "description": "The reason, for programs."},
            },
        }},
    })
}

/// What is read of a chat request; all else goes to the provider as it is.
fn chat_request() -> Value {
    json!({
        "type": "object",
        "description": "A request of OpenAI's Chat Completions API. Members that are not named here go to the \
                        provider as they are.",
        "required": ["messages"],
        "properties": {
            "model": {"type": "string", "description": "`gpt-4o`, or `openai/gpt-4o` to name the upstream."},
            "messages": {"type": "array", "minItems": 1, "items": {"type": "object"}},
            "stream": {"type": ["boolean", "null"]},
            "tools": {"type": "array", "items": tool()},
            "tool_choice": {"anyOf": [{"type": "object"}, {"enum": ["none", "auto", "required", null]}]},
        },
    })
}

/// A tool as a request offers it: a function, a custom tool, or one that the provider runs.
fn tool() -> Value {
    let named = json!({
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_-]+$"}},
    });
    let of = |kind: &str| {
        json!({
            "type": "object",
            "required": ["type", kind],
            "properties": {"type": {"const": kind}, kind: named},
        })
    };
    let hosted = json!({
        "type": "object",
        "required": ["type"],
        "properties": {"type": {
            "type": "string",
            "pattern": "^[a-z0-9_]+$",
            "not": {"enum": ["function", "custom"]},
        }},
        "not": {"anyOf": [{"required": ["function"]}, {"required": ["custom"]}, {"required": ["name"]}]},
    });
    json!({"anyOf": [of("function"), of("custom"), hosted]})
}

fn chat_answer() -> Value {
    json!({
        "application/json": {"schema": {"type": "object", "description": "A chat completion of OpenAI's API."}},
        "text/event-stream": {"schema": {
            "type": "string",
            "description": "With `\"stream\": true`: chunks of OpenAI's API as events, then `[DONE]`.",
        }},
    })
}
