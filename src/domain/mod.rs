//! Plain types and decisions: no I/O, no async, no tonic, no sea-orm.
//!
//! What a key may do is decided here and only here, so that it can be read, tested and proven without a server.
//! Everything above translates: the store rows into these types, the services these types into messages.

pub mod audit;
pub mod backoff;
pub mod caller;
pub mod chat_answer;
pub mod chat_request;
pub mod delegation;
pub mod generation;
pub mod grant;
pub mod json;
pub mod key;
pub mod limits;
pub mod policy;
pub mod request_id;
pub mod secret;
pub mod signing;
pub mod tool_health;
pub mod toollist;
pub mod usage;
pub mod violation;
