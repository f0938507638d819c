//! Memory budget that the bodies of requests or responses share.

use std::sync::Arc;

use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Size of a unit of a budget, in bytes.
const UNIT: usize = 1024;

/// Budget in bytes. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget {
    units: Arc<Semaphore>,
    used: Gauge,
}

/// Share of a budget, returned when its last clone is dropped.
#[derive(Debug, Clone)]
pub struct Share {
    _taken: Arc<Taken>,
}

#[derive(Debug)]
struct Taken {
    permits: OwnedSemaphorePermit,
    used: Gauge,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.used.decrement(bytes_of(&self.permits));
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn bytes_of(permits: &OwnedSemaphorePermit) -> f64 {
    (permits.num_permits() * UNIT) as f64
}

impl Budget {
    /// Creates a budget of `bytes` bytes. The metric of its use has the label `of`.
    pub fn new(of: &'static str, bytes: usize) -> Self {
        let used = metrics::gauge!("passbook_http_budget_used_bytes", "of" => of);
        // Registers the gauge.
        used.increment(0);
        let most = (bytes / UNIT).min(Semaphore::MAX_PERMITS);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        metrics::gauge!("passbook_http_budget_max_bytes", "of" => of).set((most * UNIT) as f64);
        let units = Arc::new(Semaphore::new(most));
        Self { units, used }
    }

    /// Takes a share of `bytes` bytes, if they are left. Does not wait: a waiter that already has a
    /// share could cause a deadlock.
    pub fn take(&self, bytes: usize) -> Option<Share> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let permits = Arc::clone(&self.units).try_acquire_many_owned(units).ok()?;
        self.used.increment(bytes_of(&permits));
        Some(Share { _taken: Arc::new(Taken { permits, used: self.used.clone() }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_returns_to_the_budget_with_its_last_clone() {
        let budget = Budget::new("requests", 10 * UNIT);
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
