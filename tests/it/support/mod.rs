//! What the suites stand on: servers (`server`), databases (`stores`), those who call (`actors`, over `rest`, `grpc`
//! and `grpc_web`), and the house's issuer of JWTs (`issuer`).
//!
//! One way to start a server for all suites, so that a test is about what it says and not about ports and files.

pub(crate) mod actors;
pub(crate) mod described;
pub(crate) mod grpc;
pub(crate) mod grpc_web;
pub(crate) mod issuer;
pub(crate) mod proxy;
pub(crate) mod rest;
pub(crate) mod server;
pub(crate) mod stores;
pub(crate) mod surface;
pub(crate) mod told;
pub(crate) mod transcode;
pub(crate) mod upstream;
