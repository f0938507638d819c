//! Verifications that were asked for: one at a time, in memory, and told to the database for other instances. What one found
//! is of its moment; it can be asked for again at any time.

use std::collections::{BTreeMap, VecDeque};

use parking_lot::{Mutex, MutexGuard};
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use passbook_shared::difference::Findings;

/// How many are remembered.
const KEPT: usize = 20;

/// A verification.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: Uuid,
    /// How it stands.
    pub state: State,
    /// Events folded.
    pub events: i64,
    /// Events to fold in all, as it was at the start; more may come.
    pub events_total: Option<i64>,
    /// Accounts compared.
    pub accounts: i64,
    /// Records and events in quarantine.
    pub quarantined: i64,
    /// How far each partition of the views was: it is compared there.
    pub positions: BTreeMap<Partition, i64>,
    /// What it found.
    pub findings: Findings,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// How a verification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It is under way.
    Running,
    /// All was compared.
    Done,
    /// Something kept it from comparing all.
    Failed,
}

/// The last verifications of this instance, and the one that is under way.
#[derive(Debug, Default)]
pub struct Jobs {
    /// The oldest first.
    kept: Mutex<VecDeque<Job>>,
    asked: Notify,
}

impl Jobs {
    /// Asks for one.
    ///
    /// # Errors
    /// The one that is under way.
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
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(job.clone());
        self.asked.notify_one();
        Ok(job)
    }

    /// One of those that are remembered.
    pub fn find(&self, id: Uuid) -> Option<Job> {
        self.kept().iter().find(|job| job.id == id).cloned()
    }

    /// Waits for one to be asked for.
    pub(super) async fn next(&self) -> Uuid {
        loop {
            self.asked.notified().await;
            let running =
                self.kept().iter().find(|job| job.state == State::Running).map(|job| job.id);
            if let Some(id) = running {
                return id;
            }
        }
    }

    /// Notes how one stands.
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
    fn one_at_a_time_and_the_last_are_remembered() {
        let jobs = Jobs::default();
        let first = jobs.ask().unwrap().id;
        assert_eq!(jobs.ask().unwrap_err(), first);
        jobs.change(first, |job| {
            (job.state, job.error) = (State::Failed, Some("the feed is away".to_owned()))
        });
        assert_eq!(jobs.find(first).unwrap().error.as_deref(), Some("the feed is away"));
        for _ in 0..KEPT {
            let next = jobs.ask().unwrap().id;
            jobs.change(next, |job| job.state = State::Done);
        }
        assert!(jobs.find(first).is_none());
        assert_eq!(jobs.kept().len(), KEPT);
    }
}
