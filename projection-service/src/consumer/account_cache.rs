//! The states of accounts between batches: what the views hold, without asking them. Right as long as nobody else
//! goes on with our partitions, which the checkpoints tell with each batch; forgotten when they do.

use std::collections::{HashMap, HashSet};

use passbook_shared::position::Position;
use uuid::Uuid;

use crate::projection::AccountState;

/// What is known of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is not there.
    Absent,
    /// As it stands.
    State(AccountState),
    /// An event of it was set aside: what comes waits behind it.
    Quarantined,
}

/// The accounts used last: at least `CAPACITY` of them, which is more than a batch has, and at most twice as many.
#[derive(Debug, Default)]
pub(crate) struct AccountCache {
    young: HashMap<Uuid, Known>,
    old: HashMap<Uuid, Known>,
    /// Events of theirs that were discarded: few.
    discarded: HashSet<Position>,
}

const CAPACITY: usize = 100_000;

impl AccountCache {
    /// What is known of an account, if anything.
    pub(crate) fn get(&mut self, account_id: Uuid) -> Option<Known> {
        if let Some(known) = self.young.get(&account_id) {
            return Some(*known);
        }
        let known = self.old.remove(&account_id)?;
        self.set(account_id, known);
        Some(known)
    }

    /// What is known of it from now on.
    pub(crate) fn set(&mut self, account_id: Uuid, known: Known) {
        self.young.insert(account_id, known);
        if self.young.len() > CAPACITY {
            self.old = std::mem::take(&mut self.young);
        }
    }

    /// Their accounts go on without these events, if they can't be applied.
    pub(crate) fn discard(&mut self, events: impl IntoIterator<Item = Position>) {
        self.discarded.extend(events);
    }

    /// Whether an event was discarded.
    pub(crate) fn is_discarded(&self, event: Position) -> bool {
        self.discarded.contains(&event)
    }
}
