//! Who changed what: the events of the audit trail.
//!
//! An event holds what differs and not the whole, field by field and under the names that the API has: what was there
//! and what is. So it is read without knowing the version that wrote it, and it cannot hold what a field list does not
//! name, such as a digest. Of what callers wrote themselves, secrets are masked.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::{
    delegation::Delegation,
    generation::LivingSecret,
    key::{AccountId, Key, KeyId, Scope, Scopes},
    policy::PolicyValues,
    request_id::RequestId,
    secret::masked,
    toollist::Toollist,
};

/// Who does something, as the trail has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `key:<id>`, `token:<id> of key:<id>`, `jwt:<subject>`, `cli` or `bootstrap`.
    pub name: String,
    /// The key, if it is one.
    pub key_id: Option<KeyId>,
    /// The request that it is done in, if it is.
    pub request_id: Option<RequestId>,
}

impl Actor {
    /// An operator at the command line.
    pub fn cli() -> Self {
        Self::own("cli")
    }

    /// The first start on an empty store.
    pub fn bootstrap() -> Self {
        Self::own("bootstrap")
    }

    fn own(name: &str) -> Self {
        Self { name: name.to_owned(), key_id: None, request_id: None }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal;)*) => {
        /// What is done, named like the method that does it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Action { $($(#[$doc])* $name,)* }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Action] = &[$(Action::$name,)*];

            /// The word for it, as it is written in JSON and the store.
            pub fn as_str(self) -> &'static str {
                match self { $(Action::$name => $word,)* }
            }

            /// The action of a method, if it is one that changes something.
            pub fn of_method(name: &str) -> Option<Self> {
                match name { $(stringify!($name) => Some(Action::$name),)* _ => None }
            }
        }
    };
}

actions! {
    /// A key is made.
    CreateKey = "create_key";
    /// Settings of a key are changed.
    UpdateKey = "update_key";
    /// The tool lists of a key are replaced.
    SetToollist = "set_toollist";
    /// A key gets a new secret.
    RotateKey = "rotate_key";
    /// A token is made of a key.
    DelegateKey = "delegate_key";
    /// A key is ended.
    RevokeKey = "revoke_key";
    /// Many keys are ended; each that was has an event `revoke_key` of its own.
    RevokeKeys = "revoke_keys";
    /// An account is made.
    CreateAccount = "create_account";
    /// The policy of an account is changed.
    UpdatePolicy = "update_policy";
}

impl Action {
    /// The action that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == word)
    }
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Its name in the API.
    pub field: String,
    /// What it was; null where there was nothing.
    pub before: Value,
    /// What it is; null where there is nothing.
    pub after: Value,
}

/// Why an attempt was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The error's code.
    pub code: String,
    /// The field that it is about, if it is about one.
    pub field: Option<String>,
    /// What the caller was told.
    pub message: String,
}

/// How it went.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was done, and this is different now.
    Done(Vec<FieldChange>),
    /// It was refused.
    Refused(Refusal),
}

/// What happened, to be written down.
#[derive(Debug, Clone, PartialEq)]
pub struct Deed {
    /// The account that it is about.
    pub account_id: AccountId,
    /// What.
    pub action: Action,
    /// The key that it is about, if it is about one.
    pub key_id: Option<KeyId>,
    /// How it went.
    pub outcome: Outcome,
}

/// An event of the trail.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its id: a UUID of version 7, by which events are ordered.
    pub id: Uuid,
    /// When.
    pub at: DateTime<Utc>,
    /// Who: `Actor::name`.
    pub actor: String,
    /// The request that it was done in, if it was.
    pub request_id: Option<RequestId>,
    /// What the action was, in its word: one that this version does not know is still shown.
    pub action: String,
    /// The key that it is about, if it is about one.
    pub key_id: Option<KeyId>,
    /// How it went.
    pub outcome: Outcome,
}

impl Deed {
    /// A key became what it is from what it was; `None` where it was not.
    pub fn on_key(action: Action, before: Option<&Key>, after: &Key) -> Self {
        let before = before.map(key_fields).into_iter().flatten();
        Self {
            account_id: after.account_id,
            action,
            key_id: Some(after.id),
            outcome: Outcome::Done(differing(before, key_fields(after))),
        }
    }

    /// A key was ended.
    pub fn revoked(account_id: AccountId, key_id: KeyId, at: DateTime<Utc>) -> Self {
        let outcome = all_set([("revoked_at", time(Some(at)))]);
        Self { account_id, action: Action::RevokeKey, key_id: Some(key_id), outcome }
    }

    /// A token of a key was made.
    pub fn delegated(key: &Key, token: &Delegation) -> Self {
        let narrowed = token.narrowed(key);
        let [allowed, denied] = lists(&token.toollist);
        let fields = [
            ("token_id", json!(token.id.to_string())),
            ("scopes", scopes(narrowed.scopes)),
            ("allowed_tools", allowed),
            ("denied_tools", denied),
            ("tool_mode", json!(narrowed.tool_mode.as_str())),
            ("expires_at", time(Some(token.expires_at))),
        ];
        Self {
            account_id: key.account_id,
            action: Action::DelegateKey,
            key_id: Some(key.id),
            outcome: all_set(fields),
        }
    }

    /// An account was made.
    pub fn account_made(id: AccountId, name: &str, policy: &PolicyValues) -> Self {
        let name = [("name", text(name))].into_iter();
        let outcome = all_set(name.chain(policy_fields(policy)));
        Self { account_id: id, action: Action::CreateAccount, key_id: None, outcome }
    }

    /// The policy of an account was changed.
    pub fn policy_changed(id: AccountId, before: &PolicyValues, after: &PolicyValues) -> Self {
        let fields = differing(policy_fields(before), policy_fields(after));
        Self { account_id: id, action: Action::UpdatePolicy, key_id: None, outcome: Outcome::Done(fields) }
    }
}

/// A field and its value.
type Field = (&'static str, Value);

/// The fields that are set, of what was not there before.
fn all_set(fields: impl IntoIterator<Item = Field>) -> Outcome {
    Outcome::Done(differing([], fields))
}

/// The fields of `after` that `before`, which has none or the same ones, has otherwise.
fn differing(
    before: impl IntoIterator<Item = Field>,
    after: impl IntoIterator<Item = Field>,
) -> Vec<FieldChange> {
    let before = before.into_iter().map(|(_, value)| value).chain(std::iter::repeat(Value::Null));
    after
        .into_iter()
        .zip(before)
        .filter(|((_, after), before)| after != before)
        .map(|((field, after), before)| FieldChange { field: field.to_owned(), before, after })
        .collect()
}

/// What of a key may differ.
fn key_fields(key: &Key) -> [Field; 13] {
    let [allowed, denied] = lists(&key.toollist);
    let limits = &key.own_limits;
    [
        ("name", text(&key.name)),
        ("disabled", json!(key.disabled)),
        ("scopes", scopes(key.scopes)),
        ("allowed_tools", allowed),
        ("denied_tools", denied),
        ("tool_mode", json!(key.tool_mode.as_str())),
        ("rate_limit_rpm", json!(limits.rate_limit_rpm)),
        ("daily_token_budget", json!(limits.daily_token_budget)),
        ("weekly_token_budget", json!(limits.weekly_token_budget)),
        ("k_target_override", json!(limits.k_target_override)),
        ("expires_at", time(key.expires_at)),
        ("revoked_at", time(key.revoked_at)),
        ("generations", key.secrets.iter().map(generation).collect()),
    ]
}

/// A secret, by what may be shown of it. When it was last used is no change of the key.
fn generation(secret: &LivingSecret) -> Value {
    json!({
        "number": secret.number,
        "key_prefix": secret.prefix,
        "expires_at": time(secret.expires_at),
    })
}

fn policy_fields(policy: &PolicyValues) -> [Field; 11] {
    [
        ("requests_per_minute", json!(policy.requests_per_minute)),
        ("concurrent_requests", json!(policy.concurrent_requests)),
        ("daily_token_budget", json!(policy.daily_token_budget)),
        ("weekly_token_budget", json!(policy.weekly_token_budget)),
        ("tool_window", json!(policy.tool_window)),
        ("max_keys", json!(policy.max_keys)),
        ("prune_mode", json!(policy.prune_mode)),
        ("account_requests_per_minute", json!(policy.account_requests_per_minute)),
        ("account_concurrent_requests", json!(policy.account_concurrent_requests)),
        ("account_daily_token_budget", json!(policy.account_daily_token_budget)),
        ("account_weekly_token_budget", json!(policy.account_weekly_token_budget)),
    ]
}

fn lists(lists: &Toollist) -> [Value; 2] {
    [lists.allowed(), lists.denied()]
        .map(|list| list.map_or(Value::Null, |entries| entries.iter().map(|entry| text(entry)).collect()))
}

fn scopes(scopes: Scopes) -> Value {
    scopes.iter().map(Scope::as_str).collect()
}

fn text(given: &str) -> Value {
    Value::String(masked(given).into_owned())
}

fn time(time: Option<DateTime<Utc>>) -> Value {
    json!(time.map(|time| time.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_known_by_its_word_and_by_its_method() {
        for action in Action::ALL {
            assert_eq!(Action::from_word(action.as_str()), Some(*action));
            let method: String = format!("{action:?}");
            assert_eq!(Action::of_method(&method), Some(*action));
        }
        assert_eq!((Action::from_word("list_keys"), Action::of_method("ListKeys")), (None, None));
    }

    #[test]
    fn only_what_differs_is_said_and_secrets_in_it_are_masked() {
        let secret = format!("sk-orq-{}", "0123456789abcdef".repeat(4));
        let before = PolicyValues { max_keys: Some(3), ..PolicyValues::default() };
        let after = PolicyValues { max_keys: None, tool_window: Some(8), ..before };
        let id = AccountId(Uuid::nil());
        let Outcome::Done(changes) = Deed::policy_changed(id, &before, &after).outcome else { panic!() };
        let said: Vec<_> = changes.iter().map(|one| (one.field.as_str(), &one.before, &one.after)).collect();
        assert_eq!(said, [("tool_window", &json!(null), &json!(8)), ("max_keys", &json!(3), &json!(null))]);
        let Outcome::Done(changes) = Deed::account_made(id, &secret, &before).outcome else { panic!() };
        assert_eq!(changes[0].after, json!("sk-orq-01234567…"));
    }
}
