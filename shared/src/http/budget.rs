//! Memory budget that the bodies of requests or responses share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Size of a unit of a budget, in bytes.
const UNIT: usize = 1024;

/// Budget in bytes. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Semaphore>);

/// Share of a budget, returned when its last clone is dropped.
#[derive(Debug, Clone)]
pub struct Share {
    _permits: Arc<OwnedSemaphorePermit>,
}

impl Budget {
    /// Creates a budget of `bytes` bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// Takes a share of `bytes` bytes, if they are left. Does not wait: a waiter that already has a
    /// share could cause a deadlock.
    pub fn take(&self, bytes: usize) -> Option<Share> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permits = Arc::clone(&self.0).try_acquire_many_owned(units).ok()?;
        Some(Share { _permits: Arc::new(permits) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_returns_to_the_budget_with_its_last_clone() {
        let budget = Budget::new(10 * UNIT);
        let (one, two) = (budget.take(1).unwrap(), budget.take(9 * UNIT).unwrap());
        assert!(budget.take(1).is_none());
        drop(one);
        assert!(budget.take(UNIT + 1).is_none() && budget.take(UNIT).is_some());
        let copy = two.clone();
        drop(two);
        assert!(budget.take(2 * UNIT).is_none());
        drop(copy);
        assert!(budget.take(10 * UNIT).is_some() && budget.take(0).is_some());
    }
}
