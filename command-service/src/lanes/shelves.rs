//! The states that lanes know, by partition: whoever works on a batch holds those of its partitions, so that nobody else
//! decides on their accounts meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use passbook_shared::partition::Partition;
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use super::cache::{Cache, Kind};
use crate::log::load::Loaded;

/// Every partition is on one of the shelves.
#[derive(Debug, Clone)]
pub(super) struct Shelves {
    caches: Arc<[Arc<Mutex<Cache>>]>,
    era: Arc<AtomicU64>,
}

impl Shelves {
    /// So many, each of about so many bytes.
    pub(super) fn new(count: usize, bytes: u64) -> Self {
        let caches = (0..count).map(|_| Arc::new(Mutex::new(Cache::new(bytes)))).collect();
        Self { caches, era: Arc::default() }
    }

    /// A lane has made a connection anew. It may lead to another log than the one before it: one that was restored from a
    /// backup. So nothing that any lane knows from earlier is believed.
    pub(super) fn begin_era(&self) -> u64 {
        self.era.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Which one the partition is on.
    pub(super) fn of(&self, partition: Partition) -> usize {
        usize::from(partition.unsigned_abs()) % self.caches.len()
    }

    /// Takes those of the partitions, in ascending order, so that two never wait for each other in a ring.
    pub(super) async fn hold(&self, partitions: impl Iterator<Item = Partition>) -> Held {
        let mut held = BTreeMap::new();
        let wanted: std::collections::BTreeSet<usize> =
            partitions.map(|partition| self.of(partition)).collect();
        for shelf in wanted {
            held.insert(shelf, Arc::clone(&self.caches[shelf]).lock_owned().await);
        }
        let mut held = Held { shelves: self.clone(), held };
        let era = self.era.load(Ordering::Acquire);
        held.held
            .values_mut()
            .filter(|cache| cache.era != era)
            .for_each(|cache| cache.forget_all());
        held.is_of(era);
        held
    }
}

/// Shelves that nobody else has.
#[derive(Debug)]
pub(super) struct Held {
    shelves: Shelves,
    held: BTreeMap<usize, OwnedMutexGuard<Cache>>,
}

impl Held {
    fn cache(&mut self, partition: Partition) -> Option<&mut Cache> {
        self.held.get_mut(&self.shelves.of(partition)).map(|cache| &mut **cache)
    }

    pub(super) fn get(
        &mut self,
        kind: Kind,
        account_id: Uuid,
        partition: Partition,
    ) -> Option<&Loaded> {
        self.cache(partition)?.get(kind, account_id)
    }

    pub(super) fn keep(
        &mut self,
        kind: Kind,
        account_id: Uuid,
        partition: Partition,
        loaded: Loaded,
    ) {
        if let Some(cache) = self.cache(partition) {
            cache.keep(kind, account_id, loaded);
        }
    }

    pub(super) fn forget(&mut self, account_id: Uuid, partition: Partition) {
        if let Some(cache) = self.cache(partition) {
            cache.forget(account_id);
        }
    }

    /// All that is held is believed in this era.
    pub(super) fn is_of(&mut self, era: u64) {
        self.held.values_mut().for_each(|cache| cache.era = era);
    }

    pub(super) fn forget_all(&mut self) {
        self.held.values_mut().for_each(|cache| cache.forget_all());
    }
}
