//! Everything that can be called, read from the descriptors: each method, and each way to it: gRPC, gRPC-Web, and
//! every REST route, aliases included. Read here a second time, and not asked of `rest`, which is under test.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method as Verb};
use orqen::proto::POOL;
use prost_reflect::{DynamicMessage, FieldDescriptor, MethodDescriptor, ReflectMessage, Value};

use crate::support::{grpc::Grpc, grpc_web::GrpcWeb, rest::Rest, server::TestServer, told::Told};

/// A method and the routes to it.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    pub(crate) descriptor: MethodDescriptor,
    pub(crate) routes: Vec<Route>,
}

/// One REST route.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) verb: Verb,
    /// With its variables: `/v1/keys/{key_id}`.
    pub(crate) path: String,
    /// Whether it takes a body: the message, or one of its fields.
    pub(crate) has_body: bool,
    /// The field that has the bytes of the body as they are, where it is not the message that is the body.
    pub(crate) body_field: Option<String>,
    /// The field of the answer that is the body.
    pub(crate) response_body: Option<String>,
}

/// A way to a method.
#[derive(Debug, Clone)]
pub(crate) enum Door {
    Grpc,
    GrpcWeb,
    Rest(Route),
}

/// Clients of one server that carry any headers.
#[derive(Clone)]
pub(crate) struct Doors {
    rest: Rest,
    grpc: Grpc,
}

/// Every method of `orqen.v1`.
pub(crate) fn methods() -> Vec<Method> {
    let services = POOL.services().filter(|service| service.package_name() == "orqen.v1");
    let methods = services.flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.map(|descriptor| Method { routes: routes(&descriptor), descriptor }).collect()
}

/// The method with this name: `KeyService/CreateKey`.
pub(crate) fn method(name: &str) -> Method {
    let found = methods().into_iter().find(|method| method.name() == name);
    found.unwrap_or_else(|| panic!("no method {name}"))
}

fn routes(method: &MethodDescriptor) -> Vec<Route> {
    let http = POOL.get_extension_by_name("google.api.http").unwrap();
    let options = method.options();
    if !options.has_extension(&http) {
        return Vec::new();
    }
    let rule = options.get_extension(&http).as_message().unwrap().clone();
    let aliases = rule.get_field_by_name("additional_bindings").unwrap().into_owned();
    let aliases = aliases.as_list().unwrap().iter().map(|alias| alias.as_message().unwrap().clone());
    [rule].into_iter().chain(aliases).map(|rule| route(&rule)).collect()
}

fn route(rule: &DynamicMessage) -> Route {
    let text = |name: &str| rule.get_field_by_name(name).unwrap().as_str().unwrap().to_owned();
    let pattern = rule.descriptor().oneofs().find(|oneof| oneof.name() == "pattern").unwrap();
    let verb = pattern.fields().find(|field| rule.has_field(field)).unwrap();
    let (body, response_body) = (text("body"), text("response_body"));
    Route {
        verb: verb.name().to_uppercase().parse().unwrap(),
        path: text(verb.name()),
        has_body: !body.is_empty(),
        body_field: Some(body).filter(|body| !matches!(body.as_str(), "" | "*")),
        response_body: (!response_body.is_empty()).then_some(response_body),
    }
}

/// The header that has this field in REST, if one has.
pub(crate) fn header_of(field: &FieldDescriptor) -> Option<HeaderName> {
    let option = POOL.get_extension_by_name("orqen.v1.header").unwrap();
    let options = field.options();
    options.has_extension(&option).then(|| options.get_extension(&option).as_str().unwrap().parse().unwrap())
}

impl Method {
    /// `KeyService/CreateKey`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.descriptor.parent_service().name(), self.descriptor.name())
    }

    /// `/orqen.v1.KeyService/CreateKey`.
    pub(crate) fn path(&self) -> String {
        format!("/{}/{}", self.descriptor.parent_service().full_name(), self.descriptor.name())
    }

    /// Every way to it.
    pub(crate) fn doors(&self) -> impl Iterator<Item = Door> {
        [Door::Grpc, Door::GrpcWeb].into_iter().chain(self.routes.iter().cloned().map(Door::Rest))
    }

    /// An empty message, but for the field that a route has in its path, or would have.
    pub(crate) fn about(&self, id: &str) -> DynamicMessage {
        let mut message = DynamicMessage::new(self.descriptor.input());
        for name in ["key_id", "account_id", "request_id"] {
            let field = self.descriptor.input().get_field_by_name(name);
            // Where it may be left out it is a filter.
            if field.is_some_and(|field| !field.supports_presence()) {
                message.set_field_by_name(name, Value::String(id.to_owned()));
            }
        }
        message
    }

    /// Whether its request names a key.
    pub(crate) fn is_about_a_key(&self) -> bool {
        let key_id = self.descriptor.input().get_field_by_name("key_id");
        key_id.is_some_and(|field| !field.supports_presence())
    }
}

impl Route {
    /// The path with its one variable, if it has one, filled in.
    pub(crate) fn filled(&self, id: &str) -> String {
        match (self.path.find('{'), self.path.find('}')) {
            (Some(from), Some(to)) => format!("{}{id}{}", &self.path[..from], &self.path[to + 1..]),
            _ => self.path.clone(),
        }
    }
}

impl Doors {
    /// Clients that send nothing of themselves.
    pub(crate) fn of(server: &TestServer) -> Self {
        Self { rest: Rest::new(server.address()), grpc: Grpc::new(server.address()) }
    }

    /// The same clients with these headers.
    pub(crate) fn with(&self, headers: &HeaderMap) -> Self {
        Self { rest: self.rest.with_headers(headers.clone()), grpc: self.grpc.with_headers(headers.clone()) }
    }

    /// Goes to `method` through `door` with nothing but an id, and says how it was refused; `None` if it was not.
    pub(crate) async fn knock(&self, method: &Method, door: &Door, id: &str) -> Option<Told> {
        use prost::Message as _;
        let message = || Bytes::from(method.about(id).encode_to_vec());
        match door {
            Door::Grpc => {
                self.grpc.call(&method.path(), message()).await.err().map(|status| Told::by_grpc(&status))
            }
            Door::GrpcWeb => {
                let answer = GrpcWeb::new(&self.rest).call(&method.path(), message()).await;
                answer.err().map(|status| Told::by_grpc(&status))
            }
            Door::Rest(route) => {
                let body = if route.has_body { "{}" } else { "" };
                let answer = self.rest.send(route.verb.clone(), &route.filled(id), body).await;
                (answer.status != 200).then(|| Told::by_rest(&answer))
            }
        }
    }
}
