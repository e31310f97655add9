//! The description of the routes as OpenAPI 3.1, written from the bindings and descriptors that the routes
//! themselves are built from: what is served and what is described cannot drift apart.
//!
//! No plugin of the field's is used: they know proto3 JSON, and not what is served here (bare lists, lower-case
//! words, every member written, update masks made from members).

mod comments;
mod schema;

use std::collections::BTreeMap;

use prost_reflect::ReflectMessage;
use serde_json::{Map, Value, json};

use self::{
    comments::Comments,
    schema::{Schemas, Side},
};
use super::{
    Names,
    bindings::{Binding, BodyRule},
    headers::HeaderField,
    names::Taken,
};

/// What the descriptors do not say.
#[derive(Debug)]
pub struct About<'a> {
    /// The `info` object: title, version and so on.
    pub info: Value,
    /// How callers authenticate, a security scheme object.
    pub credential: Value,
    /// The schema of the body of an answer that is no success.
    pub error: Value,
    /// Of each method that takes bytes as they are, by its full name: the schema of their JSON.
    pub requests: BTreeMap<&'a str, Value>,
    /// Of each method that gives bytes as they are, likewise: the `content` object of its answer.
    pub answers: BTreeMap<&'a str, Value>,
}

/// The name of the security scheme.
const CREDENTIAL: &str = "key";

/// The description of these bindings.
pub fn document(bindings: &[Binding], names: &Names, about: About<'_>) -> Value {
    let pool = bindings.first().map(|binding| binding.method.descriptor.parent_pool().clone());
    let mut writer = Writer {
        access_option: &names.access_option,
        comments: pool.as_ref().map(Comments::of).unwrap_or_default(),
        schemas: Schemas::new(
            pool.as_ref().and_then(|pool| pool.get_extension_by_name(&names.bounds_option)),
        ),
        requests: &about.requests,
        answers: &about.answers,
    };
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for binding in bindings {
        let nth = seen.entry(binding.method.descriptor.full_name()).and_modify(|nth| *nth += 1).or_default();
        let verb = binding.verb.as_str().to_ascii_lowercase();
        paths.entry(&binding.path).or_default().insert(verb, writer.operation(binding, *nth));
    }
    let tags = writer.tags(bindings);
    let mut schemas = writer.schemas.written(&writer.comments);
    schemas.insert("Error".to_owned(), about.error);
    json!({
        "openapi": "3.1.0",
        "info": about.info,
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {CREDENTIAL: about.credential},
            "responses": {"Error": {
                "description": "The request was refused or failed: `error.code` says why, `error.message` what to do.",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            }},
        },
    })
}

struct Writer<'a> {
    access_option: &'a str,
    comments: Comments,
    schemas: Schemas,
    requests: &'a BTreeMap<&'a str, Value>,
    answers: &'a BTreeMap<&'a str, Value>,
}

impl Writer<'_> {
    /// The operation of a binding, the `nth` of its method.
    fn operation(&mut self, binding: &Binding, nth: usize) -> Value {
        let method = &binding.method.descriptor;
        let comment = self.comments.of_method(method);
        let (summary, _) = comment.split_once(". ").unwrap_or((&comment, ""));
        let id = match nth {
            0 => method.name().to_owned(),
            1 => format!("{}Alias", method.name()),
            more => format!("{}Alias{more}", method.name()),
        };
        let mut operation = json!({
            "operationId": id,
            "tags": [method.parent_service().name()],
            "summary": summary.trim_end_matches('.'),
            "description": comment,
            "security": [{CREDENTIAL: self.requirement(binding)}],
            "responses": {"200": self.answer(binding), "default": self.failure(binding)},
        });
        let parameters = self.parameters(binding);
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = self.body(binding) {
            operation["requestBody"] = body;
        }
        operation
    }

    /// The word of what the access option requires: `["keys"]`.
    fn requirement(&self, binding: &Binding) -> Vec<String> {
        let method = &binding.method.descriptor;
        let option = method.parent_pool().get_extension_by_name(self.access_option);
        let access = option.map(|option| method.options().get_extension(&option).into_owned());
        let requires = access.as_ref().and_then(|access| {
            let access = access.as_message()?;
            let field = access.descriptor().get_field_by_name("requires")?;
            super::shape::words(field.kind().as_enum()?)
                .into_iter()
                .find(|(_, number)| access.get_field(&field).as_enum_number() == Some(*number))
        });
        requires.into_iter().map(|(word, _)| word).collect()
    }

    fn parameters(&mut self, binding: &Binding) -> Vec<Value> {
        let mut parameters = Vec::new();
        for field in &binding.by_path {
            parameters.push(json!({
                "name": field.name(),
                "in": "path",
                "required": true,
                "description": self.comments.of_field(field),
                "schema": self.schemas.given(field, Side::Request),
            }));
        }
        for HeaderField { spelling, field, .. } in &binding.by_header {
            parameters.push(json!({
                "name": spelling,
                "in": "header",
                "description": self.comments.of_field(field),
                "schema": self.schemas.header(spelling, field),
            }));
        }
        let by_body = match &binding.body {
            BodyRule::Whole => return parameters,
            BodyRule::Field(field) | BodyRule::Bytes(field) => Some(field),
            BodyRule::None => None,
        };
        let taken = Taken { by_body, ..Taken::of(binding) };
        for field in binding.method.descriptor.input().fields().filter(|field| taken.why(field).is_none()) {
            let Some(schema) = self.schemas.query_parameter(&field) else { continue };
            parameters.push(json!({
                "name": field.name(),
                "in": "query",
                "description": self.comments.of_field(&field),
                "schema": schema,
            }));
        }
        parameters
    }

    fn body(&mut self, binding: &Binding) -> Option<Value> {
        let method = &binding.method.descriptor;
        let schema = match &binding.body {
            BodyRule::None => return None,
            BodyRule::Field(field) => self.schemas.field(field, Side::Request),
            BodyRule::Whole if binding.method.raw => self.requests.get(method.full_name())?.clone(),
            BodyRule::Bytes(_) => self.requests.get(method.full_name())?.clone(),
            BodyRule::Whole => {
                let taken = Taken::of(binding);
                self.schemas.request(&method.input(), &taken, &self.comments)
            }
        };
        // Without a member that must be there, an empty body is `{}`; not where it says what to change.
        let required = binding.method.raw || binding.mask.is_some() || schema.get("required").is_some();
        Some(json!({"required": required, "content": {"application/json": {"schema": schema}}}))
    }

    fn failure(&self, binding: &Binding) -> Value {
        match binding.method.raw {
            false => json!({"$ref": "#/components/responses/Error"}),
            true => json!({
                "description": "Refused or failed, as elsewhere; or what the provider answered, with its status.",
                "content": {"application/json": {"schema": {"anyOf": [
                    {"$ref": "#/components/schemas/Error"},
                    {"description": "The provider's own."},
                ]}}},
            }),
        }
    }

    fn answer(&mut self, binding: &Binding) -> Value {
        let method = &binding.method.descriptor;
        let description = self.comments.of_message(&method.output());
        let content = match (self.answers.get(method.full_name()), &binding.response_body) {
            (Some(content), _) if binding.method.raw => content.clone(),
            (_, Some(field)) => {
                json!({"application/json": {"schema": self.schemas.field(field, Side::Answer)}})
            }
            (_, None) => {
                json!({"application/json": {"schema": self.schemas.message(&method.output(), Side::Answer)}})
            }
        };
        let description = if description.is_empty() { "Done.".to_owned() } else { description };
        let mut answer = json!({"description": description, "content": content});
        for HeaderField { spelling, field, .. } in &binding.in_headers {
            answer["headers"][spelling] = json!({
                "description": self.comments.of_field(field),
                "schema": self.schemas.header(spelling, field),
            });
        }
        answer
    }

    fn tags(&self, bindings: &[Binding]) -> Vec<Value> {
        let mut services: Vec<_> =
            bindings.iter().map(|binding| binding.method.descriptor.parent_service().clone()).collect();
        services.dedup_by(|one, other| one.full_name() == other.full_name());
        services
            .iter()
            .map(|service| json!({"name": service.name(), "description": self.comments.of_service(service)}))
            .collect()
    }
}
