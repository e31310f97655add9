//! Handing on what a key holds, for a while: a token for a sub-agent, of which nothing is stored.

use chrono::TimeDelta;
use secrecy::ExposeSecret;
use uuid::Uuid;

use crate::{
    auth::TooLong,
    domain::{
        audit::Deed,
        delegation::{Delegation, ENTRIES_MAX, LIFETIME, LIFETIME_MAX, Parent, WantedToken},
        grant::Holding,
        key::{Key, KeyStatus},
        toollist::Toollist,
        violation::Violations,
    },
    proto::v1,
    service::{
        Failure, Reason,
        admitted::Call,
        convert,
        guard::account,
        keys::{Keys, key_id_of, not_found},
    },
};

/// The fields of a request, each within its bounds.
pub(in crate::service) fn wanted(request: v1::DelegateKeyRequest) -> Result<WantedToken, Violations> {
    let mut violations = Violations::new();
    let longest = LIFETIME_MAX.num_seconds();
    let given = request.expires_in_seconds;
    let or = "leave it out for 600";
    let seconds = convert::within(&mut violations, "expires_in_seconds", given, 1..=longest, or);
    let scopes = request.scopes.as_ref().map(|list| violations.collect(convert::scopes(list)));
    let tool_mode = violations.collect(convert::tool_mode(request.tool_mode));
    for (field, list) in [("allowed_tools", &request.allowed_tools), ("denied_tools", &request.denied_tools)]
    {
        let length = list.as_ref().map_or(0, |list| list.values.len());
        if length > ENTRIES_MAX {
            let problem = format!("has {length} names: a token holds {ENTRIES_MAX}, use patterns (github_*)");
            violations.add(field, problem);
        }
    }
    let unbound = Toollist::unbound();
    let toollist =
        violations.collect(convert::toollist(request.allowed_tools, request.denied_tools, &unbound));
    violations.into_result()?;
    Ok(WantedToken {
        id: Uuid::now_v7(),
        scopes: scopes.flatten(),
        toollist: toollist.unwrap_or(unbound),
        tool_mode: tool_mode.flatten(),
        lifetime: seconds.map_or(LIFETIME, TimeDelta::seconds),
    })
}

impl Keys {
    pub(super) async fn delegate(
        &self,
        call: &Call,
        request: v1::DelegateKeyRequest,
    ) -> Result<v1::DelegateKeyResponse, Failure> {
        let caller = &call.caller;
        let account = account(caller)?;
        let key_id = request.key_id.clone();
        let wanted = wanted(request)?;
        let id = key_id_of(&key_id)?;
        // From the store: what a key may hand on is what it holds there, not what a cache still believes.
        let key = self.parts.store.keys().find(account.id, id).await?.ok_or_else(|| not_found(&key_id))?;
        let now = self.parts.clock.now();
        let delegation = if caller.key_id() == Some(id) {
            // Asked for its errors: a key that has ended hands nothing on.
            Holding::of_caller(caller, &caller.own(Some(&key)), now)?;
            let generation = caller.generation().unwrap_or_else(|| key.newest());
            Parent { key: &key, generation, token: caller.token() }.delegate(None, &wanted, now)?
        } else {
            let own = match caller.key_id() {
                Some(own) => self.parts.store.keys().find(account.id, own).await?,
                None => None,
            };
            let own = caller.own(own.as_ref());
            let held = Holding::of_caller(caller, &own, now)?;
            active(&key, key.status(now))?;
            Parent { key: &key, generation: key.newest(), token: None }.delegate(held, &wanted, now)?
        };
        let token = self.parts.authenticator.mint(&delegation)?;
        // The one trace of it, and so before it is handed out.
        self.parts.store.audit().add(&call.actor, Deed::delegated(&key, &delegation)).await?;
        Ok(answer(token.expose_secret(), &delegation, &key))
    }
}

fn active(key: &Key, status: KeyStatus) -> Result<(), Failure> {
    let (what, instead) = match status {
        KeyStatus::Active => return Ok(()),
        KeyStatus::Disabled => ("switched off", "switch it on first"),
        KeyStatus::Expired => ("past its expiry", "give it a later one first"),
        KeyStatus::Revoked => ("revoked, for good", "use another one"),
    };
    let message = format!("the key {} is {what}, and no token of it would work: {instead}", key.id);
    Err(Failure::new(Reason::Conflict, message))
}

fn answer(token: &str, delegation: &Delegation, key: &Key) -> v1::DelegateKeyResponse {
    let held = delegation.narrowed(key);
    v1::DelegateKeyResponse {
        token: token.to_owned(),
        expires_at: Some(convert::timestamp(delegation.expires_at)),
        key_id: key.id.to_string(),
        scopes: held.scopes.iter().map(|scope| convert::scope(scope).into()).collect(),
        allowed_tools: convert::list(held.toollist.allowed()),
        denied_tools: convert::list(held.toollist.denied()),
        tool_mode: convert::v1_tool_mode(held.tool_mode).into(),
    }
}

impl From<TooLong> for Failure {
    fn from(error: TooLong) -> Self {
        Violations::one("allowed_tools", error.to_string()).into()
    }
}
