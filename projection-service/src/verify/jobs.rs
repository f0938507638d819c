//! Verifications of this instance. They run one at a time, are kept in memory, and are stored for
//! other instances.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::{Mutex, MutexGuard};
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use passbook_shared::difference::Findings;

/// Number of verifications kept.
const KEPT: usize = 20;

/// Verification.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Verification id.
    pub id: Uuid,
    /// State.
    pub state: State,
    /// Number of events folded.
    pub events: i64,
    /// Total number of events to fold, as of the start. The log may grow during the verification.
    pub events_total: Option<i64>,
    /// Number of accounts compared.
    pub accounts: i64,
    /// Number of quarantined events.
    pub quarantined: i64,
    /// Position at which each partition is compared.
    pub positions: BTreeMap<Partition, i64>,
    /// Differences found.
    pub findings: Findings,
    /// Error that ended the comparison early.
    pub error: Option<String>,
    /// Time of the request.
    pub asked_at: Timestamp,
    /// Time of the end.
    pub ended_at: Option<Timestamp>,
}

/// State of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Running.
    Running,
    /// Complete, with or without differences.
    Done,
    /// Ended early by an error.
    Failed,
}

/// Latest verifications of this instance, including the running one.
#[derive(Debug, Default)]
pub struct Jobs {
    /// Oldest first.
    kept: Mutex<VecDeque<Job>>,
    asked: Notify,
}

impl Jobs {
    /// Starts a verification.
    ///
    /// # Errors
    /// The id of the running one.
    pub fn ask(&self) -> Result<Job, Uuid> {
        let mut kept = self.kept();
        if let Some(running) = kept.iter().find(|job| job.state == State::Running) {
            return Err(running.id);
        }
        let job = Job {
            id: Uuid::now_v7(),
            state: State::Running,
            events: 0,
            events_total: None,
            accounts: 0,
            quarantined: 0,
            positions: BTreeMap::new(),
            findings: Findings::default(),
            error: None,
            asked_at: Timestamp::now(),
            ended_at: None,
        };
        // The oldest has ended, because none is running.
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(job.clone());
        self.asked.notify_one();
        Ok(job)
    }

    /// Returns a kept verification.
    pub fn find(&self, id: Uuid) -> Option<Job> {
        self.kept().iter().find(|job| job.id == id).cloned()
    }

    /// Waits for the next verification to start.
    pub(super) async fn next(&self) -> Uuid {
        loop {
            // The notification names no verification, but at most one is running.
            self.asked.notified().await;
            let running =
                self.kept().iter().find(|job| job.state == State::Running).map(|job| job.id);
            if let Some(id) = running {
                return id;
            }
        }
    }

    /// Changes a kept verification.
    pub(super) fn change(&self, id: Uuid, change: impl FnOnce(&mut Job)) {
        if let Some(job) = self.kept().iter_mut().find(|job| job.id == id) {
            change(job);
        }
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.kept.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verifications_run_one_at_a_time_and_the_latest_are_kept() {
        let jobs = Jobs::default();
        let first = jobs.ask().unwrap().id;
        assert_eq!(jobs.ask().unwrap_err(), first);
        jobs.change(first, |job| {
            (job.state, job.error) = (State::Failed, Some("the feed is unreachable".to_owned()))
        });
        assert_eq!(jobs.find(first).unwrap().error.as_deref(), Some("the feed is unreachable"));
        for _ in 0..KEPT {
            let next = jobs.ask().unwrap().id;
            jobs.change(next, |job| job.state = State::Done);
        }
        assert!(jobs.find(first).is_none());
        assert_eq!(jobs.kept().len(), KEPT);
    }
}
