//! How the tools of each account fare: offered, forwarded, called, missed.
//!
//! An agent offers the same tools again and again. So what is counted on the way of a request is counted for the set
//! that an account offers: one increment for a request whose tools all go on, and one for each tool that does where
//! they do not. Counts are summed by name when somebody asks. Sets and names are bounded by their bytes; a set that
//! makes room leaves its counts with the names of its tools. All of it is of this process, since its start.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use moka::sync::Cache;

use super::{identity::name_hash, tool::Tool};
use crate::domain::{chat_request::OfferedTool, key::AccountId};

/// The most bytes of sets, and of the names that earlier sets left.
const SETS_BYTES: u64 = 24 * 1024 * 1024;
const NAMES_BYTES: u64 = 8 * 1024 * 1024;
/// How long a tool is remembered that nobody offers any more.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The longest part of a name that is kept.
const NAME_MAX: usize = 256;

/// The counts of all accounts.
#[derive(Debug)]
pub(super) struct Health {
    sets: Cache<(AccountId, u128), Arc<Offer>>,
    /// By account and hash of the name, what evicted sets had counted.
    names: Names,
}

type Names = Cache<(AccountId, u64), Arc<Named>>;

/// A set of tools that an account offers, and what became of them.
#[derive(Debug)]
pub(super) struct Offer {
    tools: Box<[Definition]>,
    counts: Box<[Counts]>,
    /// Places by the hash of the name, sorted.
    places: Box<[(u64, u16)]>,
    /// Requests that offered it, and those of them whose tools all went on.
    requests: AtomicU64,
    whole: AtomicU64,
    /// Whose tools they are, and who gets the counts when the set is forgotten.
    heirs: (AccountId, Names),
}

/// What is kept of a tool's definition.
#[derive(Debug, Clone)]
pub(super) struct Definition {
    pub(super) name: Box<str>,
    pub(super) tool: Arc<Tool>,
    pub(super) bytes: u64,
}

#[derive(Debug, Default)]
struct Counts {
    forwarded: AtomicU64,
    called: AtomicU64,
    missed: AtomicU64,
    /// In microseconds; 0 is never.
    last_missed: AtomicI64,
}

#[derive(Debug)]
struct Named {
    definition: Definition,
    offered: AtomicU64,
    counts: Counts,
}

/// What is known of one name of an account.
#[derive(Debug)]
pub(super) struct Sum {
    pub(super) definition: Definition,
    pub(super) offered: u64,
    pub(super) forwarded: u64,
    pub(super) called: u64,
    pub(super) missed: u64,
    pub(super) last_missed: Option<DateTime<Utc>>,
    /// Whether a request has had several tools of the name.
    pub(super) twins: bool,
}

impl Health {
    pub(super) fn new() -> Self {
        Self::bounded(SETS_BYTES, NAMES_BYTES)
    }

    pub(super) fn bounded(most_sets: u64, most_names: u64) -> Self {
        let weigh = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let names: Names = Cache::builder()
            .weigher(move |_, named: &Arc<Named>| weigh(named.definition.weight() + size_of::<Named>()))
            .max_capacity(most_names)
            .time_to_idle(REMEMBERED)
            .build();
        let sets = Cache::builder()
            .weigher(move |_, offer: &Arc<Offer>| weigh(offer.bytes()))
            .max_capacity(most_sets)
            .time_to_idle(REMEMBERED)
            .eviction_listener(|_, offer: Arc<Offer>, _| offer.bequeath())
            .build();
        Self { sets, names }
    }

    /// The set that these tools are to `account`, if it is known.
    pub(super) fn find(&self, account: AccountId, set: u128) -> Option<Arc<Offer>> {
        self.sets.get(&(account, set))
    }

    /// The same, with what was read of its tools.
    pub(super) fn open(
        &self,
        account: AccountId,
        set: u128,
        tools: &[OfferedTool<'_>],
        read: &[Arc<Tool>],
    ) -> Arc<Offer> {
        let offer = || Offer::new(tools, read, (account, self.names.clone()));
        self.sets.get_with((account, set), || Arc::new(offer()))
    }

    /// The same, of which nothing is kept.
    pub(super) fn look(
        &self,
        account: AccountId,
        tools: &[OfferedTool<'_>],
        read: &[Arc<Tool>],
    ) -> Arc<Offer> {
        Arc::new(Offer::new(tools, read, (account, self.names.clone())))
    }

    /// How many bytes are held.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.sets.run_pending_tasks();
        self.names.run_pending_tasks();
        self.sets.weighted_size() + self.names.weighted_size()
    }

    /// What is known of an account's tools, by name.
    pub(super) fn sums(&self, account: AccountId) -> Vec<Sum> {
        self.sets.run_pending_tasks();
        let mut sums: BTreeMap<Box<str>, Sum> = BTreeMap::new();
        for (key, offer) in &self.sets {
            if key.0 == account {
                offer.add_to(&mut sums);
            }
        }
        for (key, named) in &self.names {
            if key.0 == account {
                Sum::of(&mut sums, &named.definition).add(named.offered.load(Relaxed), &named.counts);
            }
        }
        sums.into_values().collect()
    }
}

impl Offer {
    fn new(tools: &[OfferedTool<'_>], read: &[Arc<Tool>], heirs: (AccountId, Names)) -> Self {
        let definitions = tools.iter().zip(read).map(|(tool, read)| Definition {
            name: tool.name[..tool.name.floor_char_boundary(NAME_MAX)].into(),
            tool: Arc::clone(read),
            bytes: tool.json.len() as u64,
        });
        let mut places: Vec<(u64, u16)> =
            (0..).zip(tools).map(|(place, tool)| (name_hash(tool.name), place)).collect();
        places.sort_unstable();
        Self {
            tools: definitions.collect(),
            counts: tools.iter().map(|_| Counts::default()).collect(),
            places: places.into(),
            requests: AtomicU64::new(0),
            whole: AtomicU64::new(0),
            heirs,
        }
    }

    /// What was read of its tools.
    pub(super) fn read(&self) -> Vec<Arc<Tool>> {
        self.tools.iter().map(|definition| Arc::clone(&definition.tool)).collect()
    }

    /// Counts a request all of whose tools went on.
    pub(super) fn went_whole(&self) {
        self.requests.fetch_add(1, Relaxed);
        self.whole.fetch_add(1, Relaxed);
    }

    /// Counts a request of whose tools these went on.
    pub(super) fn went(&self, kept: &[bool]) {
        self.requests.fetch_add(1, Relaxed);
        for (counts, _) in self.counts.iter().zip(kept).filter(|(_, kept)| **kept) {
            counts.forwarded.fetch_add(1, Relaxed);
        }
    }

    /// Counts a call to the tool of this name, and gives its place. Of twins, the first.
    pub(super) fn called(&self, name: &str) -> Option<usize> {
        let hash = name_hash(name);
        let at = self.places.partition_point(|(other, _)| *other < hash);
        let (_, place) = self.places.get(at).filter(|(other, _)| *other == hash)?;
        self.counts[usize::from(*place)].called.fetch_add(1, Relaxed);
        Some(usize::from(*place))
    }

    /// Counts a call to a tool that had not gone on, in a request of this time.
    pub(super) fn missed(&self, place: usize, at: DateTime<Utc>) {
        if let Some(counts) = self.counts.get(place) {
            counts.missed.fetch_add(1, Relaxed);
            counts.last_missed.fetch_max(at.timestamp_micros(), Relaxed);
        }
    }

    fn bytes(&self) -> usize {
        let tools: usize = self.tools.iter().map(Definition::weight).sum();
        size_of::<Self>() + tools + self.counts.len() * (size_of::<Counts>() + 16)
    }

    /// Its tools, and what was counted of each.
    fn each(&self) -> impl Iterator<Item = (&Definition, &Counts)> {
        self.tools.iter().zip(&self.counts)
    }

    fn add_to(&self, sums: &mut BTreeMap<Box<str>, Sum>) {
        let (requests, whole) = (self.requests.load(Relaxed), self.whole.load(Relaxed));
        for (definition, counts) in self.each() {
            let sum = Sum::of(sums, definition);
            sum.add(requests, counts);
            sum.forwarded += whole;
        }
        for twins in self.places.chunk_by(|one, other| one.0 == other.0).filter(|group| group.len() > 1) {
            for (_, place) in twins {
                Sum::of(sums, &self.tools[usize::from(*place)]).twins = true;
            }
        }
    }

    /// Hands on what was counted so far.
    fn bequeath(&self) {
        let (requests, whole) = (self.requests.swap(0, Relaxed), self.whole.swap(0, Relaxed));
        let (account, names) = &self.heirs;
        for (definition, counts) in self.each() {
            let counted =
                [&counts.forwarded, &counts.called, &counts.missed].map(|count| count.swap(0, Relaxed));
            if requests == 0 && counted == [0; 3] {
                continue;
            }
            let named = names.get_with((*account, name_hash(&definition.name)), || {
                Arc::new(Named {
                    definition: definition.clone(),
                    offered: AtomicU64::new(0),
                    counts: Counts::default(),
                })
            });
            named.offered.fetch_add(requests, Relaxed);
            named.counts.forwarded.fetch_add(whole + counted[0], Relaxed);
            named.counts.called.fetch_add(counted[1], Relaxed);
            named.counts.missed.fetch_add(counted[2], Relaxed);
            named.counts.last_missed.fetch_max(counts.last_missed.load(Relaxed), Relaxed);
        }
    }
}

/// Requests that still held it when it was forgotten have counted on.
impl Drop for Offer {
    fn drop(&mut self) {
        self.bequeath();
    }
}

impl Definition {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.tool.bytes()
    }
}

impl Sum {
    fn of<'a>(sums: &'a mut BTreeMap<Box<str>, Sum>, definition: &Definition) -> &'a mut Self {
        sums.entry(definition.name.clone()).or_insert_with(|| Self {
            definition: definition.clone(),
            offered: 0,
            forwarded: 0,
            called: 0,
            missed: 0,
            last_missed: None,
            twins: false,
        })
    }

    fn add(&mut self, offered: u64, counts: &Counts) {
        self.offered += offered;
        self.forwarded += counts.forwarded.load(Relaxed);
        self.called += counts.called.load(Relaxed);
        self.missed += counts.missed.load(Relaxed);
        let last = counts.last_missed.load(Relaxed);
        let last = (last != 0).then(|| DateTime::from_timestamp_micros(last)).flatten();
        self.last_missed = self.last_missed.max(last);
    }
}
