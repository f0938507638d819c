//! Memory budget that the bodies of requests or responses share.

use std::sync::Arc;

use metrics::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::shares::Shares;

/// Size of a unit of a budget, in bytes.
const UNIT: usize = 1024;

/// Budget in bytes. Clones share it.
#[derive(Debug, Clone)]
pub struct Budget {
    units: Arc<Semaphore>,
    used: Gauge,
    /// Bound what a principal takes.
    shares: Shares,
    /// Principal that takes; none without authentication.
    principal: Option<Arc<str>>,
}

/// Share of a budget, returned when its last clone is dropped.
#[derive(Debug, Clone)]
pub struct Share {
    _taken: Arc<Taken>,
}

#[derive(Debug)]
struct Taken {
    permits: OwnedSemaphorePermit,
    _of_principal: Option<OwnedSemaphorePermit>,
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
        Self { units, used, shares: Shares::half_of(most), principal: None }
    }

    /// Returns the budget for a principal, which takes at most half of it.
    pub fn of(&self, principal: Arc<str>) -> Self {
        Self { principal: Some(principal), ..self.clone() }
    }

    /// Takes a share of `bytes` bytes, if they are left. Does not wait: a waiter that already has a
    /// share could cause a deadlock.
    pub fn take(&self, bytes: usize) -> Option<Share> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let of_principal = match &self.principal {
            // More than the share takes all of it.
            Some(principal) => Some(self.shares.try_take(principal, units)?),
            None => None,
        };
        let permits = Arc::clone(&self.units).try_acquire_many_owned(units).ok()?;
        self.used.increment(bytes_of(&permits));
        let taken = Taken { permits, _of_principal: of_principal, used: self.used.clone() };
        Some(Share { _taken: Arc::new(taken) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_takes_at_most_half_and_others_find_the_rest() {
        let budget = Budget::new("requests", 10 * UNIT);
        let [ada, bob] = ["ada", "bob"].map(|name| budget.of(name.into()));
        let of_ada = ada.take(5 * UNIT).unwrap();
        assert!(ada.take(1).is_none() && ada.clone().take(1).is_none());
        let of_bob = bob.take(5 * UNIT).unwrap();
        drop((of_ada, of_bob));
        assert!(ada.take(7 * UNIT).is_some(), "more than the share, if the rest is free");
    }

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
