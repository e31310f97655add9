//! The configuration: one struct a section, `default.toml` as the reference with every field and default.
//!
//! Read once at the start, from the embedded reference, then `orqen.toml`, then `ORQEN_SECTION__FIELD` in the
//! environment. All problems are told at once, each with its field, where it came from and the way out.
//! Secrets are read here but never written: `Debug`, `Display` and `Serialize` all hide them.
//!
//! The merge is our own, over `toml::Table`: figment stops at the first error and cannot say which of two files
//! an unknown field stood in, and both matter more to an operator than the hundred lines cost us.

use std::path::Path;

use serde::{Deserialize, Serialize};

pub mod amount;
pub mod duration;

mod auth;
mod cluster;
mod environment;
mod inspect;
mod jwt;
mod layers;
mod limits;
mod log;
mod otel;
mod policy;
mod problem;
mod pruning;
mod reference;
mod secret_url;
mod server;
mod show;
mod store;
#[cfg(test)]
mod tests;
mod upstream;
mod usage;

pub use auth::Auth;
pub use cluster::{Cluster, Findings, bytes_of};
pub use environment::Environment;
pub use jwt::{Jwt, JwtAlgorithm};
pub use layers::{Origin, Origins};
pub use limits::{Limits, SavedTokensExceeded};
pub use log::{Log, LogFormat};
pub use otel::Otel;
pub use policy::Policy;
pub use problem::{ConfigError, Problem};
pub use pruning::{Embeddings, Pruning};
pub use reference::TEXT as REFERENCE;
pub use secret_url::SecretUrl;
pub use server::Server;
pub use store::{Redis, Store};
pub use upstream::{Demo, Upstream};
pub use usage::Usage;

use layers::Layers;

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "orqen.toml";

/// Everything that can be configured.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The port and how it is served.
    pub server: Server,
    /// Where keys and usage are kept.
    pub store: Store,
    /// How callers are known.
    pub auth: Auth,
    /// The providers.
    #[serde(default)]
    pub upstreams: Vec<Upstream>,
    /// The in-process model.
    pub demo: Demo,
    /// What a new account starts with.
    pub policy: Policy,
    /// Choosing tools.
    pub pruning: Pruning,
    /// Records of requests.
    pub usage: Usage,
    /// Bounds of every input.
    pub limits: Limits,
    /// Shared limits; absent: limits are per process.
    #[serde(default)]
    pub redis: Option<Redis>,
    /// Logs.
    pub log: Log,
    /// Spans; absent: none are sent.
    #[serde(default)]
    pub otel: Option<Otel>,
}

/// A configuration, and where each of its values came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Their origins.
    pub origins: Origins,
}

impl Config {
    /// Reads the configuration: the reference, then `file`, then the environment.
    ///
    /// A file that is named must exist; with `None`, `orqen.toml` in the working directory is read if it is
    /// there.
    ///
    /// # Errors
    /// The file cannot be read or is no TOML, or any number of fields are wrong: all are told.
    pub fn load(file: Option<&Path>, env: &Environment) -> Result<Loaded, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let mut layers = Layers::defaults();
        match std::fs::read_to_string(path) {
            Ok(text) => layers.file(path, &text)?,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
        }
        layers.environment(env);
        layers.finish()
    }

    /// Reads the configuration from a text in the place of `orqen.toml`, and the environment.
    ///
    /// # Errors
    /// As `load`.
    pub fn from_toml(text: &str, env: &Environment) -> Result<Loaded, ConfigError> {
        let mut layers = Layers::defaults();
        layers.file(Path::new(DEFAULT_FILE), text)?;
        layers.environment(env);
        layers.finish()
    }
}
