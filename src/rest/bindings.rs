//! The HTTP rules of a package's methods, read from the descriptors: each rule and each of its aliases is one
//! binding. A rule that could not be served as it is written stops the start and names its method.
//!
//! Only what the routes need of `google.api.http` is taken (single-segment variables over scalar fields, no
//! custom verbs); the rest is refused here instead of being half-served later.

use std::sync::Arc;

use http::Method as Verb;
use prost_reflect::{
    DescriptorPool, DynamicMessage, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor,
};

use super::{
    Names,
    headers::{self, HeaderField},
    scalar,
    shape::{self, Shape},
    template::Template,
};

/// A method as the transcoder calls it.
#[derive(Debug, Clone)]
pub struct Method {
    /// What it is, with its options.
    pub descriptor: MethodDescriptor,
    /// Its path in gRPC: `/orqen.v1.KeyService/CreateKey`.
    pub grpc_path: String,
    /// Whether it takes and gives `google.api.HttpBody`: bytes as they are, without JSON mapping.
    pub raw: bool,
    /// Whether its bodies meet the larger bound.
    pub chat_body: bool,
}

/// One route: a verb and a path that call a method.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The method that is called.
    pub method: Arc<Method>,
    /// The verb. A `GET` also answers `HEAD`.
    pub verb: Verb,
    /// The path as the rule has it: `/v1/keys/{key_id}`.
    pub path: String,
    /// What the body is.
    pub body: BodyRule,
    /// The field of the answer that is the whole body; otherwise the answer is.
    pub response_body: Option<FieldDescriptor>,
    /// The fields of the request that headers give.
    pub by_header: Vec<HeaderField>,
    /// The fields of the answer's body that headers repeat.
    pub in_headers: Vec<HeaderField>,
    /// Position in the path and field of each variable.
    pub(super) template: Template,
    /// The fields that the path gives, in its order.
    pub(super) by_path: Vec<FieldDescriptor>,
    /// The field that is filled with the names of the body's members.
    pub(super) mask: Option<FieldDescriptor>,
}

/// What a binding takes from a request's body.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyRule {
    /// Nothing; the query string gives the fields that the path does not.
    None,
    /// Every field that the path does not give (`body: "*"`).
    Whole,
    /// This one field; the query string gives the others.
    Field(FieldDescriptor),
    /// This field of the type `google.api.HttpBody`, which gets the bytes as they are, without JSON mapping; the query
    /// string gives the others.
    Bytes(FieldDescriptor),
}

/// Why the routes cannot be built: the method, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method}: {problem}")]
pub struct BindingError {
    /// The method's full name, or that of what is missing.
    pub method: String,
    /// What is wrong.
    pub problem: BindingProblem,
}

/// What is wrong with a method's options.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindingProblem {
    /// A name that the routes are read by is not in the descriptors.
    #[error("is not in the descriptor pool")]
    Missing,
    /// The option that says who may call is not set.
    #[error("lacks the option `({0})`")]
    NoAccess(String),
    /// Neither a rule nor `grpc_only`.
    #[error("has neither a `google.api.http` rule nor `grpc_only`")]
    NoRule,
    /// Both a rule and `grpc_only`.
    #[error("has a `google.api.http` rule and is `grpc_only`")]
    RuleOfGrpcOnly,
    /// A rule that says something that cannot be served.
    #[error("malformed `google.api.http` rule: {0}")]
    Malformed(String),
    /// A path variable or body that is no field.
    #[error("`{0}` is no field of the message, or not one that this place can hold")]
    NoSuchField(String),
    /// A type without a JSON form here.
    #[error("`{0}` has no JSON form")]
    Unrepresentable(String),
    /// Two bindings that match the same requests.
    #[error("{verb} {path} is already bound to {other}")]
    Collision {
        /// The verb of both.
        verb: Verb,
        /// The path of the later one.
        path: String,
        /// The method that has it already.
        other: String,
    },
}

/// Every binding of every method in `package`, in the order of the descriptors.
pub(super) fn read(pool: &DescriptorPool, names: &Names) -> Result<Vec<Binding>, BindingError> {
    let Names { package, access_option: access, header_option: header, .. } = names;
    let missing = |name: &str| BindingError { method: name.to_owned(), problem: BindingProblem::Missing };
    let access_option = pool.get_extension_by_name(access).ok_or_else(|| missing(access))?;
    let header_option = pool.get_extension_by_name(header).ok_or_else(|| missing(header))?;
    let rule_option =
        pool.get_extension_by_name("google.api.http").ok_or_else(|| missing("google.api.http"))?;
    let services: Vec<_> = pool.services().filter(|service| service.package_name() == *package).collect();
    if services.is_empty() {
        return Err(missing(package));
    }
    let mut bindings = Vec::new();
    for descriptor in services.iter().flat_map(|service| service.methods()) {
        let named = |problem| BindingError { method: descriptor.full_name().to_owned(), problem };
        let options = descriptor.options();
        if !options.has_extension(&access_option) {
            return Err(named(BindingProblem::NoAccess(access.clone())));
        }
        let access = options.get_extension(&access_option);
        let flag = |name: &str| access.as_message().is_some_and(|access| is_set(access, name));
        match (options.has_extension(&rule_option), flag("grpc_only")) {
            (false, true) => {}
            (false, false) => return Err(named(BindingProblem::NoRule)),
            (true, true) => return Err(named(BindingProblem::RuleOfGrpcOnly)),
            (true, false) => {
                let rule = options.get_extension(&rule_option);
                let method = method(&descriptor, flag("chat_body")).map_err(&named)?;
                let rule = rule.as_message().ok_or_else(|| named(malformed("it is no message")))?;
                bindings.extend(with_aliases(&Arc::new(method), rule, &header_option).map_err(&named)?);
            }
        }
    }
    Ok(bindings)
}

fn method(descriptor: &MethodDescriptor, chat_body: bool) -> Result<Method, BindingProblem> {
    let raw = match (carries_bytes(&descriptor.input()), carries_bytes(&descriptor.output())) {
        (true, true) => true,
        (false, false) => false,
        _ => return Err(malformed("HttpBody must be both the request and the answer, or neither")),
    };
    if descriptor.is_client_streaming() || (descriptor.is_server_streaming() && !raw) {
        return Err(malformed("a stream of messages has no JSON form"));
    }
    let grpc_path = format!("/{}/{}", descriptor.parent_service().full_name(), descriptor.name());
    Ok(Method { descriptor: descriptor.clone(), grpc_path, raw, chat_body })
}

fn carries_bytes(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.api.HttpBody"
}

fn with_aliases(
    method: &Arc<Method>,
    rule: &DynamicMessage,
    header: &ExtensionDescriptor,
) -> Result<Vec<Binding>, BindingProblem> {
    let mut bindings = vec![binding(method, rule, header)?];
    if let Some(aliases) = rule.get_field_by_name("additional_bindings") {
        for alias in aliases.as_list().unwrap_or_default().iter().filter_map(|alias| alias.as_message()) {
            if alias.get_field_by_name("additional_bindings").is_some_and(|more| more.as_list() != Some(&[]))
            {
                return Err(malformed("additional_bindings within additional_bindings"));
            }
            bindings.push(binding(method, alias, header)?);
        }
    }
    Ok(bindings)
}

fn binding(
    method: &Arc<Method>,
    rule: &DynamicMessage,
    header: &ExtensionDescriptor,
) -> Result<Binding, BindingProblem> {
    let (input, output) = (method.descriptor.input(), method.descriptor.output());
    let (verb, path) = pattern(rule)?;
    let template = Template::parse(&path).map_err(|wrong| malformed(&format!("{path}: {wrong}")))?;
    let by_path = template.variables().map(|name| path_field(&input, name)).collect::<Result<Vec<_>, _>>()?;
    let body = body_rule(&input, &by_path, &text(rule, "body"))?;
    let response_body = match text(rule, "response_body").as_str() {
        "" => None,
        name => Some(output.get_field_by_name(name).ok_or_else(|| no_field(name))?),
    };
    let by_header = headers::carried(&input, header)?;
    let in_headers = headers::carried(&headers::body_of(&output, response_body.as_ref()), header)?;
    if let Some(twice) = by_header.iter().find(|carried| by_path.contains(&carried.field)) {
        return Err(no_field(twice.field.name()));
    }
    let mask = shape::update_mask(&input);
    if method.raw {
        if body != BodyRule::Whole || !by_path.is_empty() || response_body.is_some() {
            return Err(malformed("HttpBody needs body: \"*\", no variables and no response_body"));
        }
    } else {
        if mask.is_some() && body != BodyRule::Whole {
            return Err(malformed("update_mask is made from the body's members and needs body: \"*\""));
        }
        // The top of a query or body is always an object, whatever the shape of the type elsewhere.
        let bytes = if let BodyRule::Bytes(field) = &body { Some(field) } else { None };
        let odd = [(&input, mask.as_ref().or(bytes)), (&output, None)]
            .into_iter()
            .find_map(|(message, mask)| shape::unrepresentable(message, mask));
        if let Some(field) = odd {
            return Err(BindingProblem::Unrepresentable(field));
        }
    }
    let method = Arc::clone(method);
    Ok(Binding { method, verb, path, body, response_body, by_header, in_headers, template, by_path, mask })
}

fn pattern(rule: &DynamicMessage) -> Result<(Verb, String), BindingProblem> {
    let verbs = [
        ("get", Verb::GET),
        ("put", Verb::PUT),
        ("post", Verb::POST),
        ("delete", Verb::DELETE),
        ("patch", Verb::PATCH),
    ];
    let mut given = verbs.into_iter().map(|(name, verb)| (verb, text(rule, name)));
    given
        .find(|(_, path)| !path.is_empty())
        .ok_or_else(|| malformed("it has none of get, put, post, delete and patch"))
}

fn path_field(input: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, BindingProblem> {
    let field = input.get_field_by_name(name).ok_or_else(|| no_field(name))?;
    let fits = scalar::has_text(&field.kind()) && !field.is_list() && !field.is_map();
    if fits { Ok(field) } else { Err(no_field(name)) }
}

fn body_rule(
    input: &MessageDescriptor,
    by_path: &[FieldDescriptor],
    body: &str,
) -> Result<BodyRule, BindingProblem> {
    match body {
        "" => Ok(BodyRule::None),
        "*" => match shape::of(input) {
            Shape::Object => Ok(BodyRule::Whole),
            // HttpBody is the body; anything else would be an array or string where members are expected.
            Shape::None if carries_bytes(input) => Ok(BodyRule::Whole),
            _ => Err(malformed("body: \"*\" needs a message that is an object in JSON")),
        },
        name => {
            let field = input.get_field_by_name(name).filter(|field| !by_path.contains(field));
            let field = field.ok_or_else(|| no_field(name))?;
            let bytes = field.kind().as_message().is_some_and(carries_bytes) && !field.is_list();
            Ok(if bytes { BodyRule::Bytes(field) } else { BodyRule::Field(field) })
        }
    }
}

fn is_set(message: &DynamicMessage, field: &str) -> bool {
    message.get_field_by_name(field).and_then(|value| value.as_bool()).unwrap_or(false)
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

pub(super) fn malformed(what: &str) -> BindingProblem {
    BindingProblem::Malformed(what.to_owned())
}

fn no_field(name: &str) -> BindingProblem {
    BindingProblem::NoSuchField(name.to_owned())
}
