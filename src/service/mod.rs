//! The services of `proto/orqen/v1`: messages in, decisions of the core, messages out.
//!
//! Nothing is decided here but who may call (`guard`) and how an outcome is told (`status`, the one error table).
//! REST has no code of its own below the transcoder: `backend` hands it the same guard and the same services.

mod accounts;
mod admitted;
mod auditor;
mod backend;
mod chat;
mod convert;
mod failures;
mod fields;
pub mod guard;
mod keys;
mod number;
mod openapi;
mod page;
mod reason;
mod revocations;
pub mod status;
mod tools;
mod usage;
mod visit;

use std::sync::Arc;

use tonic::service::Routes;

use crate::{
    auth::Authenticator,
    chat::ChatPipeline,
    clock::SharedClock,
    config,
    domain::{policy::PolicyValues, secret::Peppers},
    proto::v1::{
        account_service_server::AccountServiceServer, chat_service_server::ChatServiceServer,
        key_service_server::KeyServiceServer, tool_service_server::ToolServiceServer,
        usage_service_server::UsageServiceServer,
    },
    store::Store,
};

pub use self::{
    auditor::Auditor,
    backend::{Backend, respond},
    failures::chat_status,
    guard::{Guard, GuardLayer, Unguarded},
    openapi::{openapi, route_names},
    reason::Reason,
    status::Failure,
    visit::Visit,
};

/// What the services work with.
pub struct Parts {
    /// Keys, accounts, usage.
    pub store: Store,
    /// What new secrets are digested with.
    pub peppers: Peppers,
    /// Who writes down what was refused.
    pub auditor: Arc<Auditor>,
    /// Who learns of changed keys.
    pub authenticator: Arc<Authenticator>,
    /// Chat.
    pub chat: Arc<ChatPipeline>,
    /// The time.
    pub clock: SharedClock,
    /// The policy of new accounts.
    pub policy: PolicyValues,
    /// Bounds of requests.
    pub limits: config::Limits,
}

/// What a message may add to the body that it carries: names of fields, lengths, and what came in headers.
const ENVELOPE: usize = 64 * 1024;

/// Every service of `orqen.v1`, unguarded: what is mounted on a port goes behind `GuardLayer`.
#[derive(Clone)]
pub struct Services {
    /// The gRPC routes.
    pub routes: Routes,
    /// Those of chat for REST, which has held the body to its bound before it put it into a message.
    chat_routes: Routes,
    chat: Arc<chat::Chat>,
    clock: SharedClock,
}

impl Services {
    /// Builds them.
    pub fn new(parts: Parts) -> Self {
        let parts = Arc::new(parts);
        let clock = Arc::clone(&parts.clock);
        let chat = Arc::new(chat::Chat::new(Arc::clone(&parts)));
        let (account, body) = (parts.limits.account_body, parts.limits.chat_body);
        let routes = Routes::new(
            KeyServiceServer::new(keys::Keys::new(Arc::clone(&parts))).max_decoding_message_size(account),
        )
        .add_service(
            AccountServiceServer::new(accounts::Accounts::new(Arc::clone(&parts)))
                .max_decoding_message_size(account),
        )
        .add_service(
            ToolServiceServer::new(tools::Tools::new(Arc::clone(&parts))).max_decoding_message_size(account),
        )
        .add_service(UsageServiceServer::new(usage::Usage::new(parts)).max_decoding_message_size(account))
        .add_service(chat_service(&chat, body))
        .prepare();
        let chat_routes = Routes::new(chat_service(&chat, body.saturating_add(ENVELOPE))).prepare();
        Self { routes, chat_routes, chat, clock }
    }
}

fn chat_service(chat: &Arc<chat::Chat>, most: usize) -> ChatServiceServer<chat::Chat> {
    ChatServiceServer::from_arc(Arc::clone(chat))
        .max_decoding_message_size(most)
        .max_encoding_message_size(usize::MAX)
}
