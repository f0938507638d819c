//! Communication between the reading thread and the applying task.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use passbook_shared::partition::Partition;

use super::judging::OurLog;
use super::record::Record;
use crate::checkpoint::Checkpoint;

/// Message from the reader to the applier. The order of messages is kept.
#[derive(Debug)]
pub(super) enum Message {
    /// Assigned partitions, from whose checkpoints reading starts.
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
        /// Number of the assignment under which they were read. Records of an earlier one are
        /// ignored.
        epoch: u64,
        /// Records, ordered within each partition.
        records: Vec<Record>,
    },
    /// The topic lost unread records of a partition, and may have no later record.
    Trimmed {
        /// Number of the assignment under which the loss was detected.
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
    /// Returns the number of the current assignment. It is unrelated to the epoch of the store.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Starts a new assignment and returns its number. Records of earlier assignments are ignored.
    pub(super) fn next_epoch(&self) -> u64 {
        // A new assignment starts from the checkpoints in any case.
        *self.start_over_at.lock() = None;
        self.epoch.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Requests the reader to restart from the checkpoints after a pause.
    pub(super) fn start_over(&self, after: Duration) {
        *self.start_over_at.lock() = Some(Instant::now() + after);
    }

    /// Returns whether a requested restart is due.
    pub(super) fn is_to_start_over(&self) -> bool {
        let at = *self.start_over_at.lock();
        at.is_some_and(|at| at <= Instant::now())
    }

    /// Records applied progress.
    pub(super) fn note(&self, applied: impl IntoIterator<Item = (Partition, Applied)>) {
        self.applied.lock().extend(applied);
    }

    /// Discards applied progress, for a new assignment.
    pub(super) fn forget_applied(&self) {
        self.take_applied();
    }

    /// Returns and clears the progress recorded since the last call.
    pub(super) fn take_applied(&self) -> BTreeMap<Partition, Applied> {
        std::mem::take(&mut *self.applied.lock())
    }
}
