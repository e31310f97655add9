//! Failed authentications, limited by where they come from, before they reach the store. In this process only: a
//! shared count would put Redis in front of every stranger.
//!
//! Sources are as many as an attacker likes, so that their number is bounded hard: past it new ones share a bucket.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};

use super::{gcra::Rate, verdict::micros};

/// Shards, each with a lock of its own.
const SHARDS: usize = 16;

/// How many sources the shared bucket of a shard stands for.
const CROWD: i64 = 16;

/// Limits attempts to authenticate that fail. Clones count together.
#[derive(Debug, Clone)]
pub struct FailedAuth {
    shards: Arc<[Mutex<Shard>]>,
    rate: Rate,
    crowd: Rate,
    sources: usize,
    refused: Arc<AtomicU64>,
}

/// An attempt that was let through. It counts as failed unless it is said to have succeeded: taken first and given back
/// after, so that a thousand attempts at once do not all pass the same check.
#[derive(Debug)]
#[must_use = "say `succeeded`, or it counts as a failure"]
pub struct Attempt {
    limiter: FailedAuth,
    source: IpAddr,
}

#[derive(Debug, Default)]
struct Shard {
    arrivals: HashMap<IpAddr, i64>,
    crowd: i64,
}

impl FailedAuth {
    /// Lets through `per_minute` failures of each source, remembering up to about `sources` of them.
    pub fn new(per_minute: i64, sources: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            rate: Rate::per_minute(per_minute),
            crowd: Rate::per_minute(per_minute.saturating_mul(CROWD)),
            sources: sources.div_ceil(SHARDS),
            refused: Arc::default(),
        }
    }

    /// How many attempts were refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Lets an attempt through to the store.
    ///
    /// # Errors
    /// The source has failed too often: how long it has to wait.
    pub fn attempt(&self, source: IpAddr, now: DateTime<Utc>) -> Result<Attempt, Duration> {
        let (source, now) = (network(source), now.timestamp_micros());
        let mut shard = self.shard(source);
        if !shard.arrivals.contains_key(&source) && shard.arrivals.len() >= self.sources {
            shard.arrivals.retain(|_, arrival| *arrival > now);
        }
        let known = shard.arrivals.contains_key(&source) || shard.arrivals.len() < self.sources;
        let rate = if known { self.rate } else { self.crowd };
        let arrival = if known { shard.arrivals.entry(source).or_insert(now) } else { &mut shard.crowd };
        let ahead = rate.ahead(*arrival, now);
        *arrival = now + ahead;
        if !rate.fits(ahead) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(micros(rate.wait(ahead)));
        }
        *arrival += rate.interval;
        drop(shard);
        Ok(Attempt { limiter: self.clone(), source })
    }

    fn shard(&self, source: IpAddr) -> MutexGuard<'_, Shard> {
        let bits = match source {
            IpAddr::V4(source) => source.to_bits(),
            // The half that is left of it, folded.
            IpAddr::V6(source) => {
                let network = (source.to_bits() >> 64) as u64;
                (network ^ (network >> 32)) as u32
            }
        };
        // Spread by an odd constant (the golden ratio): neighbours are not to meet in one shard.
        let place = (bits.wrapping_mul(0x9e37_79b9) >> 28) as usize;
        self.shards[place % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// The credential was good: nothing is counted.
    pub fn succeeded(self) {
        let mut shard = self.limiter.shard(self.source);
        match shard.arrivals.get_mut(&self.source) {
            Some(arrival) => *arrival -= self.limiter.rate.interval,
            None => shard.crowd -= self.limiter.crowd.interval,
        }
    }
}

/// What counts as one source: an IPv4 address, or the /64 that an IPv6 host can choose its address from.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(source) => Ipv6Addr::from_bits(source.to_bits() >> 64 << 64).into(),
        source => source,
    }
}
