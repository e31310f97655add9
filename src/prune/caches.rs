//! Tools and indexes by the hash of what they were read from, bounded by their size in memory.
//!
//! The hash has 128 bits and a seed of its own for each process (`ToolArrays`), so that nobody can make two definitions that share
//! one. Were it to happen all the same, a tool would be chosen by the words of another: a worse choice among tools
//! that are all permitted, and nothing else.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::sync::Cache;
use xxhash_rust::xxh3::xxh3_128;

use super::{index::Index, tool::Tool};
use crate::domain::chat_request::OfferedTool;

/// The most tools that are indexed. Providers take 128; beyond this an index would take too long and too much.
pub(super) const TOOLS_MAX: usize = 4096;

/// What the definitions of a request's tools hash to, one by one and together.
#[derive(Debug)]
pub(super) struct Hashes {
    pub(super) each: Vec<u128>,
    pub(super) set: u128,
}

/// Whether what was read of tools joins the caches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// It does, for the requests that come.
    Yes,
    /// It does not: whoever only looks leaves all as it was.
    No,
}

/// What was read before.
#[derive(Debug)]
pub(super) struct Caches {
    depth: usize,
    tools: Cache<u128, Arc<Tool>>,
    sets: Cache<u128, Arc<Index>>,
}

impl Caches {
    /// Empty caches that hold so many bytes together: a third in tools, the rest in indexes over them. JSON is read as
    /// deep as `depth`.
    pub(super) fn new(bytes: u64, depth: usize) -> Self {
        let weigh = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self {
            depth,
            tools: Cache::builder()
                .weigher(move |_, tool: &Arc<Tool>| weigh(tool.bytes()))
                .max_capacity(bytes / 3)
                .build(),
            sets: Cache::builder()
                .weigher(move |_, index: &Arc<Index>| weigh(index.bytes()))
                .max_capacity(bytes - bytes / 3)
                .build(),
        }
    }

    /// The hashes of these tools' definitions, and of the set that they are.
    pub(super) fn hashes(&self, tools: &[OfferedTool<'_>]) -> Hashes {
        let each: Vec<u128> = tools.iter().map(OfferedTool::digest).collect();
        let mut all = Vec::with_capacity(each.len() * 16);
        each.iter().for_each(|hash| all.extend_from_slice(&hash.to_le_bytes()));
        Hashes { set: xxh3_128(&all), each }
    }

    /// What there is to know of each of these tools; `None` when those that are new take longer than `budget` or
    /// there are too many. What was read by then is kept, so that the next request gets further.
    pub(super) fn read(
        &self,
        tools: &[OfferedTool<'_>],
        hashes: &Hashes,
        budget: Option<Duration>,
        keep: Keep,
    ) -> Option<Vec<Arc<Tool>>> {
        if tools.len() > TOOLS_MAX {
            return None;
        }
        let deadline = budget.map(|budget| Instant::now() + budget);
        let mut read = Vec::with_capacity(tools.len());
        for (tool, hash) in tools.iter().zip(&hashes.each) {
            if let Some(known) = self.tools.get(hash) {
                read.push(known);
                continue;
            }
            let new = Arc::new(Tool::read(tool.name, tool.json, self.depth));
            if keep == Keep::Yes {
                self.tools.insert(*hash, Arc::clone(&new));
            }
            read.push(new);
            if deadline.is_some_and(|deadline| Instant::now() > deadline) {
                return None;
            }
        }
        Some(read)
    }

    /// The index of these tools, which `read` gives where there is none yet.
    pub(super) fn index(
        &self,
        tools: &[OfferedTool<'_>],
        hashes: &Hashes,
        keep: Keep,
        read: impl FnOnce() -> Vec<Arc<Tool>>,
    ) -> Arc<Index> {
        if let Some(index) = self.sets.get(&hashes.set)
            && index.tools.len() == tools.len()
        {
            return index;
        }
        let ids = hashes.each.iter().map(|hash| *hash as u64).collect();
        let names: Vec<&str> = tools.iter().map(|tool| tool.name).collect();
        let index = Arc::new(Index::new(read(), ids, &names));
        if keep == Keep::Yes {
            self.sets.insert(hashes.set, Arc::clone(&index));
        }
        index
    }

    /// Puts an index where it does not belong, as a fault would.
    #[cfg(test)]
    pub(super) fn poison(&self, tools: &[OfferedTool<'_>], index: Arc<Index>) {
        self.sets.insert(self.hashes(tools).set, index);
    }
}
