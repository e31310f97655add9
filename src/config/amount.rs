//! A limit: a whole number, or the word `unlimited`. A word, because a file can set a default aside only by
//! saying something, and 0 or -1 read like "nothing passes" to the next person.

use std::fmt;

use serde::{Deserializer, Serializer, de};

/// How the absence of a limit is written.
pub const UNLIMITED: &str = "unlimited";

/// For `#[serde(with = "amount")]` on an `Option<i64>` whose `None` means unlimited.
///
/// # Errors
/// It is neither a whole number nor `unlimited`.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    deserializer.deserialize_any(Amount)
}

/// For `#[serde(with = "amount")]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(amount: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match amount {
        Some(amount) => serializer.serialize_i64(*amount),
        None => serializer.serialize_str(UNLIMITED),
    }
}

struct Amount;

impl de::Visitor<'_> for Amount {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number or \"unlimited\"")
    }

    fn visit_i64<E: de::Error>(self, amount: i64) -> Result<Self::Value, E> {
        Ok(Some(amount))
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Self::Value, E> {
        if word == UNLIMITED { Ok(None) } else { Err(E::invalid_value(de::Unexpected::Str(word), &self)) }
    }
}
