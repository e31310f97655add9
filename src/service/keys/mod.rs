//! `KeyService`: the keys of the caller's account. Making and showing them is here, changing them in `changing`,
//! new secrets in `rotating`, tokens in `delegating`, the audit trail in `trail`.

use std::sync::Arc;

use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    domain::{
        audit::Action,
        caller::{AccountCell, Caller},
        grant::Holding,
        key::{Key, KeyId},
        secret::PlainSecret,
        toollist::Toollist,
    },
    proto::v1::{self, key_service_server::KeyService},
    service::{
        Failure, Parts, Reason,
        admitted::{Call, call, caller},
        auditor::Attempt,
        convert,
        guard::account,
        page::Page,
    },
    store::{KeyPage, NewKey},
};

mod change;
mod changing;
mod delegating;
mod draft;
mod repeating;
mod rotating;
mod trail;

use self::draft::Draft;
pub(super) use self::{
    change::{NewLists, Update},
    delegating::wanted,
    draft::check_create,
    rotating::Turn,
    trail::events_of,
};

pub(super) struct Keys {
    parts: Arc<Parts>,
}

impl Keys {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        Self { parts }
    }

    async fn create(&self, call: &Call, request: v1::CreateKeyRequest) -> Result<v1::IssuedKey, Failure> {
        let caller = &call.caller;
        let account = account(caller)?;
        let now = self.parts.clock.now();
        let own = match caller.key_id() {
            Some(id) => self.parts.store.keys().find(account.id, id).await?,
            None => None,
        };
        let own = caller.own(own.as_ref());
        let held = Holding::of_caller(caller, &own, now)?;
        let unbound = Toollist::unbound();
        let once = repeating::creation(&request);
        let draft = Draft::read(request, held.map_or(&unbound, |held| held.toollist), now)?;
        let granted = draft.wanted.granted(held, &account.load().policy.values)?;
        let secret = PlainSecret::generate(&mut rand::rng());
        let (pepper_version, digest) = self.parts.peppers.digest(&secret);
        let new = NewKey {
            id: KeyId(Uuid::now_v7()),
            account_id: account.id,
            name: draft.name,
            scopes: granted.scopes,
            toollist: granted.toollist,
            tool_mode: granted.tool_mode,
            own_limits: granted.limits,
            by: call.actor.clone(),
            expires_at: granted.expires_at,
            prefix: secret.shown_prefix().to_owned(),
            digest,
            pepper_version,
        };
        let issued = self.parts.store.keys().create_once(new, once.as_ref()).await?;
        let message = self.message(&issued.key, account);
        if issued.earlier {
            return Ok(convert::issued(&message, None));
        }
        self.parts.authenticator.key_created();
        Ok(convert::issued(&message, Some(&secret)))
    }

    async fn list(
        &self,
        caller: &Caller,
        request: v1::ListKeysRequest,
    ) -> Result<v1::ListKeysResponse, Failure> {
        let account = account(caller)?;
        let page = Page::parse(request.page_size, &request.page_token)?;
        let mut keys = self
            .parts
            .store
            .keys()
            .list(
                account.id,
                &KeyPage {
                    size: page.size + 1,
                    before: page.last.map(KeyId),
                    include_revoked: request.include_revoked,
                },
            )
            .await?;
        let next_page_token = page.cut(&mut keys, |key| key.id.0);
        Ok(v1::ListKeysResponse {
            keys: keys.iter().map(|key| self.message(key, account)).collect(),
            next_page_token,
        })
    }

    async fn find(&self, caller: &Caller, key_id: &str) -> Result<v1::Key, Failure> {
        let account = account(caller)?;
        let id = key_id_of(key_id)?;
        let key = self.parts.store.keys().find(account.id, id).await?.ok_or_else(|| not_found(key_id))?;
        Ok(self.message(&key, account))
    }

    fn message(&self, key: &Key, account: &AccountCell) -> v1::Key {
        convert::key(key, &account.load().policy, self.parts.clock.now())
    }
}

/// An id that is no UUID is an id that no key has.
fn key_id_of(given: &str) -> Result<KeyId, Failure> {
    Uuid::parse_str(given).map(KeyId).map_err(|_| not_found(given))
}

fn not_found(given: &str) -> Failure {
    Failure::new(
        Reason::KeyNotFound,
        format!(
            "the account has no key {}: list its keys to see their ids",
            crate::domain::violation::shown(given)
        ),
    )
    .about("key_id")
}

#[tonic::async_trait]
impl KeyService for Keys {
    async fn create_key(
        &self,
        request: Request<v1::CreateKeyRequest>,
    ) -> Result<Response<v1::CreateKeyResponse>, Status> {
        let call = call(&request)?;
        let attempt = Attempt::new(&call.caller, call.actor.clone(), Action::CreateKey);
        let created = self.create(&call, request.into_inner()).await;
        let issued = self.parts.auditor.heard(attempt, created).await?;
        Ok(Response::new(v1::CreateKeyResponse { issued_key: Some(issued) }))
    }

    async fn list_keys(
        &self,
        request: Request<v1::ListKeysRequest>,
    ) -> Result<Response<v1::ListKeysResponse>, Status> {
        Ok(Response::new(self.list(&caller(&request)?, request.into_inner()).await?))
    }

    async fn get_key(
        &self,
        request: Request<v1::GetKeyRequest>,
    ) -> Result<Response<v1::GetKeyResponse>, Status> {
        let key = self.find(&caller(&request)?, &request.get_ref().key_id).await?;
        Ok(Response::new(v1::GetKeyResponse { key: Some(key) }))
    }

    async fn update_key(
        &self,
        request: Request<v1::UpdateKeyRequest>,
    ) -> Result<Response<v1::UpdateKeyResponse>, Status> {
        let (call, request) = (call(&request)?, request.into_inner());
        let attempt = Attempt::at(&call, Action::UpdateKey, &request.key_id);
        let updated = self.update(&call, request).await;
        let key = self.parts.auditor.heard(attempt, updated).await?;
        Ok(Response::new(v1::UpdateKeyResponse { key: Some(key) }))
    }

    async fn set_toollist(
        &self,
        request: Request<v1::SetToollistRequest>,
    ) -> Result<Response<v1::SetToollistResponse>, Status> {
        let (call, request) = (call(&request)?, request.into_inner());
        let attempt = Attempt::at(&call, Action::SetToollist, &request.key_id);
        let replaced = self.replace_toollist(&call, request).await;
        let key = self.parts.auditor.heard(attempt, replaced).await?;
        Ok(Response::new(v1::SetToollistResponse { key: Some(key) }))
    }

    async fn rotate_key(
        &self,
        request: Request<v1::RotateKeyRequest>,
    ) -> Result<Response<v1::RotateKeyResponse>, Status> {
        let (call, request) = (call(&request)?, request.into_inner());
        let attempt = Attempt::at(&call, Action::RotateKey, &request.key_id);
        let rotated = self.rotate(&call, request).await;
        let issued = self.parts.auditor.heard(attempt, rotated).await?;
        Ok(Response::new(v1::RotateKeyResponse { issued_key: Some(issued) }))
    }

    async fn delegate_key(
        &self,
        request: Request<v1::DelegateKeyRequest>,
    ) -> Result<Response<v1::DelegateKeyResponse>, Status> {
        let (call, request) = (call(&request)?, request.into_inner());
        let attempt = Attempt::at(&call, Action::DelegateKey, &request.key_id);
        let delegated = self.delegate(&call, request).await;
        Ok(Response::new(self.parts.auditor.heard(attempt, delegated).await?))
    }

    async fn revoke_key(
        &self,
        request: Request<v1::RevokeKeyRequest>,
    ) -> Result<Response<v1::RevokeKeyResponse>, Status> {
        let (call, request) = (call(&request)?, request.into_inner());
        let attempt = Attempt::at(&call, Action::RevokeKey, &request.key_id);
        let revoked = self.revoke(&call, &request).await;
        Ok(Response::new(self.parts.auditor.heard(attempt, revoked).await?))
    }

    async fn list_audit_events(
        &self,
        request: Request<v1::ListAuditEventsRequest>,
    ) -> Result<Response<v1::ListAuditEventsResponse>, Status> {
        Ok(Response::new(self.trail(&caller(&request)?, request.into_inner()).await?))
    }
}
