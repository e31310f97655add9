//! The keys that delegated tokens are signed with: a secret beside the store, like the pepper.
//!
//! Versions, so that one can be replaced while tokens of the one before still live: the greatest signs, all are
//! believed. Only the text is understood here; what is done with it is `auth`'s.

use std::fmt;

use rand::CryptoRng;
use secrecy::{ExposeSecret, SecretBox, SecretString};

use crate::domain::secret::is_guessable;

/// The length of an Ed25519 key (RFC 8032, 5.1.5), in bytes.
pub const SEED_LENGTH: usize = 32;

/// The signing keys, the newest first. There is always one.
pub struct SigningKeys(Vec<SigningKey>);

/// One version of it.
struct SigningKey {
    version: u32,
    seed: SecretBox<[u8; SEED_LENGTH]>,
}

/// Why a list of signing keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// There is none.
    #[error("no signing key is given")]
    None,
    /// Not `VERSION:DIGITS`.
    #[error(
        "a signing key is its version, a colon and 64 hexadecimal digits (`1:…`), as `openssl rand -hex 32` prints them"
    )]
    Shape,
    /// A version is there twice.
    #[error("signing key version {0} is there twice")]
    Repeated(u32),
}

impl SigningKeys {
    /// Reads keys, each written `VERSION:HEX` with 32 bytes.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, SigningKeyError> {
        let mut keys: Vec<SigningKey> = Vec::new();
        for entry in entries {
            let (version, digits) = entry.trim().split_once(':').ok_or(SigningKeyError::Shape)?;
            let version: u32 = version.parse().map_err(|_| SigningKeyError::Shape)?;
            let mut seed = Box::new([0; SEED_LENGTH]);
            hex::decode_to_slice(digits, &mut *seed).map_err(|_| SigningKeyError::Shape)?;
            if keys.iter().any(|known| known.version == version) {
                return Err(SigningKeyError::Repeated(version));
            }
            keys.push(SigningKey { version, seed: SecretBox::new(seed) });
        }
        if keys.is_empty() {
            return Err(SigningKeyError::None);
        }
        keys.sort_by_key(|key| std::cmp::Reverse(key.version));
        Ok(Self(keys))
    }

    /// The versions that somebody typed instead of drawing them.
    pub fn guessable(&self) -> impl Iterator<Item = u32> {
        self.seeds().filter(|(_, seed)| is_guessable(*seed)).map(|(version, _)| version)
    }

    /// A new key of version 1, written as `parse` reads it.
    pub fn generate(rng: &mut impl CryptoRng) -> SecretString {
        let mut bytes = [0; SEED_LENGTH];
        rng.fill_bytes(&mut bytes);
        format!("1:{}", hex::encode(bytes)).into()
    }

    /// Each version with its key, the newest first.
    pub fn seeds(&self) -> impl Iterator<Item = (u32, &[u8; SEED_LENGTH])> {
        self.0.iter().map(|key| (key.version, key.seed.expose_secret()))
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKeys(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_comes_first_and_what_is_no_key_is_refused() {
        let (old, new) = ("1:".to_owned() + &"a1".repeat(32), "2:".to_owned() + &"b2".repeat(32));
        let keys = SigningKeys::parse([old.as_str(), new.as_str()]).unwrap();
        assert_eq!(
            keys.seeds().map(|(version, seed)| (version, seed[0])).collect::<Vec<_>>(),
            [(2, 0xb2), (1, 0xa1)]
        );
        assert_eq!(format!("{keys:?}"), "SigningKeys(…)");
        assert_eq!(keys.guessable().collect::<Vec<_>>(), [2, 1], "one byte, over and over");
        for (entries, error) in [
            (&[][..], SigningKeyError::None),
            (&["1:a1"], SigningKeyError::Shape),
            (&["a1"], SigningKeyError::Shape),
            (&[&(old.clone() + "a1")], SigningKeyError::Shape),
            (&[&old, &old], SigningKeyError::Repeated(1)),
        ] {
            assert_eq!(SigningKeys::parse(entries.iter().copied()).unwrap_err(), error);
        }
        SigningKeys::parse([SigningKeys::generate(&mut rand::rng()).expose_secret()]).unwrap();
    }
}
