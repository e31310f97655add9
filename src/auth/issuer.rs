//! The issuer's public keys, read from a JWKS or a PEM text, and which of them may check which tokens. Wherever a JWKS
//! comes from, a file or a URL, its keys go by these rules.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The most bytes of a JWKS or a PEM text: far beyond any real one.
pub(super) const LARGEST: usize = 1024 * 1024;
/// The most keys of a JWKS. A token that names none is tried with each.
const MOST_KEYS: usize = 100;

/// A key and the one algorithm that it checks.
pub(super) struct IssuerKey {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// What a JWKS holds.
#[derive(Default)]
pub(super) struct Jwks {
    /// The keys that one of the algorithms can use. May be none.
    pub(super) keys: Vec<IssuerKey>,
    /// What is wrong with those that should be such keys, and cannot be read.
    pub(super) faults: Vec<String>,
}

/// Why there are no keys where keys should be.
pub(super) const NONE_FITS: &str = "none of its keys fits";

/// Reads a JWKS. Keys of other kinds are passed over, as RFC 7517 (section 5) has it: an issuer may have some for others.
pub(super) fn jwks(bytes: &[u8], algorithms: &[Algorithm]) -> Result<Jwks, String> {
    #[derive(Deserialize)]
    struct Set<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    let set: Set<'_> = serde_json::from_slice(bytes).map_err(|error| format!("it is no JWKS ({error})"))?;
    if set.keys.len() > MOST_KEYS {
        return Err(format!("it has {} keys, more than {MOST_KEYS}", set.keys.len()));
    }
    let mut read = Jwks::default();
    for (place, text) in set.keys.iter().enumerate() {
        let fault = |error: String| format!("keys[{place}] cannot be read: {error}");
        let jwk: Jwk = match serde_json::from_str(text.get()) {
            Ok(jwk) => jwk,
            Err(error) => {
                read.faults.push(fault(error.to_string()));
                continue;
            }
        };
        for algorithm in algorithms.iter().filter(|algorithm| fits(&jwk, **algorithm)) {
            match DecodingKey::from_jwk(&jwk) {
                Ok(key) => {
                    read.keys.push(IssuerKey { kid: jwk.common.key_id.clone(), algorithm: *algorithm, key });
                }
                Err(error) => read.faults.push(fault(error.to_string())),
            }
        }
    }
    Ok(read)
}

/// Whether a key of a JWKS is one that `algorithm` signs with. Symmetric keys fit none.
fn fits(jwk: &Jwk, algorithm: Algorithm) -> bool {
    let common = &jwk.common;
    if common.key_algorithm.is_some_and(|named| named.to_string() != format!("{algorithm:?}")) {
        return false;
    }
    // A key to encrypt with, say, may be known to more than those who may sign.
    if common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature)
        || common.key_operations.as_ref().is_some_and(|may| !may.contains(&KeyOperations::Verify))
    {
        return false;
    }
    match (&jwk.algorithm, algorithm) {
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
        _ => false,
    }
}

/// Reads a PEM text with one public key; the error says why there is none.
pub(super) fn pem(bytes: &[u8], algorithms: &[Algorithm]) -> Result<Vec<IssuerKey>, String> {
    let mut why = String::new();
    let mut keys = Vec::new();
    for algorithm in algorithms {
        let key = match algorithm {
            Algorithm::EdDSA => DecodingKey::from_ed_pem(bytes),
            Algorithm::ES256 => DecodingKey::from_ec_pem(bytes),
            _ => DecodingKey::from_rsa_pem(bytes),
        };
        match key {
            Ok(key) => keys.push(IssuerKey { kid: None, algorithm: *algorithm, key }),
            Err(error) => why = error.to_string(),
        }
    }
    if keys.is_empty() { Err(why) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ed(more: Value) -> Value {
        let mut key =
            json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    }

    fn read(keys: Value) -> Result<Jwks, String> {
        jwks(json!({"keys": keys}).to_string().as_bytes(), &[Algorithm::EdDSA, Algorithm::ES256])
    }

    #[test]
    fn only_keys_that_check_signatures_are_taken() {
        for (more, taken) in [
            (json!({}), true),
            (json!({"use": "sig", "alg": "EdDSA", "kid": "a"}), true),
            (json!({"key_ops": ["verify"]}), true),
            (json!({"use": "enc"}), false),
            (json!({"use": "tls"}), false),
            (json!({"key_ops": ["encrypt"]}), false),
            (json!({"key_ops": []}), false),
            (json!({"alg": "ES256"}), false),
            (json!({"alg": "HS256"}), false),
            (json!({"alg": "a-new-one"}), false),
            (json!({"kty": "oct", "k": "c2VjcmV0"}), false),
            (json!({"crv": "Ed448"}), false),
            (json!({"crv": "P-256"}), false),
        ] {
            assert_eq!(read(json!([ed(more.clone())])).unwrap().keys.len(), usize::from(taken), "{more}");
        }
    }

    #[test]
    fn a_key_that_cannot_be_read_is_told_and_leaves_the_others() {
        let broken = [ed(json!({"x": "%%%"})), ed(json!({"kid": 5})), json!("a key")];
        for broken in broken {
            let read = read(json!([broken, ed(json!({"kid": "a"}))])).unwrap();
            let ids: Vec<_> = read.keys.iter().map(|key| key.kid.as_deref()).collect();
            assert_eq!((ids, read.faults.len()), (vec![Some("a")], 1), "{broken}");
            assert!(read.faults[0].starts_with("keys[0]"), "{:?}", read.faults);
        }
    }

    #[test]
    fn a_set_has_bounds_and_a_shape() {
        assert_eq!(read(json!(vec![ed(json!({})); MOST_KEYS])).unwrap().keys.len(), MOST_KEYS);
        assert!(read(json!(vec![ed(json!({})); MOST_KEYS + 1])).err().unwrap().contains("101 keys"));
        for text in ["", "{}", "[]", "{\"keys\":{}}", "<!doctype html><title>Log in</title>"] {
            let error = jwks(text.as_bytes(), &[Algorithm::EdDSA]).err().unwrap();
            assert!(error.starts_with("it is no JWKS"), "{error}");
        }
    }
}
