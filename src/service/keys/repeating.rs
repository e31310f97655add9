//! Calls that their caller may send again: by which name, and what a request is compared by.
//!
//! Requests are compared by a digest of their encoding, as it was understood and not as it was spelled: the same call
//! over REST and over gRPC is the same one. A digest, since the request of tomorrow may hold what is not to be kept.

use prost::Message;
use sha2::{Digest, Sha256};

use crate::{
    domain::{secret::reveals, violation::Violations},
    proto::v1,
    store::Once,
};

const FIELD: &str = "idempotency_key";
/// The longest idempotency key.
const LENGTH_MAX: usize = 255;

/// Whether an idempotency key that a caller gave is one.
pub(super) fn valid(given: Option<&str>) -> Result<(), Violations> {
    let Some(given) = given else { return Ok(()) };
    let visible = given.bytes().all(|byte| byte.is_ascii_graphic());
    if reveals(given) {
        return Err(Violations::one(
            FIELD,
            "(`Idempotency-Key`) holds a secret: a new UUID for each call will do",
        ));
    }
    if visible && (1..=LENGTH_MAX).contains(&given.len()) {
        return Ok(());
    }
    let wrong = format!(
        "(`Idempotency-Key`) must be 1 to {LENGTH_MAX} visible ASCII characters: a new UUID for each call that is \
         wanted will do"
    );
    Err(Violations::one(FIELD, wrong))
}

/// How a repetition of a creation is known, if it may be repeated.
pub(super) fn creation(request: &v1::CreateKeyRequest) -> Option<Once> {
    let idempotency_key = request.idempotency_key.clone()?;
    let rest = v1::CreateKeyRequest { idempotency_key: None, ..request.clone() };
    Some(once("CreateKey", idempotency_key, &rest))
}

/// The same of a rotation.
pub(super) fn rotation(request: &v1::RotateKeyRequest) -> Option<Once> {
    let idempotency_key = request.idempotency_key.clone()?;
    let rest = v1::RotateKeyRequest { idempotency_key: None, ..request.clone() };
    Some(once("RotateKey", idempotency_key, &rest))
}

fn once(method: &'static str, idempotency_key: String, rest: &impl Message) -> Once {
    // Without maps in it, a message has one encoding.
    Once { method, idempotency_key, digest: Sha256::digest(rest.encode_to_vec()).into() }
}
