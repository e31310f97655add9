//! The id of a request: what ties an answer, a log line and a provider's complaint together.

use std::fmt;

use rand::Rng;

const PREFIX: &str = "req_";
const LENGTH: usize = PREFIX.len() + 32;

/// The id of one request: `req_` and 32 hexadecimal digits. Made here for every request; one that a client sends
/// is not taken over, since two requests of one id would be no id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestId([u8; LENGTH]);

impl RequestId {
    /// A new one. Its 128 random bits need be unique, not secret, so that a fast generator will do.
    pub fn generate(rng: &mut impl Rng) -> Self {
        let mut random = [0; 16];
        rng.fill_bytes(&mut random);
        Self::from_bytes(random)
    }

    /// The one with these bits.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let mut text = [0; LENGTH];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        hex::encode_to_slice(bytes, digits).expect("32 digits hold 16 bytes");
        Self(text)
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
