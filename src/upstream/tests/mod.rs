//! The upstream module against a scripted provider on a real socket.

mod catalog;
mod client;
mod failures;
mod models;
mod provider;
mod secure;

use std::sync::Arc;

use bytes::Bytes;

use self::provider::Provider;
use super::{Catalog, Upstream, UpstreamClient};
use crate::{
    clock::ManualClock,
    config,
    domain::{
        chat_request::{Bounds, ChatRequest, PreparedRequest, Selection},
        key::ToolMode,
        toollist::Toollist,
    },
};

const BODY: &str =
    r#"{ "model":"gpt-4o", "messages":[{"role":"user","content":"hi"}], "seed":12345678901234567890 }"#;

fn settings(name: &str, base_url: &str) -> config::Upstream {
    toml::from_str(&format!("name = {name:?}\nbase_url = {base_url:?}")).unwrap()
}

fn environment(name: &str) -> Option<String> {
    (name == "PROVIDER_KEY").then(|| " sk-provider-0123456789 \n".to_owned())
}

fn catalog(upstreams: &[config::Upstream]) -> Catalog {
    Catalog::new(upstreams, &config::Demo { enabled: true }, &environment).unwrap()
}

/// The scripted provider as an upstream named `openai` with a credential.
fn upstream(provider: &Provider, change: impl FnOnce(&mut config::Upstream)) -> Arc<Upstream> {
    let mut settings = settings("openai", &provider.base_url());
    settings.api_key_env = Some("PROVIDER_KEY".into());
    change(&mut settings);
    Arc::clone(&catalog(&[settings]).upstreams[0])
}

fn client() -> UpstreamClient {
    UpstreamClient::new(Arc::new(ManualClock::at("2025-11-06T08:49:37Z".parse().unwrap())))
}

fn prepared(body: &str) -> PreparedRequest {
    let request = ChatRequest::parse(Bytes::from(body.to_owned()), &Bounds { depth: 128 }).unwrap();
    let permitted = request.permit(&Toollist::unbound(), ToolMode::Filter, &[]).unwrap();
    permitted.keep(&Selection::All, None)
}
