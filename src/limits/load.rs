//! What this process takes at once, of everybody together: requests under way, and bytes of bodies that are being read.
//!
//! Beyond it requests are refused at the door (503, `Retry-After`), before they cost anything: a process that takes all
//! that comes answers nobody in the end, or is killed for its memory. Once half of the places are taken, no key may have
//! more than an eighth of them, so that one agent gone wild leaves room for the others. Keys are counted in a table of
//! fixed size by their hash, without a lock: two that meet in it are counted as one, which only matters in a crowd.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use uuid::Uuid;

/// Places in the table of keys.
const KEYS: usize = 4096;

/// How much a process takes at once.
#[derive(Debug, Clone, Copy)]
pub struct LoadBounds {
    /// Requests under way, streams to their last byte included.
    pub requests: usize,
    /// Bytes of bodies that are being read or wait to be sent on.
    pub body_bytes: usize,
}

/// What is under way.
#[derive(Debug)]
pub struct Load {
    bounds: LoadBounds,
    requests: AtomicUsize,
    body_bytes: AtomicUsize,
    keys: Box<[AtomicUsize]>,
    shed: AtomicU64,
}

/// A request's place, given back when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Place(Arc<Held>);

#[derive(Debug)]
struct Held {
    load: Arc<Load>,
    body_bytes: AtomicUsize,
    key: OnceLock<usize>,
}

impl Load {
    /// Nothing under way.
    pub fn new(bounds: LoadBounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            requests: AtomicUsize::new(0),
            body_bytes: AtomicUsize::new(0),
            keys: (0..KEYS).map(|_| AtomicUsize::new(0)).collect(),
            shed: AtomicU64::new(0),
        })
    }

    /// A place for one request more, if there is one.
    pub fn enter(self: &Arc<Self>) -> Option<Place> {
        if self.requests.fetch_add(1, Relaxed) >= self.bounds.requests {
            self.requests.fetch_sub(1, Relaxed);
            self.shed.fetch_add(1, Relaxed);
            return None;
        }
        let (load, key) = (Arc::clone(self), OnceLock::new());
        Some(Place(Arc::new(Held { load, body_bytes: AtomicUsize::new(0), key })))
    }

    /// Requests under way.
    pub fn requests(&self) -> usize {
        self.requests.load(Relaxed)
    }

    /// How many requests were refused for want of room, since the start.
    pub fn shed(&self) -> u64 {
        self.shed.load(Relaxed)
    }
}

impl Place {
    /// Says whose request it is, by the id of its key or else its account, and whether he may have one more.
    #[must_use]
    pub fn is_of(&self, owner: Uuid) -> bool {
        let Held { load, key, .. } = &*self.0;
        // Of a UUID of version 7 these are random bits.
        let slot = owner.as_u128() as usize % KEYS;
        if key.set(slot).is_err() {
            return true;
        }
        let others = load.keys[slot].fetch_add(1, Relaxed);
        let crowded = load.requests() > load.bounds.requests / 2;
        let fits = !crowded || others < (load.bounds.requests / 8).max(1);
        if !fits {
            load.shed.fetch_add(1, Relaxed);
        }
        fits
    }

    /// Takes note of so many bytes of the request's body, and says whether there is room for them.
    #[must_use]
    pub fn reads(&self, bytes: usize) -> bool {
        let Held { load, body_bytes, .. } = &*self.0;
        body_bytes.fetch_add(bytes, Relaxed);
        let fits = load.body_bytes.fetch_add(bytes, Relaxed) + bytes <= load.bounds.body_bytes;
        if !fits {
            load.shed.fetch_add(1, Relaxed);
        }
        fits
    }

    /// Says that the body is no longer held: it was sent on, or thrown away.
    pub fn has_sent(&self) {
        let Held { load, body_bytes, .. } = &*self.0;
        load.body_bytes.fetch_sub(body_bytes.swap(0, Relaxed), Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.load.requests.fetch_sub(1, Relaxed);
        self.load.body_bytes.fetch_sub(*self.body_bytes.get_mut(), Relaxed);
        if let Some(slot) = self.key.get() {
            self.load.keys[*slot].fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(requests: usize) -> Arc<Load> {
        Load::new(LoadBounds { requests, body_bytes: 100 })
    }

    #[test]
    fn there_are_so_many_places_and_no_more_and_each_is_given_back_once() {
        let load = load(2);
        let (one, two) = (load.enter().unwrap(), load.enter().unwrap());
        let again = one.clone();
        assert!(load.enter().is_none());
        drop(one);
        assert!(load.enter().is_none());
        drop(again);
        assert!(load.enter().is_some());
        drop(two);
        assert_eq!((load.requests(), load.shed()), (0, 2));
    }

    #[test]
    fn in_a_crowd_no_key_has_more_than_an_eighth() {
        let load = load(16);
        let (greedy, other) = (Uuid::from_u128(7), Uuid::from_u128(8));
        let mine: Vec<_> = (0..8).map(|_| load.enter().unwrap()).collect();
        assert!(mine.iter().all(|place| place.is_of(greedy)), "there is room for all");
        let one_more = load.enter().unwrap();
        assert!(!one_more.is_of(greedy));
        drop(one_more);
        let others: Vec<_> = (0..2).map(|_| load.enter().unwrap()).collect();
        assert!(others.iter().all(|place| place.is_of(other)));
        let third = load.enter().unwrap();
        assert!(!third.is_of(other));
        drop((mine, others, third));
        assert!(load.keys.iter().all(|key| key.load(Relaxed) == 0));
        assert_eq!(load.shed(), 2);
    }

    #[test]
    fn bodies_have_a_bound_together_and_are_counted_until_they_are_sent() {
        let load = load(8);
        let (one, two) = (load.enter().unwrap(), load.enter().unwrap());
        assert!(one.reads(60) && two.reads(40));
        assert!(!two.reads(1));
        one.has_sent();
        assert!(two.reads(50));
        drop(two);
        assert!(one.reads(100));
        drop(one);
        assert_eq!(load.body_bytes.load(Relaxed), 0);
    }
}
