//! Arrays of tools that were read before, found again by their bytes.
//!
//! An agent's array is most of its request and the same in each turn. To know it again costs one comparison of memory, a
//! fiftieth of reading it. The comparison is whole: a hash only says with which arrays to compare, so that nobody can pass
//! one array for another. They are kept for each account apart, so that how long a request takes tells nobody what
//! others send. Bounded by bytes.

use std::sync::Arc;

use moka::sync::Cache;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{array::ToolArray, tool::Place};

/// By how many of its first bytes an array is looked for. What is shorter is read as quickly.
const BEGINNING: usize = 512;

/// How many arrays that begin alike are kept: agents that differ in their last tools.
const ALIKE: usize = 8;

/// The longest array that is kept.
const LONGEST: usize = 4 * 1024 * 1024;

/// The arrays that one account's requests may bring again.
#[derive(Debug, Clone, Copy)]
pub struct Familiar<'a> {
    /// Those of everybody.
    pub arrays: &'a ToolArrays,
    /// The account.
    pub owner: Uuid,
    /// Whether an array that is new joins them. Whoever only looks leaves them as they were, and has its definitions
    /// hashed as everybody's are, or they would not be found where others have noted them.
    pub keeps: bool,
}

/// Arrays that were read, of every account.
#[derive(Debug)]
pub struct ToolArrays {
    seed: u64,
    beginning: usize,
    known: Cache<(Uuid, Place, u64), Alike>,
}

type Alike = Arc<[Arc<ToolArray>]>;

impl ToolArrays {
    /// None yet; `bytes` of them at most are kept. `seed` is a number that nobody outside knows.
    pub fn new(bytes: u64, seed: u64) -> Self {
        let weigh = |_: &(Uuid, Place, u64), alike: &Alike| {
            u32::try_from(alike.iter().map(|array| array.bytes()).sum::<usize>()).unwrap_or(u32::MAX)
        };
        Self {
            seed,
            beginning: BEGINNING,
            known: Cache::builder().weigher(weigh).max_capacity(bytes).build(),
        }
    }

    /// The same, of arrays however short: what is never familiar otherwise is to be tested, too.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn eager() -> Self {
        Self { beginning: 1, ..Self::new(1 << 20, 7) }
    }

    /// The number that digests of definitions are made with.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }
}

impl Familiar<'_> {
    /// The array that `json` begins with, if it was read before.
    pub(super) fn find(&self, place: Place, json: &[u8]) -> Option<Arc<ToolArray>> {
        let alike = self.arrays.known.get(&self.beginning(place, json)?)?;
        alike.iter().find(|array| json.starts_with(array.json())).cloned()
    }

    /// Keeps an array for the requests that come.
    pub(super) fn keep(&self, place: Place, array: &Arc<ToolArray>) {
        let Some(beginning) = self.beginning(place, array.json()) else { return };
        if array.json().len() > LONGEST {
            return;
        }
        let before = self.arrays.known.get(&beginning);
        let before = before.iter().flat_map(|alike| alike.iter()).cloned();
        let alike = std::iter::once(Arc::clone(array)).chain(before).take(ALIKE).collect();
        self.arrays.known.insert(beginning, alike);
    }

    /// What arrays that begin like `json` are found by; `None` of one that is too short.
    fn beginning(&self, place: Place, json: &[u8]) -> Option<(Uuid, Place, u64)> {
        let hash = xxh3_64_with_seed(json.get(..self.arrays.beginning)?, self.arrays.seed);
        Some((self.owner, place, hash))
    }
}
