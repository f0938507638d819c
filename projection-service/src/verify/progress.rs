//! Progress of a verification, shared by the tasks that compare partitions.

use std::sync::Arc;

use passbook_shared::partition::Partition;
use uuid::Uuid;

use super::jobs::Jobs;
use passbook_shared::difference::Findings;

/// Progress of one verification. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    jobs: Arc<Jobs>,
    id: Uuid,
}

impl Progress {
    pub(super) fn new(jobs: Arc<Jobs>, id: Uuid) -> Self {
        Self { jobs, id }
    }

    /// Sets the total number of events, and adds what was found before.
    pub(super) fn starts(&self, events: i64, found: Findings) {
        self.jobs.change(self.id, |job| {
            job.events_total = Some(events);
            job.findings.merge(found);
        });
    }

    /// Sets the position at which a partition is compared.
    pub(super) fn looks_at(&self, partition: Partition, position: i64) {
        self.jobs.change(self.id, |job| {
            job.positions.insert(partition, position);
        });
    }

    /// Adds compared events and their differences.
    pub(super) fn folded(&self, events: usize, found: Findings) {
        self.jobs.change(self.id, |job| {
            job.events += i64::try_from(events).unwrap_or_default();
            job.findings.merge(found);
        });
    }

    /// Adds differences of the log itself.
    pub(super) fn found(&self, found: Findings) {
        self.jobs.change(self.id, |job| job.findings.merge(found));
    }

    /// Adds the figures of a completed partition.
    pub(super) fn done_with(&self, accounts: usize, quarantined: i64, found: Findings) {
        self.jobs.change(self.id, |job| {
            job.accounts += i64::try_from(accounts).unwrap_or_default();
            job.quarantined += quarantined;
            job.findings.merge(found);
        });
    }
}
