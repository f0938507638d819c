//! Ids of the latest events, which reveal an event that is in the log twice. A repeat after more
//! events is revealed by its earlier time of recording.

use std::collections::HashSet;

use uuid::Uuid;

/// Set of at least `CAPACITY` and at most twice as many ids.
#[derive(Debug, Default)]
pub(super) struct Recent {
    young: HashSet<Uuid>,
    old: HashSet<Uuid>,
}

const CAPACITY: usize = 25_000;

impl Recent {
    /// Adds an id; returns whether it is new.
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
    fn only_the_latest_ids_are_kept() {
        let mut recent = Recent::default();
        let ids = 0..10 * CAPACITY as u128;
        assert!(ids.clone().all(|id| recent.insert(Uuid::from_u128(id))));
        assert!(recent.young.len() + recent.old.len() <= 2 * CAPACITY);
        assert!(ids.rev().take(CAPACITY).all(|id| !recent.insert(Uuid::from_u128(id))));
        assert!(recent.insert(Uuid::nil()));
    }
}
