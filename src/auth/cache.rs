//! Keys in memory: found by the digest of their secret, kept true by revisions.
//!
//! A hit takes no lock that all share: one look-up in a sharded cache, one load of the key's current state. The
//! index by id, behind a mutex, is touched only when a key is loaded or changed.
//!
//! Two races matter. A look-up that read the store before a change must not put the old state back, as deleted keys
//! came back in a gateway's tracker: it notes the epochs before it reads and is refused if the key's moved. And a
//! remembered "unknown" must not outlive the creation of a key: it is valid only in the epoch it was noted in.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use foldhash::fast::RandomState;
use uuid::Uuid;

use crate::{
    domain::{
        caller::{AccountCell, KeyCell},
        key::{AccountId, Generation, Key, KeyId},
        policy::Account,
        secret::SecretDigest,
    },
    store::KeyBySecret,
};

/// How many made-up credentials are remembered as such: 100 bytes each, so 10 MB at most.
const UNKNOWN_CAPACITY: u64 = 100_000;
/// For how long: another process may have created the key, and a poll may be late by as much.
const UNKNOWN_FOR: Duration = Duration::from_secs(1);
/// How often a key's use is passed on.
const USED_EVERY: i64 = 1_000_000;

/// A secret in the cache: its key, which generation of it this is, and when its use was last passed on. Of a key that
/// was found by its id, for tokens, the generation is the newest and not asked for.
pub(super) struct Cached {
    pub(super) key: Arc<KeyCell>,
    pub(super) generation: Generation,
    used_at: AtomicI64,
}

impl Cached {
    /// Notes a use; true once a second, for the caller who is to pass it on.
    pub(super) fn mark_used(&self, now: DateTime<Utc>) -> bool {
        let now = now.timestamp_micros();
        let last = self.used_at.load(Ordering::Relaxed);
        now - last >= USED_EVERY
            && self.used_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// In how many shards changes are counted: a change makes look-ups of one key in so many begin anew, so that even a
/// busy operator holds up nobody's first request.
const SHARDS: usize = 128;

/// How far a cache had seen the store.
pub(super) struct Epochs {
    created: u64,
    changed: [u64; SHARDS],
}

/// The last bits of an id of version 7 are random.
fn shard(id: Uuid) -> usize {
    usize::from(id.as_bytes()[15]) % SHARDS
}

/// A bounded table. Its keys are ids of ours and digests under a pepper, which nobody can choose so that they collide.
type Cache<K, V> = moka::sync::Cache<K, V, RandomState>;

/// The cache of keys and accounts.
pub(super) struct KeyCache {
    by_digest: Cache<SecretDigest, Arc<Cached>>,
    by_id: Cache<KeyId, Arc<Cached>>,
    accounts: Cache<AccountId, Arc<AccountCell>>,
    unknown: Cache<SecretDigest, u64>,
    created: AtomicU64,
    changed: [AtomicU64; SHARDS],
    confirmed_at: AtomicI64,
    index: Mutex<Index>,
}

/// What somebody holds, by id. Weak: the caches, and the requests that are under way, decide how long a cell lives. A
/// change reaches the latter too, though the caches may have dropped the key since.
#[derive(Default)]
struct Index {
    keys: HashMap<KeyId, Weak<KeyCell>>,
    accounts: HashMap<AccountId, Weak<AccountCell>>,
    sweep_at: usize,
}

impl Index {
    /// The cell of an account, the same one for every key of it.
    fn account(&mut self, account: Account) -> Arc<AccountCell> {
        if let Some(cell) = self.accounts.get(&account.id).and_then(Weak::upgrade) {
            cell.advance(account);
            return cell;
        }
        let cell = Arc::new(AccountCell::new(account));
        self.accounts.insert(cell.id, Arc::downgrade(&cell));
        cell
    }

    /// The cell of a key, the same one for every generation of its secret.
    fn key(&mut self, key: Key, account: Account) -> Arc<KeyCell> {
        let account = self.account(account);
        if let Some(cell) = self.keys.get(&key.id).and_then(Weak::upgrade) {
            cell.advance(&key);
            return cell;
        }
        let id = key.id;
        let cell = Arc::new(KeyCell::new(key, account));
        self.keys.insert(id, Arc::downgrade(&cell));
        cell
    }

    /// Drops entries whose cells are gone, each time the index has doubled: constant cost an insertion.
    fn sweep(&mut self) {
        if self.keys.len() + self.accounts.len() > self.sweep_at {
            self.keys.retain(|_, cell| cell.strong_count() > 0);
            self.accounts.retain(|_, cell| cell.strong_count() > 0);
            self.sweep_at = 1024 + 2 * (self.keys.len() + self.accounts.len());
        }
    }
}

fn bounded<K, V>(capacity: u64) -> Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    moka::sync::Cache::builder().max_capacity(capacity).build_with_hasher(RandomState::default())
}

impl KeyCache {
    /// An empty cache of at most `capacity` keys.
    pub(super) fn new(capacity: u64, now: DateTime<Utc>) -> Self {
        Self {
            by_digest: bounded(capacity),
            by_id: bounded(capacity),
            accounts: bounded(capacity),
            unknown: moka::sync::Cache::builder()
                .max_capacity(UNKNOWN_CAPACITY)
                .time_to_live(UNKNOWN_FOR)
                .build_with_hasher(RandomState::default()),
            created: AtomicU64::new(0),
            changed: std::array::from_fn(|_| AtomicU64::new(0)),
            confirmed_at: AtomicI64::new(now.timestamp_micros()),
            index: Mutex::default(),
        }
    }

    /// The key with this digest, if it is cached.
    pub(super) fn find(&self, digest: &SecretDigest) -> Option<Arc<Cached>> {
        self.by_digest.get(digest)
    }

    /// The key with this id, if it is cached as one that has tokens.
    pub(super) fn find_id(&self, id: KeyId) -> Option<Arc<Cached>> {
        self.by_id.get(&id)
    }

    /// How many secrets are cached, about.
    pub(super) fn entries(&self) -> u64 {
        self.by_digest.entry_count()
    }

    /// The account, if it is cached.
    pub(super) fn account(&self, id: AccountId) -> Option<Arc<AccountCell>> {
        self.accounts.get(&id)
    }

    /// Whether the store said a moment ago that there is no such key, and none was made since.
    pub(super) fn is_unknown(&self, digest: &SecretDigest) -> bool {
        self.unknown.get(digest) == Some(self.created.load(Ordering::SeqCst))
    }

    /// Notes that there was no such key when the store was read after `epochs`.
    pub(super) fn remember_unknown(&self, digest: SecretDigest, epochs: &Epochs) {
        self.unknown.insert(digest, epochs.created);
    }

    /// How far this cache has seen the store; to be noted before the store is read.
    pub(super) fn epochs(&self) -> Epochs {
        Epochs {
            created: self.created.load(Ordering::SeqCst),
            changed: std::array::from_fn(|shard| self.changed[shard].load(Ordering::SeqCst)),
        }
    }

    /// Says that a key was made. No look-up can hold an older state of it, so that none is refused for it.
    pub(super) fn key_made(&self) {
        self.created.fetch_add(1, Ordering::SeqCst);
    }

    /// Says that a key changed, before its new state is read or applied.
    pub(super) fn key_changes(&self, id: KeyId) {
        self.changed[shard(id.0)].fetch_add(1, Ordering::SeqCst);
    }

    /// Says that an account changed.
    pub(super) fn account_changes(&self, id: AccountId) {
        self.changed[shard(id.0)].fetch_add(1, Ordering::SeqCst);
    }

    /// Whether nothing of this id changed since `epochs`.
    fn unchanged(&self, epochs: &Epochs, id: Uuid) -> bool {
        self.changed[shard(id)].load(Ordering::SeqCst) == epochs.changed[shard(id)]
    }

    /// Caches what was read after `epochs`; `None` when it changed since, and the caller must read again.
    pub(super) fn insert(&self, epochs: &Epochs, found: KeyBySecret) -> Option<Arc<Cached>> {
        let KeyBySecret { key, account, digest, generation } = found;
        let mut index = self.index();
        if !self.unchanged(epochs, key.id.0) || !self.unchanged(epochs, account.id.0) {
            return None;
        }
        let cached =
            Arc::new(Cached { key: index.key(key, account), generation, used_at: AtomicI64::new(0) });
        index.sweep();
        self.by_digest.insert(digest, Arc::clone(&cached));
        Some(cached)
    }

    /// The same for a key whose tokens are to find it by its id.
    pub(super) fn insert_id(&self, epochs: &Epochs, key: Key, account: Account) -> Option<Arc<Cached>> {
        let mut index = self.index();
        if !self.unchanged(epochs, key.id.0) || !self.unchanged(epochs, account.id.0) {
            return None;
        }
        let (id, generation) = (key.id, key.newest());
        let cached =
            Arc::new(Cached { key: index.key(key, account), generation, used_at: AtomicI64::new(0) });
        index.sweep();
        self.by_id.insert(id, Arc::clone(&cached));
        Some(cached)
    }

    /// The same for an account alone.
    pub(super) fn insert_account(&self, epochs: &Epochs, account: Account) -> Option<Arc<AccountCell>> {
        let mut index = self.index();
        if !self.unchanged(epochs, account.id.0) {
            return None;
        }
        let cell = index.account(account);
        index.sweep();
        self.accounts.insert(cell.id, Arc::clone(&cell));
        Some(cell)
    }

    /// Makes a newer state of a key hold.
    pub(super) fn apply_key(&self, key: Key) {
        self.key_changes(key.id);
        let index = self.index();
        if let Some(cell) = index.keys.get(&key.id).and_then(Weak::upgrade) {
            cell.advance(&key);
        }
    }

    /// Makes a revocation hold of which only the id is known.
    pub(super) fn revoke(&self, id: KeyId, at: DateTime<Utc>) {
        self.key_changes(id);
        let held = self.index().keys.get(&id).and_then(Weak::upgrade);
        if let Some(cell) = held {
            let key = Key::clone(&cell.load());
            let revoked_at = key.revoked_at.or(Some(at));
            cell.advance(&Key { revoked_at, revision: key.revision + 1, ..key });
        }
    }

    /// Makes a newer state of an account hold.
    pub(super) fn apply_account(&self, account: Account) {
        self.account_changes(account.id);
        let index = self.index();
        if let Some(cell) = index.accounts.get(&account.id).and_then(Weak::upgrade) {
            cell.advance(account);
        }
    }

    /// Whether somebody holds an older state of the key than `revision`.
    pub(super) fn holds_key(&self, id: KeyId, revision: i64) -> bool {
        let cell = self.index().keys.get(&id).and_then(Weak::upgrade);
        cell.is_some_and(|cell| cell.load().revision < revision)
    }

    /// Whether somebody holds the account.
    pub(super) fn holds_account(&self, id: AccountId) -> bool {
        self.index().accounts.get(&id).is_some_and(|cell| cell.strong_count() > 0)
    }

    /// Forgets everything: every credential is looked up anew. The index stays, since requests that are under way hold
    /// its cells, and were they dropped from it, no later change, a revocation neither, would reach them.
    pub(super) fn clear(&self) {
        self.key_made();
        for shard in &self.changed {
            shard.fetch_add(1, Ordering::SeqCst);
        }
        let _index = self.index();
        self.by_digest.invalidate_all();
        self.by_id.invalidate_all();
        self.accounts.invalidate_all();
    }

    /// Notes that every change up to `at` was seen.
    pub(super) fn confirm(&self, at: DateTime<Utc>) {
        self.confirmed_at.store(at.timestamp_micros(), Ordering::Relaxed);
    }

    /// When this process last knew that it had seen every change.
    pub(super) fn confirmed_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.confirmed_at.load(Ordering::Relaxed)).unwrap_or_default()
    }

    /// Whether the cache may still be believed.
    pub(super) fn trusted(&self, now: DateTime<Utc>, stale_for: TimeDelta) -> bool {
        now - self.confirmed_at() <= stale_for
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // Nothing is left half-done in the index: each critical section is a few map operations.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
