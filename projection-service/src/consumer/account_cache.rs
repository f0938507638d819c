//! Cache of account states between batches. The cache is valid while no other writer applies events
//! of the same partitions. Each batch checks that by the checkpoints, and a mismatch discards the
//! cache.

use std::collections::{HashMap, HashSet};

use passbook_shared::position::Position;
use uuid::Uuid;

use crate::projection::AccountState;

/// Cached state of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// The account does not exist.
    Absent,
    /// The account after its last applied event.
    State(AccountState),
    /// An event of the account is quarantined; later events wait behind it.
    Quarantined,
}

/// Cache of the last `CAPACITY` accounts used, and of at most as many older ones.
///
/// A general-purpose cache could evict an account of the current batch before the fold, which would
/// then treat the account as absent. `CAPACITY` exceeds the number of accounts in a batch.
#[derive(Debug, Default)]
pub(crate) struct AccountCache {
    young: HashMap<Uuid, Known>,
    old: HashMap<Uuid, Known>,
    /// Positions of the discarded events of these accounts.
    discarded: HashSet<Position>,
}

const CAPACITY: usize = 100_000;

impl AccountCache {
    /// Returns the cached state of an account.
    pub(crate) fn get(&mut self, account_id: Uuid) -> Option<Known> {
        if let Some(known) = self.young.get(&account_id) {
            return Some(*known);
        }
        // An account in use moves to the young half, so the next rotation keeps it.
        let known = self.old.remove(&account_id)?;
        self.set(account_id, known);
        Some(known)
    }

    /// Replaces the cached state of an account.
    pub(crate) fn set(&mut self, account_id: Uuid, known: Known) {
        self.young.insert(account_id, known);
        if self.young.len() > CAPACITY {
            // The accounts in `old` were not used since the last rotation and are dropped.
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Adds discarded events, which the fold skips if they cannot be applied.
    pub(crate) fn discard(&mut self, events: impl IntoIterator<Item = Position>) {
        self.discarded.extend(events);
    }

    /// Returns whether an event was discarded.
    pub(crate) fn is_discarded(&self, event: Position) -> bool {
        self.discarded.contains(&event)
    }
}
