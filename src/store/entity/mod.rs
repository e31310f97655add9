//! The tables as sea-orm sees them: one file a table, columns and keys, no behaviour.
//!
//! Times are UTC at microsecond precision. Lists are JSON in a text column, where SQL NULL means "no list" and
//! `[]` an empty one: a JSON column would have a `null` of its own, a third thing to mean one of the two.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "the derives write public items; `migration` says what they hold"
)]

pub(super) mod account;
pub(super) mod audit_event;
pub(super) mod change;
pub(super) mod change_counter;
pub(super) mod key;
pub(super) mod key_generation;
pub(super) mod once;
pub(super) mod policy;
pub(super) mod usage_daily;
pub(super) mod usage_record;
pub(super) mod usage_writer;
