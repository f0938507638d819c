//! What the reading thread and the applying task tell each other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use passbook_shared::partition::Partition;

use super::judging::OurLog;
use super::record::Record;
use crate::checkpoint::Checkpoint;

/// From the thread to the task, in order.
#[derive(Debug)]
pub(super) enum Parcel {
    /// From now on the epoch is this, and these partitions go on from here.
    Assigned {
        /// Counts assignments.
        epoch: u64,
        /// Of the partitions that are ours.
        checkpoints: Vec<Checkpoint>,
        /// Whose log is applied.
        log: OurLog,
    },
    /// Records as they were read.
    Records {
        /// The epoch they were read in; those of a past one are of no use.
        epoch: u64,
        /// In order within a partition.
        records: Vec<Record>,
    },
    /// The topic lost records of a partition that were not read yet, and may have none after them.
    Trimmed {
        /// As above.
        epoch: u64,
        /// The partition.
        partition: Partition,
    },
}

/// How far a partition was applied: what is committed to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Applied {
    /// The offset to read on from.
    pub(super) offset: i64,
    /// The position applied last.
    pub(super) position: i64,
}

/// What both sides see.
#[derive(Debug, Default)]
pub(super) struct Link {
    epoch: AtomicU64,
    start_over_at: Mutex<Option<Instant>>,
    applied: Mutex<BTreeMap<Partition, Applied>>,
    /// Held by the task while it applies a batch.
    pub(super) applying: tokio::sync::Mutex<()>,
}

impl Link {
    /// The present epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Makes all that was read so far of no use, and gives the new epoch.
    pub(super) fn next_epoch(&self) -> u64 {
        *self.start_over_at.lock() = None;
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Asks the thread to start over from the checkpoints, after a while.
    pub(super) fn start_over(&self, after: Duration) {
        *self.start_over_at.lock() = Some(Instant::now() + after);
    }

    /// Whether it is time to start over.
    pub(super) fn is_to_start_over(&self) -> bool {
        let at = *self.start_over_at.lock();
        at.is_some_and(|at| at <= Instant::now())
    }

    /// Notes how far partitions were applied.
    pub(super) fn note(&self, applied: impl IntoIterator<Item = (Partition, Applied)>) {
        self.applied.lock().extend(applied);
    }

    /// Forgets how far partitions were applied: they are begun anew.
    pub(super) fn forget_applied(&self) {
        self.take_applied();
    }

    /// What was applied since this was asked last.
    pub(super) fn take_applied(&self) -> BTreeMap<Partition, Applied> {
        std::mem::take(&mut *self.applied.lock())
    }
}
