//! A key without its secret: what it is called, what it may do and where it is in its life.

use std::fmt;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::{
    generation::LivingSecret,
    limits::{Limits, OwnLimits},
    policy::Policy,
    secret::reveals,
    toollist::Toollist,
    violation::{Violations, shown},
};

/// The id of a key: a UUID of version 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub Uuid);

/// One of the secrets that a key has had, by its number: they are counted from 1, and a rotation makes the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation {
    /// The key.
    pub key_id: KeyId,
    /// Which of its secrets.
    pub number: i32,
}

/// The id of an account: a UUID of version 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub Uuid);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Chat completions and models.
    Chat,
    /// Managing keys.
    Keys,
    /// Reading the account's usage.
    Usage,
}

impl Scope {
    /// Every scope, in the order in which they are shown.
    pub const ALL: [Scope; 3] = [Scope::Chat, Scope::Keys, Scope::Usage];

    /// The word for it, as it is written in JSON, tokens and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Chat => "chat",
            Scope::Keys => "keys",
            Scope::Usage => "usage",
        }
    }

    /// The scope that a word stands for.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == word)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scopes(u8);

impl Scopes {
    /// Every scope.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether `scope` is in the set.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether every scope of `other` is in this set.
    pub fn covers(self, other: Scopes) -> bool {
        other.0 & !self.0 == 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The scopes, in the order of `Scope::ALL`.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// What happens to a request that carries a tool the key may not use. Ordered: the greater is the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum ToolMode {
    /// Nothing is removed; what would have been is counted.
    Observe,
    /// The tool is taken out and the request goes on.
    #[default]
    Filter,
    /// The request is refused.
    Block,
}

impl ToolMode {
    /// The word for it, as it is written in JSON and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            ToolMode::Observe => "observe",
            ToolMode::Filter => "filter",
            ToolMode::Block => "block",
        }
    }

    /// The mode that a stored word stands for. An unknown word is the strictest, never `observe`: a row written
    /// by a newer version must not open a boundary.
    pub fn from_stored(word: &str) -> Self {
        match word {
            "observe" => ToolMode::Observe,
            "filter" => ToolMode::Filter,
            _ => ToolMode::Block,
        }
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyStatus {
    /// It authenticates.
    Active,
    /// Switched off.
    Disabled,
    /// Past its expiry.
    Expired,
    /// Gone for good.
    Revoked,
}

/// A key as the store keeps it, less its secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// A name for people.
    pub name: String,
    /// The first 15 characters of its secret.
    pub prefix: String,
    /// Whether it is switched off.
    pub disabled: bool,
    /// What it may be used for.
    pub scopes: Scopes,
    /// The tools it may use.
    pub toollist: Toollist,
    /// What happens to a request with others.
    pub tool_mode: ToolMode,
    /// The limits it was given itself.
    pub own_limits: OwnLimits,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Who created it: `key:<id>`, `token:<id> of key:<id>`, `jwt:<subject>`, `cli` or `bootstrap`.
    pub created_by: String,
    /// When it last authenticated a request.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it stops working.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// When its secret was last replaced.
    pub rotated_at: Option<DateTime<Utc>>,
    /// Its secrets that worked when this was read, newest first: one, or more while a rotation's overlap lasts.
    pub secrets: Vec<LivingSecret>,
    /// Grows by one with every change.
    pub revision: i64,
}

impl Key {
    /// Where the key is in its life at `now`. What cannot be undone is said first.
    pub fn status(&self, now: DateTime<Utc>) -> KeyStatus {
        if self.revoked_at.is_some() {
            KeyStatus::Revoked
        } else if self.disabled {
            KeyStatus::Disabled
        } else if self.expires_at.is_some_and(|at| at <= now) {
            KeyStatus::Expired
        } else {
            KeyStatus::Active
        }
    }

    /// Whether the secret of this number works at `now`, whatever the key's status is.
    pub fn opened_by(&self, number: i32, now: DateTime<Utc>) -> bool {
        self.secrets.iter().any(|secret| secret.number == number && secret.lives(now))
    }

    /// The newest of its secrets: what is made for the key by somebody else goes with that.
    pub fn newest(&self) -> Generation {
        Generation { key_id: self.id, number: self.secrets.first().map_or(0, |secret| secret.number) }
    }

    /// The limits that hold for the key under `policy`.
    pub fn limits(&self, policy: &Policy) -> Limits {
        Limits::of(&self.own_limits, policy)
    }
}
/// The longest name of a key or an account, in characters.
pub const NAME_MAX: usize = 128;

/// A name as it may be stored: trimmed, 1 to 128 characters, none of them a control character.
pub fn valid_name(field: &str, given: &str) -> Result<String, Violations> {
    let name = given.trim();
    let length = name.chars().count();
    if length == 0 {
        return Err(Violations::one(field, "must not be empty: give 1 to 128 characters"));
    }
    if length > NAME_MAX {
        return Err(Violations::one(
            field,
            format!("has {length} characters once trimmed: shorten it to {NAME_MAX}"),
        ));
    }
    if name.chars().any(char::is_control) {
        return Err(Violations::one(
            field,
            format!("{} holds a control character: take it out", shown(name)),
        ));
    }
    if reveals(name) {
        return Err(Violations::one(
            field,
            "holds a secret, and names are shown to many: choose another one",
        ));
    }
    Ok(name.to_owned())
}
