//! The house's issuer of JWTs: an Ed25519 key of the test's own, and tokens signed with it.
//!
//! A token can be bent in any way before it is signed, so that a test can ask what each claim is good for.

use std::{fs, path::Path};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// The `iss` of its tokens.
pub(crate) const ISSUER: &str = "https://issuer.example";
/// The `aud` of its tokens.
pub(crate) const AUDIENCE: &str = "orqen";
/// The `kid` of its key.
pub(crate) const KEY_ID: &str = "test-1";

/// An issuer of tokens.
pub(crate) struct Issuer {
    key: Ed25519KeyPair,
}

impl Issuer {
    /// One with a new key.
    pub(crate) fn new() -> Self {
        Self { key: Ed25519KeyPair::generate().unwrap() }
    }

    /// One with this key.
    pub(crate) fn of(seed: &[u8; 32]) -> Self {
        Self { key: Ed25519KeyPair::from_seed_unchecked(seed).unwrap() }
    }

    /// Writes its public key as a PEM file.
    pub(crate) fn write_pem(&self, path: &Path) {
        // SubjectPublicKeyInfo of an Ed25519 key (RFC 8410): these bytes, then the key's 32.
        let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        der.extend_from_slice(self.key.public_key().as_ref());
        let text = BASE64_STANDARD.encode(der);
        fs::write(path, format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")).unwrap();
    }

    /// Its public key, as an entry of a JWKS.
    pub(crate) fn jwk(&self) -> Value {
        let x = BASE64_URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KEY_ID, "x": x})
    }

    /// A token of an operator, good for an hour from `now`.
    pub(crate) fn operator(&self, now: DateTime<Utc>) -> String {
        self.token(&claims(now, json!({"scope": "operator"})))
    }

    /// A token with these claims.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&json!({"alg": "EdDSA", "typ": "JWT", "kid": KEY_ID}), claims)
    }

    /// A token with this header and these claims.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes()).as_ref());
        format!("{text}.{signature}")
    }
}

/// Claims that are accepted for an hour from `now`, and `more`, which replaces what it names; `null` takes out.
pub(crate) fn claims(now: DateTime<Utc>, more: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "tester",
        "nbf": (now - TimeDelta::minutes(1)).timestamp(),
        "exp": (now + TimeDelta::hours(1)).timestamp(),
    });
    let known = claims.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        known.insert(name.clone(), value.clone());
    }
    known.retain(|_, value| !value.is_null());
    claims
}
