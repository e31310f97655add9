//! Changing and revoking a key. What a caller asks for is read by `change`, whether it may is `domain::grant`'s to say,
//! and it is asked in the store's transaction, of the calling key as it is there: what a change takes away from a
//! key, a call of that key that is under way must not put back.

use crate::{
    domain::{
        audit::Action,
        caller::Lapsed,
        grant::{self, Escalation, Holding},
        key::Key,
        violation::Violations,
    },
    proto::v1,
    service::{
        Failure, Reason,
        admitted::Call,
        guard::account,
        keys::{Keys, NewLists, Update, key_id_of, not_found},
    },
    store::{RevokeKeyError, UpdateKeyError},
};

/// Why a key is not changed.
pub(super) enum Unchanged {
    Revoked,
    /// It has this revision.
    Moved(i64),
    Lapsed(Lapsed),
    Escalation(Escalation),
    Invalid(Violations),
}

impl Keys {
    pub(super) async fn update(
        &self,
        call: &Call,
        request: v1::UpdateKeyRequest,
    ) -> Result<v1::Key, Failure> {
        let update = Update::read(&request, self.parts.clock.now())?;
        self.change((call, Action::UpdateKey), &request.key_id, request.revision, move |key| {
            update.apply(key);
            Ok(())
        })
        .await
    }

    pub(super) async fn replace_toollist(
        &self,
        call: &Call,
        request: v1::SetToollistRequest,
    ) -> Result<v1::Key, Failure> {
        let (key_id, revision) = (request.key_id.clone(), request.revision);
        let lists = NewLists::read(request)?;
        let set = (call, Action::SetToollist);
        self.change(set, &key_id, revision, move |key| lists.apply(key)).await
    }

    /// Changes a key that the caller covers before and after, and makes it hold on this process. It must have the
    /// revision that was `expected`, if one was.
    async fn change(
        &self,
        (call, action): (&Call, Action),
        key_id: &str,
        expected: Option<i64>,
        change: impl FnOnce(&mut Key) -> Result<(), Violations> + Send,
    ) -> Result<v1::Key, Failure> {
        let caller = &call.caller;
        let account = account(caller)?;
        let id = key_id_of(key_id)?;
        let policy = account.load().policy.values;
        let now = self.parts.clock.now();
        let changed = self.parts.store.keys().update_by((&call.actor, action), account.id, id, |key, own| {
            at_revision(key, expected)?;
            let own = caller.own(own);
            let held = Holding::of_caller(caller, &own, now).map_err(Unchanged::Lapsed)?;
            let before = key.clone();
            change(key).map_err(Unchanged::Invalid)?;
            grant::may_change(held, &policy, &Holding::of(&before), &Holding::of(key))
                .map_err(Unchanged::Escalation)
        });
        let key = changed.await.map_err(|error| match error {
            UpdateKeyError::NotFound => not_found(key_id),
            UpdateKeyError::Refused(why) => unchanged(why, key_id),
            UpdateKeyError::Store(error) => error.into(),
        })?;
        let message = self.message(&key, account);
        self.parts.authenticator.key_changed(key);
        Ok(message)
    }

    pub(super) async fn revoke(
        &self,
        call: &Call,
        request: &v1::RevokeKeyRequest,
    ) -> Result<v1::RevokeKeyResponse, Failure> {
        let account = account(&call.caller)?;
        let id = key_id_of(&request.key_id)?;
        let keys = self.parts.store.keys();
        let revoked = match request.revision {
            None => keys.revoke(&call.actor, account.id, id).await?,
            Some(revision) => {
                keys.revoke_at(&call.actor, account.id, id, revision).await.map_err(|error| match error {
                    RevokeKeyError::Moved(revision) => unchanged(Unchanged::Moved(revision), &request.key_id),
                    RevokeKeyError::Store(error) => error.into(),
                })?
            }
        };
        let revoked = revoked.ok_or_else(|| not_found(&request.key_id))?;
        self.parts.authenticator.key_changed(revoked.key);
        Ok(v1::RevokeKeyResponse { id: id.to_string(), revoked: true })
    }
}

/// Whether a key can be changed at all, and is what its caller takes it for.
pub(super) fn at_revision(key: &Key, expected: Option<i64>) -> Result<(), Unchanged> {
    if key.revoked_at.is_some() {
        return Err(Unchanged::Revoked);
    }
    match expected {
        Some(expected) if expected != key.revision => Err(Unchanged::Moved(key.revision)),
        _ => Ok(()),
    }
}

pub(super) fn unchanged(why: Unchanged, key_id: &str) -> Failure {
    match why {
        Unchanged::Revoked => {
            Failure::new(Reason::Conflict, format!("the key {key_id} is revoked, for good: create a new one"))
        }
        Unchanged::Moved(revision) => Failure::new(
            Reason::Conflict,
            format!(
                "somebody has changed the key {key_id}, which is at revision {revision} now: read it again, and \
                 repeat the call for that revision if it is still what you want"
            ),
        )
        .about("revision"),
        Unchanged::Lapsed(lapsed) => lapsed.into(),
        Unchanged::Escalation(escalation) => escalation.into(),
        Unchanged::Invalid(violations) => violations.into(),
    }
}
