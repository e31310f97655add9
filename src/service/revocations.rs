//! `AccountService.RevokeKeys`: ending many keys of an account at once, after a leak or when somebody leaves.
//!
//! Each step of the sweep is a transaction of its own and holds on this process before the next one begins. A call
//! ends a bounded number and says whether there may be more, so that neither it nor its answer grows with the account.

use crate::{
    domain::{audit::Actor, violation::Violations},
    proto::v1,
    service::{Failure, Parts, accounts, convert},
    store::KeysMeant,
};

/// How many keys a call ends at most, but for the rest of its last step: half a megabyte of ids.
const MOST: usize = 10_000;

/// Ends the keys of an account that a request means.
pub(super) async fn revoke_keys(
    parts: &Parts,
    actor: &Actor,
    request: &v1::RevokeKeysRequest,
) -> Result<v1::RevokeKeysResponse, Failure> {
    let meant = meant(request)?;
    let id = accounts::account_id_of(&request.account_id)?;
    let account = parts.store.accounts().find(id).await?;
    account.ok_or_else(|| accounts::not_found(&request.account_id))?;
    let (mut key_ids, mut from) = (Vec::new(), None);
    loop {
        let swept = parts.store.keys().sweep(actor, id, &meant, from).await?;
        for key in swept.revoked {
            parts.authenticator.key_revoked(key);
            key_ids.push(key.to_string());
        }
        from = swept.next;
        if from.is_none() || key_ids.len() >= MOST {
            let revoked = i64::try_from(key_ids.len()).map_err(Failure::internal)?;
            return Ok(v1::RevokeKeysResponse { revoked, key_ids, more: from.is_some() });
        }
    }
}

/// Which keys a request means. That it means all of them has to be said: a condition that was lost on its way must
/// not end every key of an account.
pub(super) fn meant(request: &v1::RevokeKeysRequest) -> Result<KeysMeant, Violations> {
    let mut violations = Violations::new();
    let created_by = request.created_by.clone();
    if created_by.as_deref().is_some_and(str::is_empty) {
        violations.add(
            "created_by",
            "must not be empty: give `created_by` as a key shows it, such as `jwt:subject`, or leave it out",
        );
    }
    let time = request.created_before.as_ref().map(|time| convert::time("created_before", time));
    let created_before = time.and_then(|time| violations.collect(time));
    let conditions = request.created_by.is_some() || request.created_before.is_some();
    match (conditions, request.all.unwrap_or(false)) {
        (false, false) => {
            violations
                .add("all", "must be true to revoke every key: say so, or give created_by or created_before");
        }
        (true, true) => violations.add("all", "cannot stand beside a condition: leave one of the two out"),
        _ => {}
    }
    violations.into_result()?;
    Ok(KeysMeant { created_by, created_before })
}
