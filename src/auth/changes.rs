//! Follows the store's changes, so that what another process does holds here at once where the store tells of it, and
//! within one poll where it does not.
//!
//! The sequence of changes has no gaps and its order is the order of the commits, so that a position is all there
//! is to remember. What cannot be followed (a pruned log, a row that cannot be read) empties the cache: forgetting
//! is always safe.

use std::{sync::atomic::Ordering, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::Authenticator;
use crate::{
    domain::{backoff::Backoff, key::KeyId},
    store::{Change, Entity, StoreError},
};

/// Changes read at a time.
const PAGE: u32 = 500;
/// The longest pause between two looks whether a store that is away is back: by so much a revocation may come later then.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Authenticator {
    /// Follows the store's changes, until dropped: when the store tells of one, and every so often all the same, for
    /// nothing that is told may be relied on. While the store cannot be reached the cache grows stale, and is not trusted
    /// beyond `store.stale_for`. `seed` spreads the replicas.
    pub async fn follow_changes(&self, every: Duration, seed: u64) {
        // Boxed, once: two large futures in one.
        let chance = StdRng::seed_from_u64(seed.rotate_left(32));
        let listening = Box::pin(self.pushed.listen(self.store.changes(), seed));
        tokio::join!(listening, Box::pin(self.follow(every, chance)));
    }

    async fn follow(&self, every: Duration, mut chance: StdRng) {
        let away = Backoff { first: every, longest: LONGEST_PAUSE };
        let (mut position, mut failures) = (None, 0);
        loop {
            let begun = self.pushed.begun();
            let pause = match self.catch_up(&mut position).await {
                Ok(()) => {
                    if failures > 0 {
                        tracing::info!(failures, "changes of keys are learnt of again");
                    }
                    failures = 0;
                    self.pushed.caught_up(position.unwrap_or_default(), begun);
                    every
                }
                Err(error) => {
                    // Once: an outage is one event, however often it is looked whether it is over.
                    if failures == 0 {
                        tracing::warn!(%error, "cannot learn of changed keys");
                    }
                    failures += 1;
                    away.pause(failures - 1, chance.next_u64())
                }
            };
            self.pushed.wait(pause).await;
        }
    }

    async fn catch_up(&self, position: &mut Option<i64>) -> Result<(), StoreError> {
        // Taken before the reading: a change that lands in between is not vouched for.
        let asked_at = self.clock.now();
        let mut from = match *position {
            Some(seq) => seq,
            None => {
                // What was cached before the first position is known may have missed a change.
                let latest = self.store.changes().latest().await?;
                self.cache.clear();
                *position = Some(latest);
                latest
            }
        };
        loop {
            let page = self.store.changes().since(from, PAGE).await?;
            if page.gap {
                // Changes were missed for good: what is cached may be any of them.
                self.cache.clear();
                *position = Some(page.latest);
                break;
            }
            let Some(last) = page.changes.last().map(|change| change.seq) else { break };
            self.apply(&page.changes).await?;
            self.applied.fetch_add(page.changes.len() as u64, Ordering::Relaxed);
            from = last;
            *position = Some(last);
            if page.changes.len() < PAGE as usize {
                break;
            }
        }
        self.cache.confirm(asked_at);
        Ok(())
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        // Before anything is read: a look-up that began earlier may hold what is older than these changes.
        self.cache.key_made();
        for change in changes {
            match change.entity {
                Entity::Key(id) => self.cache.key_changes(id),
                Entity::Account(id) => self.cache.account_changes(id),
            }
        }
        let mut keys: Vec<KeyId> = Vec::new();
        for change in changes {
            match change.entity {
                Entity::Key(id) if self.cache.holds_key(id, change.revision) => keys.push(id),
                Entity::Key(_) => {}
                Entity::Account(id) if self.cache.holds_account(id) => {
                    if let Some(account) = self.store.accounts().find(id).await? {
                        self.cache.apply_account(account);
                    }
                }
                Entity::Account(_) => {}
            }
        }
        if !keys.is_empty() {
            let read = self.store.keys().by_ids(&keys).await?;
            if keys.iter().any(|id| !read.iter().any(|key| key.id == *id)) {
                // A changed row that cannot be read: nobody can tell what it now forbids.
                self.cache.clear();
            }
            for key in read {
                self.cache.apply_key(key);
            }
        }
        Ok(())
    }
}
