//! All subjects, in shards: a look-up holds the lock of one shard for the time of a hash, and never that of a subject.
//!
//! A shard that has grown past its bound forgets what is idle before it takes in another subject. What is in use stays
//! and lets it grow: requests that run are bounded elsewhere, and forgetting them would be forgetting their limits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;

use super::{Subject, SubjectId, ledger::Ledger};

/// Shards. Eight threads that ask at once meet in one with a chance of a third, for some 50 ns.
const SHARDS: usize = 64;

/// Subjects that are kept while idle: about 10 MB.
const KEPT: usize = 65_536;

/// Every subject that is known.
#[derive(Debug)]
pub(super) struct Ledgers {
    shards: Box<[Mutex<Shard>]>,
    kept: usize,
}

#[derive(Debug)]
struct Shard {
    ledgers: HashMap<SubjectId, Arc<Ledger>>,
    /// At how many the idle ones are looked for: twice what was in use at the last time, so that looking costs each
    /// new subject the same small share however many there are.
    sweep_at: usize,
}

impl Default for Ledgers {
    fn default() -> Self {
        Self::keeping(KEPT)
    }
}

impl Ledgers {
    pub(super) fn keeping(subjects: usize) -> Self {
        let kept = subjects.div_ceil(SHARDS);
        let shard = || Mutex::new(Shard { ledgers: HashMap::default(), sweep_at: kept });
        Self { shards: (0..SHARDS).map(|_| shard()).collect(), kept }
    }

    /// A subject's ledger, made at its first sight.
    pub(super) fn of(&self, id: SubjectId, now: i64) -> Arc<Ledger> {
        let mut shard = self.shard(id);
        if let Some(ledger) = shard.ledgers.get(&id) {
            return Arc::clone(ledger);
        }
        if shard.ledgers.len() >= shard.sweep_at {
            shard.sweep(now, self.kept);
        }
        let ledger = Arc::new(Ledger::new(id));
        shard.ledgers.insert(id, Arc::clone(&ledger));
        ledger
    }

    /// A subject's ledger, if there is one.
    pub(super) fn known(&self, id: SubjectId) -> Option<Arc<Ledger>> {
        self.shard(id).ledgers.get(&id).cloned()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).ledgers.len()).sum()
    }

    /// Every ledger, shard by shard: no more than one shard is held up, and not while the caller looks at them.
    pub(super) fn by_shard(&self) -> impl Iterator<Item = Vec<Arc<Ledger>>> {
        self.shards.iter().map(|shard| lock(shard).ledgers.values().cloned().collect())
    }

    fn shard(&self, id: SubjectId) -> MutexGuard<'_, Shard> {
        // The last bytes of a version 7 UUID are random: no hash is needed to spread them.
        let bits = match id.subject {
            Subject::Key(key) => key.0.as_u128(),
            Subject::NoKey | Subject::Account => id.account.0.as_u128(),
        };
        lock(&self.shards[(bits % SHARDS as u128) as usize])
    }
}

impl Shard {
    /// Forgets what is idle and held by nobody. Whoever holds a ledger got it under this shard's lock.
    fn sweep(&mut self, now: i64, kept: usize) {
        self.ledgers.retain(|_, ledger| Arc::strong_count(ledger) > 1 || !ledger.lock().is_idle(now));
        self.sweep_at = kept.max(2 * self.ledgers.len());
        self.ledgers.shrink_to(self.sweep_at);
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
