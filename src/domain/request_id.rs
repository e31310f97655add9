//! The id of a request: what ties an answer, a log line and a provider's complaint together.

use std::fmt;

use chrono::{DateTime, Utc};
use rand::Rng;

const PREFIX: &str = "req_";
const LENGTH: usize = PREFIX.len() + 32;

/// The id of one request: `req_` and 32 hexadecimal digits. Made here for every request; one that a client sends
/// is not taken over, since two requests of one id would be no id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; LENGTH]);

impl RequestId {
    /// A new one of this time: 48 bits of it, in milliseconds, then 80 random ones. Begun so, the ids of one time stand
    /// together in an index, and a write touches one page of it and not one for each id. They need be unique, not secret,
    /// so that a fast generator will do.
    pub fn generate(now: DateTime<Utc>, rng: &mut impl Rng) -> Self {
        let mut bytes = [0; 16];
        let (time, random) = bytes.split_at_mut(6);
        time.copy_from_slice(&now.timestamp_millis().to_be_bytes()[2..]);
        rng.fill_bytes(random);
        Self::from_bytes(bytes)
    }

    /// The one with these bits.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let mut text = [0; LENGTH];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        hex::encode_to_slice(bytes, digits).expect("32 digits hold 16 bytes");
        Self(text)
    }

    /// The one that a text says, written exactly as `x-request-id` has it.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let mut bytes = [0; 16];
        hex::decode_to_slice(digits, &mut bytes).ok()?;
        // Of two spellings only one is an id.
        Some(Self::from_bytes(bytes)).filter(|id| id.as_str() == text)
    }

    /// Its bits.
    pub fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        hex::decode_to_slice(&self.0[PREFIX.len()..], &mut bytes).expect("written as 32 digits");
        bytes
    }

    /// The millisecond that it was made in; `None` of bits that no clock said.
    pub fn made_at(&self) -> Option<DateTime<Utc>> {
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(&self.bytes()[..6]);
        DateTime::from_timestamp_millis(i64::from_be_bytes(millis))
    }

    /// As it stands in `x-request-id`.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("written from ASCII only")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_grow_with_the_time() {
        let at = |millis| DateTime::from_timestamp_millis(millis).unwrap();
        let mut rng = rand::rng();
        let mut ids = [1_800_000_000_000, 1_800_000_000_001, 1_900_000_000_000, 1_800_000_000_001]
            .map(|millis| RequestId::generate(at(millis), &mut rng));
        assert!(ids[0].as_str() < ids[1].as_str() && ids[1].as_str() < ids[2].as_str());
        assert_eq!(ids[2].made_at(), Some(at(1_900_000_000_000)));
        ids.sort_unstable_by_key(|id| id.bytes());
        assert!(ids.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!((ids[0].as_str().len(), &ids[0].as_str()[..4]), (36, "req_"));
    }

    #[test]
    fn an_id_is_read_from_its_own_spelling_alone() {
        let id = RequestId::from_bytes([0xa7; 16]);
        assert_eq!(RequestId::parse(id.as_str()), Some(id));
        assert_eq!(RequestId::from_bytes(id.bytes()), id);
        for text in ["", "req_", "req_a7", &id.as_str().to_uppercase(), &id.as_str()[4..], "req_é"] {
            assert_eq!(RequestId::parse(text), None, "{text}");
        }
    }
}
