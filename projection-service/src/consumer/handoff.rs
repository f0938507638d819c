//! Communication between the reading thread and the applying task.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use passbook_shared::partition::Partition;

use super::judging::OurLog;
use super::record::Record;
use crate::checkpoint::Checkpoint;

/// Message from the reader to the applier, in order.
#[derive(Debug)]
pub(super) enum Message {
    /// Starts an epoch with the assigned partitions and their checkpoints.
    Assigned {
        /// Number of the assignment.
        epoch: u64,
        /// Checkpoints of the assigned partitions.
        checkpoints: Vec<Checkpoint>,
        /// Log whose events are applied.
        log: OurLog,
    },
    /// Records in the order in which they were read.
    Records {
        /// Epoch in which they were read; records of a past epoch are ignored.
        epoch: u64,
        /// Records, ordered within each partition.
        records: Vec<Record>,
    },
    /// The topic lost unread records of a partition, and may have none after them.
    Trimmed {
        /// Epoch in which the loss was noticed.
        epoch: u64,
        /// Partition that lost records.
        partition: Partition,
    },
}

/// Applied progress of a partition, which is committed to Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Applied {
    /// Offset to resume from.
    pub(super) offset: i64,
    /// Position of the last applied event.
    pub(super) position: i64,
}

/// State shared by the reader and the applier.
#[derive(Debug, Default)]
pub(super) struct Handoff {
    epoch: AtomicU64,
    start_over_at: Mutex<Option<Instant>>,
    applied: Mutex<BTreeMap<Partition, Applied>>,
    /// Held by the task while it applies a batch.
    pub(super) applying: tokio::sync::Mutex<()>,
}

impl Handoff {
    /// Returns the current epoch.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Starts a new epoch and returns it; records of earlier epochs are ignored.
    pub(super) fn next_epoch(&self) -> u64 {
        *self.start_over_at.lock() = None;
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Makes the reader start over from the checkpoints after a pause.
    pub(super) fn start_over(&self, after: Duration) {
        *self.start_over_at.lock() = Some(Instant::now() + after);
    }

    /// Returns whether a requested start-over is due.
    pub(super) fn is_to_start_over(&self) -> bool {
        let at = *self.start_over_at.lock();
        at.is_some_and(|at| at <= Instant::now())
    }

    /// Notes applied progress.
    pub(super) fn note(&self, applied: impl IntoIterator<Item = (Partition, Applied)>) {
        self.applied.lock().extend(applied);
    }

    /// Discards applied progress, because the partitions are assigned anew.
    pub(super) fn forget_applied(&self) {
        self.take_applied();
    }

    /// Takes the progress noted since the last call.
    pub(super) fn take_applied(&self) -> BTreeMap<Partition, Applied> {
        std::mem::take(&mut *self.applied.lock())
    }
}
