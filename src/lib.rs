//! Orqen stands between AI agents and model providers. An agent sends its usual chat request with an Orqen key;
//! Orqen checks the key, takes out every tool that the key may not use, forwards the rest and streams the answer
//! back. This page is the map; the README tells how to run it, the protos what it serves.
//!
//! # Layers
//!
//! A lower layer never imports a higher one, and layers of one number never each other; `tests/architecture.rs`
//! reads the imports and says so.
//!
//! ```text
//! 7  cli                               flags and the operators' commands
//! 6  app                               builds everything, once, in order; the front door; stops in reverse
//! 5  service                           the proto services, the guard, the one table of errors
//! 4  chat                              a request from its bytes to its answer
//! 3  auth · limits · prune · usage     callers · who may go on · choosing tools · what is remembered
//! 2  store · upstream · telemetry · server    SQL · providers · logs · the port
//! 1  config · tokens                   settings · counting tokens
//! 0  domain · clock · boxed · proto · rest     decisions · time · futures · generated code · transcoding
//! ```
//!
//! Beside them stands `fuzzing`, what the fuzz targets call: no layer imports it, and no release has it.
//!
//! Beside its own neighbours, `service` imports `rest` (it hands the transcoder the guard and the routes), `upstream`
//! (its table of errors names every error there is) and `telemetry` (the guard tells the log who called).
//!
//! # Invariants
//!
//! - **A route, its aliases and what it requires are written once, in the `.proto`.** A method without them stops
//!   the start, by name.
//! - **REST cannot do what gRPC cannot.** Both go through [`service::Guard`], and REST's calls through the same
//!   gRPC routes. A missing guard means `INTERNAL`, never full access. Permission is asked before a body is read.
//! - **The core knows neither HTTP nor gRPC codes.** [`service::status`] translates, last, exhaustively.
//! - **Order is law by type.** [`domain::chat_request::ChatRequest::permit`] makes a `PermittedRequest`, whose
//!   `keep` makes a `PreparedRequest`, and [`upstream::UpstreamClient::send`] takes nothing else. Skipping the
//!   tool lists does not compile, and a later step can only remove.
//! - **The lists have two sides.** [`domain::chat_answer::AnswerGuard`] takes calls out of an answer that the key may
//!   not make, before any door sees it; what may hold one and cannot be read does not pass. Without lists there is none.
//! - **`prune` does no I/O** and falls back on what the lists let through, never on what the client sent.
//! - **No trait with one implementation.** SQLite in a temporary file and a scripted HTTP upstream are the test
//!   doubles. (`rest::Backend` has two: the services, and the scripted one of its tests.)
//! - **Time, environment and background tasks are handed in**; `.clippy.toml` bans the direct calls.
//!
//! # Two journeys
//!
//! *Chat*: [`server`] accepts, `app::front` sees that it is REST, [`rest`] finds the route, has the guard admit the
//! caller, which opens the request's record, and reads the body, which goes as it is to [`chat::ChatPipeline`]: parse,
//! permit, prune, send, meter. An array of tools that the account sent before is known by its bytes and not read again
//! ([`domain::chat_request::ToolArrays`]). The answer's bytes are passed on as they come, less what the lists or the client's
//! wishes keep back; when the last one is out, or the client is gone, or it was refused on the way, the record goes to
//! [`usage`], off the path.
//!
//! *Why is a tool gone?* `ChatPipeline::explain` takes the same steps up to the bytes that would be sent. The pruner's
//! decision comes in two halves for it: one that finds, and one that takes note, which an explanation leaves out.
//!
//! *Create a key*: the same door and guard; [`rest`] turns the JSON into a `CreateKeyRequest`, telling all field
//! errors at once; tonic's router calls `service::keys`, which checks that the caller hands out no more than it
//! holds and writes to [`store`]. The secret exists in that one function and in its answer.

pub mod app;
pub mod auth;
pub mod boxed;
pub mod chat;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod limits;
pub mod proto;
pub mod prune;
pub mod rest;
pub mod server;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod tokens;
pub mod upstream;
pub mod usage;
