//! `AccountService`: who one is, and, for operators, accounts and their policies. What it does to many keys at once
//! is in `revocations`.

use std::{ops::RangeInclusive, sync::Arc};

use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    domain::{
        audit::Actor,
        key::{AccountId, valid_name},
        limits::{LIMIT_MAX, TOOLS_MAX},
        policy::{Account, PolicyValues},
        violation::{Violations, shown},
    },
    proto::v1::{self, account_service_server::AccountService},
    service::{
        Failure, Parts, Reason,
        admitted::{call, caller},
        convert,
        page::Page,
        revocations,
    },
    store::{CreateAccountError, UpdateAccountError},
};

pub(super) struct Accounts {
    parts: Arc<Parts>,
}

impl Accounts {
    pub(super) fn new(parts: Arc<Parts>) -> Self {
        Self { parts }
    }

    async fn create(&self, actor: &Actor, request: v1::CreateAccountRequest) -> Result<Account, Failure> {
        let name = valid_name("name", &request.name)?;
        let id = AccountId(Uuid::now_v7());
        self.parts.store.accounts().create(actor, id, &name, self.parts.policy).await.map_err(|error| {
            match error {
                CreateAccountError::NameTaken => Failure::new(
                    Reason::Conflict,
                    format!("there is an account {} already: choose another name", shown(&name)),
                )
                .about("name"),
                CreateAccountError::Store(error) => error.into(),
            }
        })
    }

    async fn list(&self, request: v1::ListAccountsRequest) -> Result<v1::ListAccountsResponse, Failure> {
        let page = Page::parse(request.page_size, &request.page_token)?;
        let mut accounts = self.parts.store.accounts().list(page.size + 1, page.last.map(AccountId)).await?;
        let next_page_token = page.cut(&mut accounts, |account| account.id.0);
        Ok(v1::ListAccountsResponse {
            accounts: accounts.iter().map(convert::account).collect(),
            next_page_token,
        })
    }

    async fn find(&self, account_id: &str) -> Result<Account, Failure> {
        let id = account_id_of(account_id)?;
        self.parts.store.accounts().find(id).await?.ok_or_else(|| not_found(account_id))
    }

    async fn update_policy(
        &self,
        actor: &Actor,
        request: v1::UpdatePolicyRequest,
    ) -> Result<Account, Failure> {
        let mut violations = Violations::new();
        let mask = request.update_mask.as_ref();
        let named = FIELDS.each_ref().map(|field| (field.name, (field.is_set)(&request)));
        let names = convert::masked(&mut violations, mask, &named);
        let given = violations.collect(policy(&request)).unwrap_or_default();
        violations.into_result()?;
        let id = account_id_of(&request.account_id)?;
        let account = self
            .parts
            .store
            .accounts()
            .update_policy::<std::convert::Infallible>(actor, id, |values| {
                FIELDS
                    .iter()
                    .filter(|field| names.contains(&field.name))
                    .for_each(|field| (field.take)(values, &given));
                Ok(())
            })
            .await
            .map_err(|error| match error {
                UpdateAccountError::NotFound => not_found(&request.account_id),
                UpdateAccountError::Store(error) => error.into(),
                UpdateAccountError::Refused(never) => match never {},
            })?;
        self.parts.authenticator.account_changed(account.clone());
        Ok(account)
    }
}

/// A value of a policy that an update may change.
struct Field {
    name: &'static str,
    is_set: fn(&v1::UpdatePolicyRequest) -> bool,
    take: fn(&mut PolicyValues, &PolicyValues),
}

/// The fields of these names, which request and policy share.
macro_rules! fields {
    ($($name:ident),* $(,)?) => {
        [$(Field {
            name: stringify!($name),
            is_set: |request| request.$name.is_some(),
            take: |values, given| values.$name = given.$name,
        }),*]
    };
}

const FIELDS: [Field; 11] = fields![
    requests_per_minute,
    concurrent_requests,
    daily_token_budget,
    weekly_token_budget,
    tool_window,
    max_keys,
    prune_mode,
    account_requests_per_minute,
    account_concurrent_requests,
    account_daily_token_budget,
    account_weekly_token_budget,
];

/// The values that a request holds, each within its bounds.
pub(super) fn policy(request: &v1::UpdatePolicyRequest) -> Result<PolicyValues, Violations> {
    let mut violations = Violations::new();
    let mut read = |field: &str, given: Option<i64>, bounds: &RangeInclusive<i64>| {
        convert::within(&mut violations, field, given, bounds.clone(), "null for no limit of its own")
    };
    let (most, tools) = (1..=LIMIT_MAX, 1..=TOOLS_MAX);
    let budget = 0..=LIMIT_MAX;
    let mut values = PolicyValues {
        prune_mode: None,
        requests_per_minute: read("requests_per_minute", request.requests_per_minute, &most),
        concurrent_requests: read("concurrent_requests", request.concurrent_requests, &most),
        daily_token_budget: read("daily_token_budget", request.daily_token_budget, &budget),
        weekly_token_budget: read("weekly_token_budget", request.weekly_token_budget, &budget),
        tool_window: read("tool_window", request.tool_window, &tools),
        max_keys: read("max_keys", request.max_keys, &most),
        account_requests_per_minute: read(
            "account_requests_per_minute",
            request.account_requests_per_minute,
            &most,
        ),
        account_concurrent_requests: read(
            "account_concurrent_requests",
            request.account_concurrent_requests,
            &most,
        ),
        account_daily_token_budget: read(
            "account_daily_token_budget",
            request.account_daily_token_budget,
            &budget,
        ),
        account_weekly_token_budget: read(
            "account_weekly_token_budget",
            request.account_weekly_token_budget,
            &budget,
        ),
    };
    values.prune_mode = violations.collect(convert::prune_mode(request.prune_mode)).flatten();
    violations.into_result()?;
    Ok(values)
}

pub(super) fn account_id_of(given: &str) -> Result<AccountId, Failure> {
    Uuid::parse_str(given).map(AccountId).map_err(|_| not_found(given))
}

pub(super) fn not_found(given: &str) -> Failure {
    Failure::new(
        Reason::AccountNotFound,
        format!("there is no account {}: list the accounts to see their ids", shown(given)),
    )
    .about("account_id")
}

#[tonic::async_trait]
impl AccountService for Accounts {
    async fn get_me(
        &self,
        request: Request<v1::GetMeRequest>,
    ) -> Result<Response<v1::GetMeResponse>, Status> {
        let caller = caller(&request)?;
        let account = caller.account().map(|cell| cell.load());
        let key = match (&account, caller.key()) {
            (Some(account), Some(key)) => {
                // From the store, for `last_used_at`; the cached key is the answer while it is away.
                let fresh = self.parts.store.keys().find(account.id, key.id).await.ok().flatten();
                // Of a token, as its bearer has it.
                let narrowed = fresh.as_ref().zip(caller.token()).map(|(key, token)| token.narrowed(key));
                let key = narrowed.as_ref().or(fresh.as_ref()).unwrap_or(key);
                Some(convert::key(key, &account.policy, self.parts.clock.now()))
            }
            _ => None,
        };
        Ok(Response::new(v1::GetMeResponse {
            account: account.map(|account| convert::account(&account)),
            key,
        }))
    }

    async fn create_account(
        &self,
        request: Request<v1::CreateAccountRequest>,
    ) -> Result<Response<v1::CreateAccountResponse>, Status> {
        let call = call(&request)?;
        let account = self.create(&call.actor, request.into_inner()).await?;
        Ok(Response::new(v1::CreateAccountResponse { account: Some(convert::account(&account)) }))
    }

    async fn list_accounts(
        &self,
        request: Request<v1::ListAccountsRequest>,
    ) -> Result<Response<v1::ListAccountsResponse>, Status> {
        caller(&request)?;
        Ok(Response::new(self.list(request.into_inner()).await?))
    }

    async fn get_account(
        &self,
        request: Request<v1::GetAccountRequest>,
    ) -> Result<Response<v1::GetAccountResponse>, Status> {
        caller(&request)?;
        let account = self.find(&request.get_ref().account_id).await?;
        Ok(Response::new(v1::GetAccountResponse { account: Some(convert::account(&account)) }))
    }

    async fn update_policy(
        &self,
        request: Request<v1::UpdatePolicyRequest>,
    ) -> Result<Response<v1::UpdatePolicyResponse>, Status> {
        let call = call(&request)?;
        let account = Accounts::update_policy(self, &call.actor, request.into_inner()).await?;
        Ok(Response::new(v1::UpdatePolicyResponse { account: Some(convert::account(&account)) }))
    }

    async fn revoke_keys(
        &self,
        request: Request<v1::RevokeKeysRequest>,
    ) -> Result<Response<v1::RevokeKeysResponse>, Status> {
        let call = call(&request)?;
        Ok(Response::new(revocations::revoke_keys(&self.parts, &call.actor, request.get_ref()).await?))
    }
}
