//! What a start builds of the configuration alone, without a network or a store: files and variables that it names.
//!
//! `App::start` builds the same things, each where it is needed; here all of them are tried, so that whoever deploys
//! sees every fault at once and before a server is stopped for it. For a cluster what no start can know is looked at too.

use std::path::Path;

use anyhow::Context;

use crate::{
    app::{first_start, kept::Given, machine},
    auth::JwtVerifier,
    config::{Cluster, Config, Environment, Loaded, Problem},
    domain::{secret::Peppers, signing::SigningKeys},
    server::Server,
    store::Store,
    upstream::Catalog,
};

/// What a check found.
#[derive(Debug, Default)]
pub struct Checked {
    errors: Vec<String>,
    warnings: Vec<String>,
}

/// Everything that a start would refuse in this configuration and environment, and of a cluster all that it must not have
/// and should think about.
pub fn check(loaded: &Loaded, environment: &Environment, cluster: Option<&Cluster>) -> Checked {
    let config = &loaded.config;
    let mut found = Checked::default();
    found.keep(
        Catalog::new(&config.upstreams, &config.demo, &|name| environment.get(name)).map_err(Into::into),
    );
    found.keep(config.auth.jwt.as_ref().map(JwtVerifier::load).transpose().map_err(Into::into));
    found.keep(Server::check(&config.server).context("server.tls_cert, server.tls_key"));
    if let Some(file) = found.keep(Store::file(&config.store).context("store.url")) {
        found.keep(storage(config, file.as_deref()));
        let peppers = found.keep(first_start::given_peppers(config, file.as_deref()));
        let keys = found.keep(first_start::given_signing_keys(config, file.as_deref()));
        if cluster.is_some() {
            found.secrets(peppers, keys);
        }
    }
    if let Some(cluster) = cluster {
        let cluster = Cluster { memory: cluster.memory.or_else(machine::memory), ..*cluster };
        let findings = cluster.findings(loaded);
        let told = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.to_string());
        found.errors.extend(told(findings.errors));
        found.warnings.extend(told(findings.warnings));
    }
    found
}

/// Refuses a database on storage that other machines share. Its readers and its writer meet in shared memory beside the
/// file, which no such file system has: SQLite itself says not to (sqlite.org/wal.html).
fn storage(config: &Config, file: Option<&Path>) -> anyhow::Result<()> {
    let Some(kind) = file.and_then(machine::shared_storage) else { return Ok(()) };
    anyhow::bail!(
        "store.url: {} lies on shared storage ({kind}), where SQLite loses what it wrote: name a file on a disk of this \
         machine, or write `postgres://USER:PASSWORD@HOST/DATABASE`",
        config.store.url
    )
}

impl Checked {
    /// What may be meant.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Fails with all that is wrong.
    pub fn verdict(&self) -> anyhow::Result<()> {
        if self.errors.is_empty() {
            return Ok(());
        }
        let errors: String = self.errors.iter().map(|error| format!("\n  {error}")).collect();
        anyhow::bail!("the configuration is well-formed, but cannot be served:{errors}")
    }

    fn keep<T>(&mut self, built: anyhow::Result<T>) -> Option<T> {
        built.map_err(|error| self.errors.push(format!("{error:#}"))).ok()
    }

    /// Refuses secrets that somebody could guess. One machine's user may play with `00…`; what a fleet serves is attacked.
    fn secrets(&mut self, peppers: Option<Given<Peppers>>, keys: Option<Given<SigningKeys>>) {
        const WAY_OUT: &str = "looks like an example, and whoever guesses it";
        let peppers = peppers.and_then(Given::here);
        let keys = keys.and_then(Given::here);
        for version in peppers.iter().flat_map(Peppers::guessable) {
            self.errors.push(format!(
                "auth.peppers: version {version} {WAY_OUT} can check stolen digests: draw one with `openssl rand -hex 32`"
            ));
        }
        for version in keys.iter().flat_map(SigningKeys::guessable) {
            self.errors.push(format!(
                "auth.signing_keys: version {version} {WAY_OUT} can make tokens of any key: draw one with `openssl rand -hex \
                 32`"
            ));
        }
        let (Some(peppers), Some(keys)) = (peppers, keys) else { return };
        for (version, _) in keys.seeds().filter(|(_, seed)| peppers.holds(*seed)) {
            self.errors.push(format!(
                "auth.signing_keys: version {version} is a pepper too: what gives away one would give away both; draw one \
                 of its own with `openssl rand -hex 32`"
            ));
        }
    }
}
