//! Shares of a resource: each holder has at most one, so that none of them takes all of it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Minimum number of known holders at which those without a place are forgotten.
const SWEEP: usize = 1_024;

/// Shares of a resource. A holder takes a place of its share first and then one of the resource, so
/// that what it waits for does not delay others. Clones are the same shares.
#[derive(Debug, Clone)]
pub struct Shares {
    size: usize,
    holders: Arc<Mutex<Holders>>,
}

/// Places of a holder's share, given back by the drop.
#[derive(Debug, Default)]
pub struct Places(
    #[expect(dead_code, reason = "held until the drop")] Option<OwnedSemaphorePermit>,
);

/// All places of a holder's share are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("all places of the share are taken")]
pub struct ShareTaken;

#[derive(Debug)]
struct Holders {
    /// Weak: the places taken keep a share.
    by_name: HashMap<Box<str>, Weak<Semaphore>>,
    /// Number of holders at which those without a place are forgotten.
    sweep_at: usize,
}

impl Shares {
    /// Creates shares of `size` places each.
    pub fn new(size: usize) -> Self {
        let holders = Holders { by_name: HashMap::new(), sweep_at: SWEEP };
        Self { size, holders: Arc::new(Mutex::new(holders)) }
    }

    /// Creates shares of half of a resource's places, rounded up.
    pub fn half_of(places: usize) -> Self {
        Self::new(places.div_ceil(2))
    }

    /// Takes places of a holder's share, at most all of them, by a deadline. Without a holder,
    /// nothing is taken.
    ///
    /// # Errors
    /// The holder has too many places until the deadline.
    pub async fn take(
        &self,
        holder: Option<&str>,
        places: usize,
        deadline: Instant,
    ) -> Result<Places, ShareTaken> {
        let Some(holder) = holder else { return Ok(Places(None)) };
        let places = u32::try_from(places.min(self.size)).unwrap_or(u32::MAX);
        let taken = acquire(self.of(holder), places, deadline).await.ok_or(ShareTaken)?;
        Ok(Places(Some(taken)))
    }

    /// Takes places of a holder's share, at most all of them, if they are free.
    pub fn try_take(&self, holder: &str, places: u32) -> Option<OwnedSemaphorePermit> {
        let most = u32::try_from(self.size).unwrap_or(u32::MAX);
        self.of(holder).try_acquire_many_owned(places.min(most)).ok()
    }

    /// Returns the share of a holder. Its semaphore is fair and never closed.
    pub fn of(&self, holder: &str) -> Arc<Semaphore> {
        let mut holders = self.holders.lock();
        if let Some(share) = holders.by_name.get(holder).and_then(Weak::upgrade) {
            return share;
        }
        if holders.by_name.len() >= holders.sweep_at {
            holders.by_name.retain(|_, share| share.strong_count() > 0);
            holders.sweep_at = SWEEP.max(2 * holders.by_name.len());
        }
        let share = Arc::new(Semaphore::new(self.size));
        holders.by_name.insert(holder.into(), Arc::downgrade(&share));
        share
    }
}

/// Takes permits by a deadline.
pub async fn acquire(
    semaphore: Arc<Semaphore>,
    permits: u32,
    deadline: Instant,
) -> Option<OwnedSemaphorePermit> {
    // The usual case needs no timer.
    match Arc::clone(&semaphore).try_acquire_many_owned(permits) {
        Ok(permits) => Some(permits),
        Err(_) => timeout_at(deadline, semaphore.acquire_many_owned(permits)).await.ok()?.ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_holder_waits_for_its_own_places_only() {
        let shares = Shares::new(2);
        let soon = || Instant::now() + std::time::Duration::from_secs(20);
        let all = shares.take(Some("ada"), 9, soon()).await.unwrap();
        assert_eq!(shares.take(Some("ada"), 1, Instant::now()).await.err(), Some(ShareTaken));
        shares.take(Some("bob"), 1, Instant::now()).await.unwrap();
        shares.take(None, 9, Instant::now()).await.unwrap();
        let waiting = shares.take(Some("ada"), 1, soon());
        let (taken, ()) = tokio::join!(waiting, async { drop(all) });
        assert!(taken.is_ok());
    }

    #[test]
    fn a_holder_has_one_share_while_it_has_a_place() {
        let shares = Shares::half_of(5);
        let (ada, bob) = (shares.of("ada"), shares.clone().of("bob"));
        let take = || shares.of("ada").try_acquire_owned().ok();
        let places: Vec<_> = std::iter::from_fn(take).collect();
        assert_eq!((places.len(), ada.available_permits(), bob.available_permits()), (3, 0, 3));
        drop((ada, places));
        assert_eq!(shares.of("ada").available_permits(), 3);
    }

    #[test]
    fn holders_without_a_place_are_forgotten_beyond_a_number() {
        let shares = Shares::new(1);
        let held = shares.of("0");
        for number in 1..=SWEEP {
            shares.of(&number.to_string());
        }
        assert!(shares.holders.lock().by_name.len() < SWEEP);
        assert!(Arc::ptr_eq(&held, &shares.of("0")), "a share in use is kept");
    }
}
