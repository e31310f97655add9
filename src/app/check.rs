//! What a start builds of the configuration alone, without a network or a store: files and variables that it names.
//!
//! `App::start` builds the same things, each where it is needed; here all of them are tried, so that whoever deploys
//! sees every fault at once and before a server is stopped for it.

use anyhow::Context;

use crate::{
    app::first_start,
    auth::JwtVerifier,
    config::{Config, Environment},
    server::Server,
    store::Store,
    upstream::Catalog,
};

/// Fails with everything that a start would refuse in this configuration and environment.
pub fn check(config: &Config, environment: &Environment) -> anyhow::Result<()> {
    let built: [anyhow::Result<()>; 4] = [
        Catalog::new(&config.upstreams, &config.demo, &|name| environment.get(name))
            .map(drop)
            .map_err(Into::into),
        config.auth.jwt.as_ref().map_or(Ok(()), |jwt| JwtVerifier::load(jwt).map(drop).map_err(Into::into)),
        Server::check(&config.server).context("server.tls_cert, server.tls_key"),
        Store::file(&config.store)
            .context("store.url")
            .and_then(|file| first_start::check_secrets(config, file.as_deref())),
    ];
    let faults: Vec<_> =
        built.into_iter().filter_map(Result::err).map(|error| format!("\n  {error:#}")).collect();
    if faults.is_empty() {
        return Ok(());
    }
    anyhow::bail!("the configuration is well-formed, but cannot be served:{}", faults.concat())
}
