//! `[auth]`: the peppers that secrets are stored under, the keys that tokens are signed with, the key cache, and the issuer of internal callers.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    config::{inspect::Section, jwt::Jwt, problem::Problems},
    domain::{secret::Peppers, signing::SigningKeys},
};

/// `[auth]`.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Peppers, each `VERSION:HEX`; the greatest version is used for new keys.
    #[serde(default, with = "hidden")]
    pub peppers: Vec<SecretString>,
    /// A file with one pepper a line; absent: beside a SQLite file, made at the first start.
    #[serde(default)]
    pub pepper_file: Option<PathBuf>,
    /// The keys of delegated tokens, each `VERSION:HEX`; the greatest version signs.
    #[serde(default, with = "hidden")]
    pub signing_keys: Vec<SecretString>,
    /// A file with one signing key a line; absent: beside a SQLite file, made at the first start.
    #[serde(default)]
    pub signing_key_file: Option<PathBuf>,
    /// The issuer of internal callers' JWTs; absent: JWTs are refused.
    #[serde(default)]
    pub jwt: Option<Jwt>,
    /// How many keys are cached.
    pub cache_keys: u64,
}

impl Section for Auth {
    fn check(&self, at: &str, problems: &mut Problems<'_>) {
        // Checked here, though built elsewhere: a bad pepper is a problem of the configuration like any other.
        if !self.peppers.is_empty()
            && let Err(error) = Peppers::parse(self.peppers.iter().map(SecretString::expose_secret))
        {
            problems.add(format!("{at}.peppers"), error.to_string());
        }
        if !self.peppers.is_empty() && self.pepper_file.is_some() {
            problems.add(format!("{at}.pepper_file"), "is given beside `peppers`: keep one of the two");
        }
        if !self.signing_keys.is_empty()
            && let Err(error) = SigningKeys::parse(self.signing_keys.iter().map(SecretString::expose_secret))
        {
            problems.add(format!("{at}.signing_keys"), error.to_string());
        }
        if !self.signing_keys.is_empty() && self.signing_key_file.is_some() {
            problems
                .add(format!("{at}.signing_key_file"), "is given beside `signing_keys`: keep one of the two");
        }
        // Past ten million the cache alone would take gigabytes.
        problems.within(&format!("{at}.cache_keys"), self.cache_keys, 1..=10_000_000);
        if let Some(jwt) = &self.jwt {
            jwt.check(&format!("{at}.jwt"), problems);
        }
    }
}

/// Peppers and signing keys: read as text, written as `***`.
mod hidden {
    use secrecy::SecretString;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<SecretString>, D::Error> {
        Ok(Vec::<String>::deserialize(deserializer)?.into_iter().map(SecretString::from).collect())
    }

    pub(super) fn serialize<S: Serializer>(
        secrets: &[SecretString],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(secrets.iter().map(|_| "***"))
    }
}
