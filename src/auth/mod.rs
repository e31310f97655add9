//! From a bearer credential to a `Caller`: Orqen keys through a cache, tokens of theirs, JWTs of the house's issuer.
//!
//! A key that is known costs one HMAC and one look-up in memory. What is not known goes to the store, a bounded
//! number at a time, so that made-up keys can neither hammer it nor fill memory. An outage of the store is said as
//! such (503), never as a bad key: a client that is told 401 throws its key away.

mod cache;
mod changes;
mod delegated;
mod issuer;
mod jwks;
mod jwt;
mod pushed;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    clock::SharedClock,
    config,
    domain::{
        caller::{AccountCell, Caller, JwtCaller, KeyCaller},
        delegation::Delegation,
        key::{AccountId, Generation, Key, KeyId, KeyStatus},
        policy::Account,
        secret::{MalformedSecret, Peppers, PlainSecret, SECRET_PREFIX, SecretDigest},
    },
    limits::FailedAuth,
    store::{Store, StoreError},
};

pub use self::delegated::{DelegatedTokens, LONGEST as LONGEST_TOKEN, TooLong};
pub use self::jwt::{JwtSetupError, JwtVerifier, TokenError};
use self::{
    cache::{Cached, KeyCache},
    jwks::FetchedKeys,
    pushed::Pushed,
};

/// How many look-ups of unknown credentials the store gets at the same time. Four times the default pool: enough
/// to keep it busy, few enough that management calls still find a connection.
const LOOKUPS: usize = 32;
/// How long a request waits for one of those places before it is told to come back.
const LOOKUP_WAIT: Duration = Duration::from_secs(2);
/// How often a look-up is begun anew because keys changed under it, before the request is told to come back.
const ATTEMPTS: usize = 8;

/// Why a credential does not make a caller.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// None was sent.
    #[error("no credential was sent")]
    Missing,
    /// It is not in the form of one.
    #[error("{0}")]
    Malformed(String),
    /// No such key.
    #[error("no such key")]
    Unknown,
    /// The key was found, but is not active.
    #[error("the key is {0:?}")]
    Inactive(KeyStatus),
    /// A JWT that is not to be trusted.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The store cannot be asked.
    #[error("the store cannot be asked")]
    Unavailable(#[from] StoreError),
    /// The keys of the issuer of JWTs are not there, and may be after this time.
    #[error("the keys of the tokens' issuer cannot be had")]
    IssuerAway(Duration),
    /// Too many credentials that nobody was given came from one address.
    #[error("too many unknown credentials from one address")]
    TooMany(Duration),
    /// Too many unknown credentials are being looked up.
    #[error("too many credentials are being looked up")]
    Overloaded,
}

/// The address that a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source(pub IpAddr);

/// Told when a secret authenticated a request, at most once a second for each.
pub type OnUsed = Box<dyn Fn(Generation, DateTime<Utc>) + Send + Sync>;

/// Turns credentials into callers.
pub struct Authenticator {
    store: Store,
    peppers: Peppers,
    cache: KeyCache,
    tokens: DelegatedTokens,
    jwt: Option<JwtVerifier>,
    clock: SharedClock,
    stale_for: TimeDelta,
    lookups: Semaphore,
    failures: Option<FailedAuth>,
    on_used: OnUsed,
    hits: AtomicU64,
    misses: AtomicU64,
    pushed: Pushed,
    applied: AtomicU64,
}

/// The figures of an authenticator, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Keys that were found in memory.
    pub hits: u64,
    /// Keys that the store had to be asked for, or that were remembered as unknown.
    pub misses: u64,
    /// Secrets in memory, about.
    pub entries: u64,
    /// Look-ups refused, since too many from the same address were in vain.
    pub refused: u64,
    /// Times that the keys of the issuer of JWTs were fetched.
    pub issuer_fetches: u64,
    /// Times that they could not be.
    pub issuer_fetches_failed: u64,
    /// Changes of keys and accounts that were learnt of from the store.
    pub changes_applied: u64,
    /// Whether the store tells of changes, beside their being polled.
    pub listening: bool,
}

/// What an `Authenticator` is made of.
pub struct Parts {
    /// Where keys are.
    pub store: Store,
    /// What secrets are digested with.
    pub peppers: Peppers,
    /// Who signs and checks delegated tokens.
    pub tokens: DelegatedTokens,
    /// Who checks JWTs; `None` refuses them.
    pub jwt: Option<JwtVerifier>,
    /// The time.
    pub clock: SharedClock,
    /// Who is told of the use of a key.
    pub on_used: OnUsed,
    /// Who bounds look-ups in vain, by where they come from.
    pub failures: Option<FailedAuth>,
}

impl Authenticator {
    /// An authenticator with an empty cache.
    pub fn new(parts: Parts, auth: &config::Auth, store: &config::Store) -> Self {
        Self {
            cache: KeyCache::new(auth.cache_keys, parts.clock.now()),
            store: parts.store,
            peppers: parts.peppers,
            tokens: parts.tokens,
            jwt: parts.jwt,
            clock: parts.clock,
            stale_for: TimeDelta::from_std(store.stale_for).unwrap_or(TimeDelta::MAX),
            lookups: Semaphore::new(LOOKUPS),
            failures: parts.failures,
            on_used: parts.on_used,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            pushed: Pushed::default(),
            applied: AtomicU64::new(0),
        }
    }

    /// The caller behind the value of an `authorization` header that came from `source`.
    pub async fn authenticate(
        &self,
        authorization: Option<&[u8]>,
        source: Option<Source>,
    ) -> Result<Caller, AuthError> {
        let bearer = bearer(authorization)?;
        if bearer.starts_with(SECRET_PREFIX) {
            return self.key_caller(bearer, source).await.map(Caller::Key);
        }
        if DelegatedTokens::is_one(bearer) {
            return self.token_caller(bearer).await.map(Caller::Key);
        }
        match &self.jwt {
            Some(jwt) if bearer.bytes().filter(|byte| *byte == b'.').count() == 2 => {
                // Boxed: what may fetch an account from the store is ten times as large as what a key takes.
                Box::pin(self.jwt_caller(jwt, bearer)).await.map(Caller::Jwt)
            }
            _ => Err(AuthError::Malformed(MalformedSecret::Shape.to_string())),
        }
    }

    async fn key_caller(&self, bearer: &str, source: Option<Source>) -> Result<KeyCaller, AuthError> {
        let secret = PlainSecret::parse(bearer).map_err(|error| AuthError::Malformed(error.to_string()))?;
        let now = self.clock.now();
        // With one pepper, the rule, this is one HMAC and one look-up.
        let cached = if self.cache.trusted(now, self.stale_for) {
            self.peppers.candidates(&secret).find_map(|digest| self.cache.find(&digest))
        } else {
            None
        };
        let count = if cached.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        let (cell, now) = match cached {
            Some(cell) => (cell, now),
            None => (Box::pin(self.look_up_from(source, &secret)).await?, self.clock.now()),
        };
        self.let_in(&cell, cell.generation, None, now)
    }

    /// A token's bearer is the caller that its key is, narrowed: found by the key's id, not by a secret.
    async fn token_caller(&self, bearer: &str) -> Result<KeyCaller, AuthError> {
        let now = self.clock.now();
        let token = self.tokens.verify(bearer, now)?;
        let generation = token.generation;
        let trusted = self.cache.trusted(now, self.stale_for);
        let cached = trusted.then(|| self.cache.find_id(generation.key_id)).flatten();
        let count = if cached.is_some() { &self.hits } else { &self.misses };
        count.fetch_add(1, Ordering::Relaxed);
        let (cell, now) = match cached {
            Some(cell) => (cell, now),
            None => (Box::pin(self.look_up_id(generation.key_id)).await?, self.clock.now()),
        };
        self.let_in(&cell, generation, Some(Arc::new(token)), now)
    }

    /// Lets in who came with this secret of a key, or with a token that was made with it.
    fn let_in(
        &self,
        cell: &Cached,
        generation: Generation,
        token: Option<Arc<Delegation>>,
        now: DateTime<Utc>,
    ) -> Result<KeyCaller, AuthError> {
        let key = cell.key.load();
        // Asked of every request, and of the key as it is now: a rotation ends a secret here with the change of its
        // key, and the end of an overlap is nobody's change at all.
        if !key.opened_by(generation.number, now) {
            return Err(if token.is_some() { TokenError::Rotated.into() } else { AuthError::Unknown });
        }
        match key.status(now) {
            KeyStatus::Active => {}
            status => return Err(AuthError::Inactive(status)),
        }
        if cell.mark_used(now) {
            (self.on_used)(generation, now);
        }
        Ok(KeyCaller::new(Arc::clone(&cell.key), generation, token))
    }

    /// A token with this content.
    pub fn mint(&self, delegation: &Delegation) -> Result<SecretString, TooLong> {
        self.tokens.mint(delegation)
    }

    /// Looks up a credential, unless too many from the same address were looked up in vain.
    async fn look_up_from(
        &self,
        source: Option<Source>,
        secret: &PlainSecret,
    ) -> Result<Arc<Cached>, AuthError> {
        let attempt = match (&self.failures, source) {
            (Some(failures), Some(Source(address))) => {
                Some(failures.attempt(address, self.clock.now()).map_err(AuthError::TooMany)?)
            }
            _ => None,
        };
        let found = self.look_up(secret).await;
        // A store that is away is nobody's failure.
        if let (Some(attempt), Ok(_) | Err(AuthError::Unavailable(_) | AuthError::Overloaded)) =
            (attempt, &found)
        {
            attempt.succeeded();
        }
        found
    }

    async fn look_up(&self, secret: &PlainSecret) -> Result<Arc<Cached>, AuthError> {
        let candidates: Vec<SecretDigest> = self.peppers.candidates(secret).collect();
        if candidates.iter().all(|digest| self.cache.is_unknown(digest)) {
            return Err(AuthError::Unknown);
        }
        let _place = self.place().await?;
        // Whoever waited for a place may find that another request has filled the cache meanwhile.
        if self.cache.trusted(self.clock.now(), self.stale_for)
            && let Some(cell) = candidates.iter().find_map(|digest| self.cache.find(digest))
        {
            return Ok(cell);
        }
        for _ in 0..ATTEMPTS {
            let epochs = self.cache.epochs();
            match self.store.keys().by_digest(&candidates).await? {
                None => {
                    for digest in &candidates {
                        self.cache.remember_unknown(*digest, &epochs);
                    }
                    return Err(AuthError::Unknown);
                }
                Some(found) => {
                    if let Some(cell) = self.cache.insert(&epochs, found) {
                        return Ok(cell);
                    }
                }
            }
        }
        Err(AuthError::Overloaded)
    }

    /// A place among the look-ups.
    async fn place(&self) -> Result<SemaphorePermit<'_>, AuthError> {
        let place = tokio::time::timeout(LOOKUP_WAIT, self.lookups.acquire()).await;
        Ok(place.map_err(|_| AuthError::Overloaded)?.expect("the semaphore is never closed"))
    }

    /// The key of a token. Only a token that this server signed leads here, so that nobody can ask for made-up ids.
    async fn look_up_id(&self, id: KeyId) -> Result<Arc<Cached>, AuthError> {
        let _place = self.place().await?;
        if self.cache.trusted(self.clock.now(), self.stale_for)
            && let Some(cell) = self.cache.find_id(id)
        {
            return Ok(cell);
        }
        for _ in 0..ATTEMPTS {
            let epochs = self.cache.epochs();
            let Some(key) = self.store.keys().find_any(id).await? else { return Err(AuthError::Unknown) };
            let account = self.store.accounts().find(key.account_id).await?.ok_or(AuthError::Unknown)?;
            if let Some(cell) = self.cache.insert_id(&epochs, key, account) {
                return Ok(cell);
            }
        }
        Err(AuthError::Overloaded)
    }

    async fn jwt_caller(&self, jwt: &JwtVerifier, bearer: &str) -> Result<JwtCaller, AuthError> {
        let claims = jwt.verify(bearer, self.clock.now()).await?;
        let account = match claims.account {
            Some(id) => Some(self.account(id).await?.ok_or(TokenError::UnknownAccount)?),
            None => None,
        };
        if account.is_none() && !claims.operator {
            return Err(TokenError::NoAccount.into());
        }
        Ok(JwtCaller {
            subject: claims.subject,
            account,
            scopes: claims.scopes,
            operator: claims.operator,
            expires_at: claims.expires_at,
        })
    }

    async fn account(&self, id: AccountId) -> Result<Option<Arc<AccountCell>>, AuthError> {
        if self.cache.trusted(self.clock.now(), self.stale_for)
            && let Some(cell) = self.cache.account(id)
        {
            return Ok(Some(cell));
        }
        for _ in 0..ATTEMPTS {
            let epochs = self.cache.epochs();
            let Some(account) = self.store.accounts().find(id).await? else { return Ok(None) };
            if let Some(cell) = self.cache.insert_account(&epochs, account) {
                return Ok(Some(cell));
            }
        }
        Err(AuthError::Overloaded)
    }

    /// Makes a changed key hold on this process, from the moment this returns.
    pub fn key_changed(&self, key: Key) {
        self.cache.apply_key(key);
    }

    /// The same for a key that was revoked and of which nothing else can be read.
    pub fn key_revoked(&self, id: KeyId) {
        self.cache.revoke(id, self.clock.now());
    }

    /// Makes a changed account hold on this process, from the moment this returns.
    pub fn account_changed(&self, account: Account) {
        self.cache.apply_account(account);
    }

    /// Says that a key was made: no remembered "unknown" outlives it.
    pub fn key_created(&self) {
        self.cache.key_made();
    }

    /// The figures for metrics.
    pub fn stats(&self) -> Stats {
        let fetches = self.jwt.as_ref().and_then(JwtVerifier::fetched).map(FetchedKeys::counts);
        let (issuer_fetches, issuer_fetches_failed) = fetches.unwrap_or_default();
        Stats {
            issuer_fetches,
            issuer_fetches_failed,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: self.cache.entries(),
            refused: self.failures.as_ref().map_or(0, FailedAuth::refused),
            changes_applied: self.applied.load(Ordering::Relaxed),
            listening: self.pushed.listening(),
        }
    }

    /// How long ago this process last knew that it had seen every change of the store.
    pub fn staleness(&self) -> TimeDelta {
        self.clock.now() - self.cache.confirmed_at()
    }
}

/// The credential of an `Authorization: Bearer …` header.
fn bearer(authorization: Option<&[u8]>) -> Result<&str, AuthError> {
    let value = authorization.ok_or(AuthError::Missing)?;
    let value = std::str::from_utf8(value)
        .map_err(|_| AuthError::Malformed("the Authorization header is not plain text".into()))?;
    match value.trim().split_once(' ') {
        Some((scheme, credential))
            if scheme.eq_ignore_ascii_case("bearer") && !credential.trim().is_empty() =>
        {
            Ok(credential.trim())
        }
        _ => Err(AuthError::Malformed("the Authorization header is not `Bearer <key>`".into())),
    }
}
