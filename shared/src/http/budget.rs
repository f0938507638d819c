//! Memory that large bodies and answers share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes in a unit of a budget.
const UNIT: usize = 1024;

/// A number of bytes to be shared. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Semaphore>);

/// A part of a budget; given back when the last copy is dropped.
#[derive(Debug, Clone)]
pub struct Share {
    _permits: Arc<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new((bytes / UNIT).min(Semaphore::MAX_PERMITS))))
    }

    /// A share of so many bytes; nothing if there are not so many left. Nobody waits: whoever has a
    /// share may need more.
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
    fn what_is_taken_is_given_back_with_the_last_copy() {
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
