//! States of accounts in memory, in front of the snapshots and the log. A lane locks the caches of
//! the partitions that it works on, so nothing else decides on their accounts meanwhile.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use passbook_shared::partition::Partition;
use quick_cache::{Weighter, unsync};
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use super::loaded::Loaded;

/// Size of an entry without its state, in bytes: key, hash table and queue.
const OVERHEAD: u64 = 64;
/// Size of an open hold, in bytes, with its place in a tree.
const HOLD: u64 = 160;

/// Kinds of states that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The newest state of the account.
    Newest,
    /// The state after the command that was replayed last: the next command to be replayed mostly
    /// follows it.
    Replayed,
}

#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<(Kind, Uuid), Loaded> for Bytes {
    fn weight(&self, _: &(Kind, Uuid), loaded: &Loaded) -> u64 {
        size_of::<Loaded>() as u64 + OVERHEAD + HOLD * loaded.account.open_holds() as u64
    }
}

#[derive(Debug)]
struct Cache {
    accounts: unsync::Cache<(Kind, Uuid), Loaded, Bytes>,
    bytes: u64,
    /// Era in which the states were read.
    era: u64,
}

impl Cache {
    fn new(bytes: u64) -> Self {
        let entries = bytes / (size_of::<Loaded>() as u64 + OVERHEAD);
        let entries = usize::try_from(entries).unwrap_or(usize::MAX).max(1);
        Self { accounts: unsync::Cache::with_weighter(entries, bytes, Bytes), bytes, era: 0 }
    }

    fn clear(&mut self) {
        *self = Self { era: self.era, ..Self::new(self.bytes) };
    }
}

/// Caches of states, each of some partitions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct StateCaches {
    caches: Arc<[Arc<Mutex<Cache>>]>,
    era: Arc<AtomicU64>,
}

impl StateCaches {
    /// Creates `count` caches of about `bytes` bytes each.
    pub(crate) fn new(count: usize, bytes: u64) -> Self {
        let caches = (0..count).map(|_| Arc::new(Mutex::new(Cache::new(bytes)))).collect();
        Self { caches, era: Arc::default() }
    }

    /// Returns the index of a partition's cache.
    pub(crate) fn index_of(&self, partition: Partition) -> usize {
        partition.index() % self.caches.len()
    }

    /// Locks the caches of partitions.
    pub(crate) async fn lock(&self, partitions: impl Iterator<Item = Partition>) -> CacheGuard {
        // The ascending order of a set keeps two lanes from waiting for each other.
        let indices: BTreeSet<usize> =
            partitions.map(|partition| self.index_of(partition)).collect();
        let mut locked = BTreeMap::new();
        for index in indices {
            locked.insert(index, Arc::clone(&self.caches[index]).lock_owned().await);
        }
        // Read under the locks: a cache of an earlier era may have states of another log.
        let era = self.era.load(Ordering::Acquire);
        locked.values_mut().filter(|cache| cache.era != era).for_each(|cache| cache.clear());
        locked.values_mut().for_each(|cache| cache.era = era);
        CacheGuard { caches: self.clone(), locked }
    }
}

/// Caches that are locked.
#[derive(Debug)]
pub(crate) struct CacheGuard {
    caches: StateCaches,
    locked: BTreeMap<usize, OwnedMutexGuard<Cache>>,
}

impl CacheGuard {
    fn of(&mut self, partition: Partition) -> Option<&mut Cache> {
        self.locked.get_mut(&self.caches.index_of(partition)).map(|cache| &mut **cache)
    }

    pub(crate) fn get(&mut self, kind: Kind, id: Uuid, partition: Partition) -> Option<&Loaded> {
        self.of(partition)?.accounts.get(&(kind, id))
    }

    /// Keeps a state; that of an account without events is not worth the room.
    pub(crate) fn keep(&mut self, kind: Kind, id: Uuid, partition: Partition, loaded: Loaded) {
        if let Some(cache) = self.of(partition).filter(|_| loaded.version > 0) {
            cache.accounts.insert((kind, id), loaded);
        }
    }

    /// Discards the newest state of an account: it may have changed. An earlier state never does.
    pub(crate) fn discard(&mut self, account_id: Uuid, partition: Partition) {
        if let Some(cache) = self.of(partition) {
            cache.accounts.remove(&(Kind::Newest, account_id));
        }
    }

    /// Begins an era: states that are not locked here are discarded before their next use. A new
    /// connection begins one, because the database may be another log than before, restored from a
    /// backup.
    pub(crate) fn begin_era(&mut self) {
        let era = self.caches.era.fetch_add(1, Ordering::AcqRel) + 1;
        // The caller has cleared these caches.
        self.locked.values_mut().for_each(|cache| cache.era = era);
    }

    pub(crate) fn clear(&mut self) {
        self.locked.values_mut().for_each(|cache| cache.clear());
    }
}
