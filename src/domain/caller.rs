//! Who is calling, once that is known.

use std::{borrow::Cow, sync::Arc};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};

use crate::domain::{
    audit::Actor,
    delegation::Delegation,
    key::{AccountId, Generation, Key, KeyId, KeyStatus, Scope, Scopes, ToolMode},
    policy::Account,
    request_id::RequestId,
    toollist::Toollist,
};

/// An account that every key of it shares: a change of its policy is swapped in once and holds for all of them,
/// without a second look-up on the chat path.
#[derive(Debug)]
pub struct AccountCell {
    /// The account's id, which never changes.
    pub id: AccountId,
    current: ArcSwap<Account>,
}

impl AccountCell {
    /// A cell that holds `account`.
    pub fn new(account: Account) -> Self {
        Self { id: account.id, current: ArcSwap::from_pointee(account) }
    }

    /// The account as it is now.
    pub fn load(&self) -> Arc<Account> {
        self.current.load_full()
    }

    /// Swaps in a newer state; an older one never replaces a newer one.
    pub fn advance(&self, account: Account) {
        let next = Arc::new(account);
        self.current.rcu(|current| {
            if current.policy.revision <= next.policy.revision {
                Arc::clone(&next)
            } else {
                Arc::clone(current)
            }
        });
    }
}

/// A key that every request with it shares: what changes is swapped in once, and holds for requests that are under
/// way as well.
#[derive(Debug)]
pub struct KeyCell {
    current: ArcSwap<Key>,
    /// Its account.
    pub account: Arc<AccountCell>,
}

impl KeyCell {
    /// A cell that holds `key`.
    pub fn new(key: Key, account: Arc<AccountCell>) -> Self {
        Self { current: ArcSwap::from_pointee(key), account }
    }

    /// The key as it is now.
    pub fn load(&self) -> Arc<Key> {
        self.current.load_full()
    }

    /// Swaps in a newer state; an older one never replaces a newer one.
    pub fn advance(&self, key: &Key) {
        self.current.rcu(|current| {
            if current.revision < key.revision { Arc::new(key.clone()) } else { Arc::clone(current) }
        });
    }
}

/// Why a caller that was let in may not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lapsed {
    /// Its key is no longer active.
    Key(KeyStatus),
    /// Its token has run out.
    Token,
}

/// Who is calling: the proof that a credential was checked. Only `auth` makes one.
#[derive(Debug, Clone)]
pub enum Caller {
    /// An Orqen key, or a token of one.
    Key(KeyCaller),
    /// A JWT of the house's own issuer.
    Jwt(JwtCaller),
}

/// A caller that came with an Orqen key, or with a delegated token of one.
#[derive(Debug, Clone)]
pub struct KeyCaller {
    /// The key as it was when this was made, narrowed to what its token holds.
    pub key: Arc<Key>,
    /// The key as it is.
    pub cell: Arc<KeyCell>,
    /// The secret that it, or the maker of its token, came with: while a rotation's overlap lasts there are two.
    pub generation: Generation,
    /// The token that it came with, if it is one.
    pub token: Option<Arc<Delegation>>,
}

/// The calling key as the store has it, narrowed to what its token holds: what a caller may hand on.
#[derive(Debug)]
pub struct Own<'a>(pub(super) Option<Cow<'a, Key>>);

/// A caller that came with a JWT.
#[derive(Debug, Clone)]
pub struct JwtCaller {
    /// The token's `sub`.
    pub subject: Arc<str>,
    /// The account it acts for; operators need none.
    pub account: Option<Arc<AccountCell>>,
    /// What it may be used for.
    pub scopes: Scopes,
    /// Whether the operators' calls are open to it.
    pub operator: bool,
    /// When its token runs out.
    pub expires_at: DateTime<Utc>,
}

impl KeyCaller {
    /// A caller by a key as it is now, or by a token of it.
    pub fn new(cell: Arc<KeyCell>, generation: Generation, token: Option<Arc<Delegation>>) -> Self {
        let key = cell.load();
        Self { key: Arc::clone(&key), cell, generation, token }.with(key)
    }

    /// The same caller by a newer state of its key.
    fn with(&self, key: Arc<Key>) -> Self {
        let key = match &self.token {
            Some(token) => Arc::new(token.narrowed(&key)),
            None => key,
        };
        Self { key, ..self.clone() }
    }
}

/// A tool list that holds everything, for callers that are bound by none.
static UNBOUND: Toollist = Toollist::unbound();

impl Caller {
    /// The same caller as it is at `now`. A request is let in by its headers, and its body may take a minute: what is
    /// done with it must not go by rights that were taken away in the meantime. A secret that ended in the meantime is
    /// none of them: it opens the door no more, and whoever is inside already goes on.
    pub fn at(&self, now: DateTime<Utc>) -> Result<Caller, Lapsed> {
        match self {
            Caller::Key(caller) => {
                if caller.token.as_ref().is_some_and(|token| token.expires_at <= now) {
                    return Err(Lapsed::Token);
                }
                let key = caller.cell.load();
                match key.status(now) {
                    KeyStatus::Active => Ok(Caller::Key(caller.with(key))),
                    status => Err(Lapsed::Key(status)),
                }
            }
            Caller::Jwt(caller) if caller.expires_at <= now => Err(Lapsed::Token),
            Caller::Jwt(caller) => Ok(Caller::Jwt(caller.clone())),
        }
    }

    /// Whether the caller holds `scope`.
    pub fn holds(&self, scope: Scope) -> bool {
        match self {
            Caller::Key(caller) => caller.key.scopes.contains(scope),
            Caller::Jwt(caller) => caller.scopes.contains(scope),
        }
    }

    /// Whether the operators' calls are open to the caller.
    pub fn is_operator(&self) -> bool {
        matches!(self, Caller::Jwt(JwtCaller { operator: true, .. }))
    }

    /// The account that the caller acts for; `None` for an operator that named none.
    pub fn account(&self) -> Option<&Arc<AccountCell>> {
        match self {
            Caller::Key(caller) => Some(&caller.cell.account),
            Caller::Jwt(caller) => caller.account.as_ref(),
        }
    }

    /// The calling key, if it is one.
    pub fn key(&self) -> Option<&Arc<Key>> {
        match self {
            Caller::Key(caller) => Some(&caller.key),
            Caller::Jwt(_) => None,
        }
    }

    /// The calling key's id, if it is one.
    pub fn key_id(&self) -> Option<KeyId> {
        self.key().map(|key| key.id)
    }

    /// Which secret of its key the caller came with, if it came with one.
    pub fn generation(&self) -> Option<Generation> {
        match self {
            Caller::Key(caller) => Some(caller.generation),
            Caller::Jwt(_) => None,
        }
    }

    /// The tools that the caller may use.
    pub fn toollist(&self) -> &Toollist {
        self.key().map_or(&UNBOUND, |key| &key.toollist)
    }

    /// What happens to a request with others.
    pub fn tool_mode(&self) -> ToolMode {
        self.key().map_or(ToolMode::Filter, |key| key.tool_mode)
    }

    /// The delegated token that the caller came with, if it came with one.
    pub fn token(&self) -> Option<&Delegation> {
        match self {
            Caller::Key(caller) => caller.token.as_deref(),
            Caller::Jwt(_) => None,
        }
    }

    /// The calling key, as it is in the store and narrowed to what its token holds.
    pub fn own<'a>(&self, stored: Option<&'a Key>) -> Own<'a> {
        Own(stored.map(|key| match self.token() {
            Some(token) => Cow::Owned(token.narrowed(key)),
            None => Cow::Borrowed(key),
        }))
    }

    /// The caller as the one who does something in a request.
    pub fn actor(&self, request_id: Option<RequestId>) -> Actor {
        Actor { name: self.name(), key_id: self.key_id(), request_id }
    }

    /// How the caller is named in `created_by`.
    pub fn name(&self) -> String {
        match self {
            Caller::Key(KeyCaller { key, token: Some(token), .. }) => {
                format!("token:{} of key:{}", token.id, key.id)
            }
            Caller::Key(caller) => format!("key:{}", caller.key.id),
            Caller::Jwt(caller) => format!("jwt:{}", caller.subject),
        }
    }
}
