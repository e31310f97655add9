//! The providers: which one a model name leads to, and one call to it.
//!
//! `Catalog` is built once from the configuration and holds every `Upstream` with its credential and its pool of
//! connections; `UpstreamClient::send` makes a call. What it takes is a `PreparedRequest` and nothing else, so
//! that no request reaches a provider but one that has been through the tool lists. `EmbeddingModel` turns texts into
//! vectors; whose texts those are is `chat`'s to answer for. `demo` is the in-process model
//! that answers behind the same door. Reading the answer's events, and accounting for them, is left to `chat`.

mod body;
mod catalog;
mod client;
mod connection;
mod demo;
mod embeddings;
mod endpoint;
mod gather;
mod headers;
mod models;
mod pattern;
mod pool;
mod redact;
mod response;
mod settings;
mod shared;
mod transport;

#[cfg(test)]
mod tests;

pub use catalog::{Catalog, DEMO_MODEL, ModelNotFound, Route};
pub use client::UpstreamClient;
pub use embeddings::{Embedding, EmbeddingModel, EmbeddingProblem};
pub use endpoint::Upstream;
pub use models::ModelInfo;
pub use response::{UpstreamBody, UpstreamError, UpstreamResponse};
pub use settings::{CatalogError, Environment};
