//! How far a verification is: told by those who look, to whoever asks.

use std::sync::Arc;

use passbook_shared::partition::Partition;
use uuid::Uuid;

use super::jobs::Jobs;
use passbook_shared::difference::Findings;

/// Of one job. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    jobs: Arc<Jobs>,
    id: Uuid,
}

impl Progress {
    pub(super) fn new(jobs: Arc<Jobs>, id: Uuid) -> Self {
        Self { jobs, id }
    }

    /// So many events are to be folded; this much was found by then.
    pub(super) fn starts(&self, events: i64, found: Findings) {
        self.jobs.change(self.id, |job| {
            job.events_total = Some(events);
            job.findings.merge(found);
        });
    }

    /// A partition is looked at, as of this position.
    pub(super) fn looks_at(&self, partition: Partition, position: i64) {
        self.jobs.change(self.id, |job| {
            job.positions.insert(partition, position);
        });
    }

    /// Events were folded and compared.
    pub(super) fn folded(&self, events: usize, found: Findings) {
        self.jobs.change(self.id, |job| {
            job.events += i64::try_from(events).unwrap_or_default();
            job.findings.merge(found);
        });
    }

    /// The check of the log has found this.
    pub(super) fn found(&self, found: Findings) {
        self.jobs.change(self.id, |job| job.findings.merge(found));
    }

    /// A partition is done: it had so many accounts, and so much in quarantine.
    pub(super) fn done_with(&self, accounts: usize, quarantined: i64, found: Findings) {
        self.jobs.change(self.id, |job| {
            job.accounts += i64::try_from(accounts).unwrap_or_default();
            job.quarantined += quarantined;
            job.findings.merge(found);
        });
    }
}
