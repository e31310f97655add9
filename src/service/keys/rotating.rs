//! Giving a key a new secret. Whether the caller may is asked as of a change, in `changing`, of a key that is the same
//! before and after: who cannot change a key cannot take it over either.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    domain::{
        caller::Caller,
        generation::OVERLAP_MAX,
        grant::{self, Holding},
        key::Key,
        policy::PolicyValues,
        secret::PlainSecret,
        violation::Violations,
    },
    proto::v1,
    service::{
        Failure,
        admitted::Call,
        convert,
        failures::reused,
        guard::account,
        keys::{
            Keys,
            changing::{Unchanged, at_revision, unchanged},
            key_id_of, not_found, repeating,
        },
    },
    store::{NewSecret, RotateKeyError, Rotation},
};

/// What a caller asks of a rotation, each field within its bounds.
pub(in crate::service) struct Turn {
    overlap: TimeDelta,
}

impl Turn {
    /// Reads the fields of a request.
    pub(in crate::service) fn read(request: &v1::RotateKeyRequest) -> Result<Self, Violations> {
        let mut violations = Violations::new();
        let longest = OVERLAP_MAX.num_seconds();
        let given = request.overlap_seconds;
        let overlap =
            convert::within(&mut violations, "overlap_seconds", given, 0..=longest, "leave it out for none");
        violations.collect(repeating::valid(request.idempotency_key.as_deref()));
        violations.into_result()?;
        Ok(Self { overlap: TimeDelta::seconds(overlap.unwrap_or(0)) })
    }
}

impl Keys {
    pub(super) async fn rotate(
        &self,
        call: &Call,
        request: v1::RotateKeyRequest,
    ) -> Result<v1::IssuedKey, Failure> {
        let caller = &call.caller;
        let account = account(caller)?;
        let turn = Turn::read(&request)?;
        let id = key_id_of(&request.key_id)?;
        let secret = PlainSecret::generate(&mut rand::rng());
        let (pepper_version, digest) = self.parts.peppers.digest(&secret);
        let rotation = Rotation {
            account_id: account.id,
            id,
            by: call.actor.clone(),
            secret: NewSecret { prefix: secret.shown_prefix().to_owned(), digest, pepper_version },
            overlap: turn.overlap,
            once: repeating::rotation(&request),
        };
        let policy = account.load().policy.values;
        let (now, revision) = (self.parts.clock.now(), request.revision);
        let rotated = self.parts.store.keys().rotate(rotation, |key, own| {
            at_revision(key, revision)?;
            may_rotate(caller, (key, own), &policy, now)
        });
        let issued = rotated.await.map_err(|error| match error {
            RotateKeyError::NotFound => not_found(&request.key_id),
            RotateKeyError::Refused(why) => unchanged(why, &request.key_id),
            RotateKeyError::Reused => reused(),
            RotateKeyError::Store(error) => error.into(),
        })?;
        let message = self.message(&issued.key, account);
        if issued.earlier {
            return Ok(convert::issued(&message, None));
        }
        // From here on a secret that has no overlap opens nothing.
        self.parts.authenticator.key_changed(issued.key);
        Ok(convert::issued(&message, Some(&secret)))
    }
}

fn may_rotate(
    caller: &Caller,
    (key, own): (&Key, Option<&Key>),
    policy: &PolicyValues,
    now: DateTime<Utc>,
) -> Result<(), Unchanged> {
    let own = caller.own(own);
    let held = Holding::of_caller(caller, &own, now).map_err(Unchanged::Lapsed)?;
    grant::may_change(held, policy, &Holding::of(key), &Holding::of(key)).map_err(Unchanged::Escalation)
}
