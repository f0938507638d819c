//! The ids of the last events, to find one that is there twice. One that is there again after more than that is found by
//! its time, which has gone back.

use std::collections::HashSet;

use uuid::Uuid;

/// At least `CAPACITY` of them, and at most twice as many.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: HashSet<Uuid>,
    old: HashSet<Uuid>,
}

const CAPACITY: usize = 25_000;

impl Recent {
    /// Adds one; gives whether it is new.
    pub(super) fn insert(&mut self, event_id: Uuid) -> bool {
        if self.young.len() == CAPACITY {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(event_id) && !self.old.contains(&event_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered_and_no_more_than_that() {
        let mut recent = Recent::default();
        let ids = 0..10 * CAPACITY as u128;
        assert!(ids.clone().all(|id| recent.insert(Uuid::from_u128(id))));
        assert!(recent.young.len() + recent.old.len() <= 2 * CAPACITY);
        assert!(ids.rev().take(CAPACITY).all(|id| !recent.insert(Uuid::from_u128(id))));
        assert!(recent.insert(Uuid::nil()));
    }
}
