//! Accounts of some partitions: states that are known because every change to them has gone through here, and earlier ones
//! that were asked for again. Bounded by weight.

use quick_cache::Weighter;
use quick_cache::unsync;
use uuid::Uuid;

use crate::log::load::Loaded;

/// What an entry takes beside the state itself, in bytes: key, hash table, queue.
const OVERHEAD: u64 = 64;
/// What an open hold takes, in bytes: itself and its place in a tree.
const HOLD: u64 = 160;

#[derive(Debug, Clone)]
struct Bytes;

/// Kinds of states that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// The account's newest.
    Newest,
    /// The state after the command that was repeated last: the next command to be repeated is mostly the one after it.
    Repeated,
}

impl Weighter<(Kind, Uuid), Loaded> for Bytes {
    fn weight(&self, _: &(Kind, Uuid), loaded: &Loaded) -> u64 {
        size_of::<Loaded>() as u64 + OVERHEAD + HOLD * loaded.account.open_holds() as u64
    }
}

/// States of accounts that were opened, by id.
#[derive(Debug)]
pub(super) struct Cache {
    accounts: unsync::Cache<(Kind, Uuid), Loaded, Bytes>,
    bytes: u64,
    /// What it was known in: see [`super::shelves::Shelves::begin_era`].
    pub(super) era: u64,
}

impl Cache {
    /// An empty cache that holds about so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes / (size_of::<Loaded>() as u64 + OVERHEAD))
            .unwrap_or(usize::MAX)
            .max(1);
        Self { accounts: unsync::Cache::with_weighter(entries, bytes, Bytes), bytes, era: 0 }
    }

    pub(super) fn get(&mut self, kind: Kind, account_id: Uuid) -> Option<&Loaded> {
        self.accounts.get(&(kind, account_id))
    }

    /// Keeps a state; one without events is not worth it.
    pub(super) fn keep(&mut self, kind: Kind, account_id: Uuid, loaded: Loaded) {
        if loaded.version > 0 {
            self.accounts.insert((kind, account_id), loaded);
        }
    }

    /// Forgets the newest state of an account: it may have changed. A state after an earlier command never changes.
    pub(super) fn forget(&mut self, account_id: Uuid) {
        self.accounts.remove(&(Kind::Newest, account_id));
    }

    pub(super) fn forget_all(&mut self) {
        *self = Self { era: self.era, ..Self::new(self.bytes) };
    }
}
