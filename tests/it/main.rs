//! The integration suite, one binary: a real server in this process, real sockets, a real database; SQLite always,
//! PostgreSQL too where `ORQEN_TEST_POSTGRES_URL` says where one is. Time is advanced, not slept.
//!
//! `support` starts servers and speaks to them; every other file is a suite named after what it proves.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by its panic")]

mod attacks;
mod bad_input;
mod chat;
mod guard;
mod jwks;
mod jwt;
mod keys;
mod limits;
mod operation;
mod parity;
mod parked;
mod replicas;
mod support;
mod usage;
