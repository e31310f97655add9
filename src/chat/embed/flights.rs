//! What is being asked for at the moment, so that nothing is asked for twice at once.
//!
//! A key is claimed by the first that wants it; the others wait for the claim to end, however it does. An end says
//! nothing of success: whoever waited looks whether what it wanted is there.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

/// The claims that are open.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<u128, Landing>>);

/// Ends when the claim does: its sender is dropped.
pub(super) type Landing = watch::Receiver<()>;

/// Keys that one task asks for. Dropped, whether or not the task came to its end, they may be claimed again.
#[derive(Debug)]
pub(super) struct Claim {
    flights: Arc<Flights>,
    pub(super) keys: Vec<u128>,
    _landing: watch::Sender<()>,
}

impl Flights {
    /// Claims those of `wanted` that nobody has claimed and that `is_known` does not know; and all the claims to wait
    /// for. `is_known` is asked under the lock: what a claim brought is known before it ends, so that nothing falls
    /// between the two.
    pub(super) fn claim(
        self: &Arc<Self>,
        wanted: &[u128],
        is_known: impl Fn(u128) -> bool,
    ) -> (Option<Claim>, Vec<Landing>) {
        let (sender, landing) = watch::channel(());
        let (mut keys, mut landings) = (Vec::new(), Vec::new());
        let mut open = self.open();
        for key in wanted {
            match open.get(key) {
                Some(other) if other.same_channel(&landing) => {}
                Some(other) => landings.push(other.clone()),
                None if is_known(*key) => {}
                None => {
                    open.insert(*key, landing.clone());
                    keys.push(*key);
                }
            }
        }
        drop(open);
        if keys.is_empty() {
            return (None, landings);
        }
        landings.push(landing);
        (Some(Claim { flights: Arc::clone(self), keys, _landing: sender }), landings)
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u128, Landing>> {
        // Each change is a single insertion or removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut open = self.flights.open();
        for key in &self.keys {
            open.remove(key);
        }
    }
}

/// Waits until a claim has ended.
pub(super) async fn landed(mut landing: Landing) {
    // Nothing is ever sent: the only change is the end.
    let _ = landing.changed().await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_key_is_claimed_once_and_again_when_its_claim_has_ended() {
        let flights = Arc::new(Flights::default());
        let (first, _) = flights.claim(&[1, 2, 2], |_| false);
        let first = first.unwrap();
        assert_eq!(first.keys, [1, 2]);
        let (second, landings) = flights.claim(&[2, 3, 4], |key| key == 4);
        assert_eq!((second.unwrap().keys.clone(), landings.len()), (vec![3], 2));
        let (none, mut landings) = flights.claim(&[1], |_| false);
        assert!(none.is_none());
        let landing = landings.pop().unwrap();
        assert!(timeout(Duration::from_millis(10), landed(landing.clone())).await.is_err());
        drop(first);
        landed(landing).await;
        assert_eq!(flights.claim(&[1, 2, 3], |_| false).0.unwrap().keys, [1, 2, 3]);
    }
}
