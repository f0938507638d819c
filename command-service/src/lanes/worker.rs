//! Attempts to append a batch. The first attempt is usually optimistic. After a stale state or an
//! attempt with an unknown outcome, further attempts are pessimistic.

use std::sync::Arc;

use passbook_shared::trace::{self, Batch};
use tokio::time::{Instant, timeout};

use super::deps::LaneDeps;
use super::failure::Failure;
use super::forks::{has_fork, refuse_forked};
use super::progress::Progress;
use super::queue::Submission;
use super::results::Finished;
use super::steps::{Limit, optimistic, pessimistic};
use crate::config::lanes::LaneConfig;
use crate::decision::command_set::CommandSet;
use crate::log::access::LogAccess;
use crate::log::connection::LogConnection;
use crate::log::state_cache::CacheGuard;
use crate::metrics;
use crate::outcome::CommandError;

/// Maximum number of attempts that are repeated because of a stale state. A further stale state
/// fails the batch with [`CommandError::Conflict`].
const MOST_STALE: u32 = 3;

/// Appender of a lane's batches, with a connection of its own.
#[derive(Debug)]
pub(super) struct Worker {
    deps: LaneDeps,
    pub(super) config: LaneConfig,
    pub(super) connection: LogConnection,
    /// Reason of the last failure of Postgres, for the answers of further failures.
    reason: Arc<str>,
    /// True if most results of the last batch were replays, as in a repeated import. The next batch
    /// then begins with a pessimistic attempt.
    expects_replays: bool,
}

impl Worker {
    pub(super) fn new(deps: LaneDeps, config: LaneConfig) -> Self {
        let connection = LogConnection::new(config.connect.clone());
        let reason = "it was not reached yet".into();
        Self { deps, config, connection, reason, expects_replays: false }
    }

    /// Appends a batch and answers its submissions, or fails them all. Submissions of an optimistic
    /// batch must not share an idempotency key or a transfer id. A pessimistic batch decides only
    /// the first of those that share one, and returns the others.
    pub(super) async fn work(
        &mut self,
        mut submissions: Vec<Submission>,
        caches: &mut CacheGuard,
        is_pessimistic: bool,
        deadline: Instant,
    ) -> Vec<Submission> {
        // Its drop ends the spans, once the results are sent.
        let mut spans = begin_spans(&submissions);
        let is_pessimistic = is_pessimistic || self.expects_replays;
        let mut progress = Progress { is_pessimistic, ..Progress::default() };
        let error = loop {
            submissions = refuse_forked(&self.deps.standing, submissions, progress.in_doubt);
            if submissions.is_empty() {
                return submissions;
            }
            let opened = self.connection.ensure(caches, deadline).await;
            if let Err(reason) = opened {
                // After the deadline there is no new reason, and the answer has the last one.
                reason.into_iter().for_each(|reason| self.lose(reason));
                break self.unavailable();
            }
            match self.attempt(&submissions, caches, &mut progress, deadline).await {
                Ok(mut finished) => {
                    self.deps.writes.succeeded();
                    self.expects_replays = finished.is_mostly_replays();
                    let (every, opened) = (self.config.snapshot_every, self.connection.opened);
                    finished.hand_over(&self.deps, every, caches, opened);
                    return finished.answer(submissions);
                }
                Err(failure) => {
                    let error = self.recover(failure, &submissions, caches, &mut progress).await;
                    if let Some(error) = error {
                        break error;
                    }
                }
            }
        };
        // The log may contain an earlier attempt, independent of the last attempt's error.
        let error = if progress.in_doubt { CommandError::OutcomeUnknown } else { error };
        spans.iter_mut().for_each(|spans| spans.fail(&error));
        // Closes the connection, because its transaction may still be open and hold locks.
        self.connection.open = None;
        discard_states(caches, &submissions);
        submissions.into_iter().for_each(|submission| submission.fail(&error));
        Vec::new()
    }

    async fn attempt(
        &mut self,
        submissions: &[Submission],
        caches: &mut CacheGuard,
        progress: &mut Progress,
        deadline: Instant,
    ) -> Result<Finished, Failure> {
        let (partitions, snapshots) = (self.deps.partitions, &self.deps.snapshots);
        let connection = self.connection.open.as_mut();
        // Never fails: `ensure` has opened the connection.
        let connection = connection.ok_or_else(|| Failure::Lost(String::new()))?;
        let mut log = LogAccess { connection, partitions, snapshots, caches };
        let sets: Vec<&CommandSet> = submissions.iter().map(|submission| &submission.set).collect();
        let (rules, sent) = ((&self.deps.clock, self.config.most_holds), &mut progress.sent);
        let limit = Limit { step: self.config.attempt(), deadline };
        if progress.is_pessimistic {
            limit.of(pessimistic(&mut log, rules, &sets, sent)).await
        } else {
            optimistic(&mut log, rules, &sets, sent, limit).await
        }
    }

    /// Prepares the next attempt after a failure. Returns an error if no further attempt is made.
    async fn recover(
        &mut self,
        failure: Failure,
        submissions: &[Submission],
        caches: &mut CacheGuard,
        progress: &mut Progress,
    ) -> Option<CommandError> {
        match failure {
            Failure::Lost(reason) => {
                self.lose(reason);
                // The next attempt must look up the sent commands in the log. A restored backup may
                // lack them.
                progress.in_doubt |= !progress.sent.is_empty();
                progress.is_pessimistic |= progress.in_doubt;
            }
            Failure::StaleState if progress.stale < MOST_STALE => {
                discard_states(caches, submissions);
                // Nothing of this attempt was appended, but an earlier one may have been.
                if !progress.in_doubt {
                    progress.sent.clear();
                }
                // Bounded: even under the locks, another partition may append the same transfer id.
                progress.stale += 1;
                progress.is_pessimistic = true;
                metrics::batch_outrun();
            }
            // The next attempt leaves out the forked submissions and appends the others.
            Failure::Forked if self.learns_of_fork(submissions).await => {
                if !progress.in_doubt {
                    progress.sent.clear();
                }
            }
            // No fork was found. An operator has just accepted the restore, or Postgres is
            // stopping.
            Failure::Forked => {
                let reason = "the log was behind the topic until just now";
                return Some(CommandError::StoreUnavailable(reason.into()));
            }
            Failure::StaleState => return Some(CommandError::Conflict),
            Failure::Unavailable(reason) => {
                self.lose(reason);
                return Some(self.unavailable());
            }
            Failure::Defect => return Some(CommandError::Internal),
        }
        None
    }

    /// Reads the forks of the store. Returns true if the batch touches a forked partition.
    async fn learns_of_fork(&mut self, submissions: &[Submission]) -> bool {
        let Some(connection) = self.connection.open.as_mut() else { return false };
        let read = timeout(self.config.attempt(), self.deps.standing.refresh(connection)).await;
        matches!(read, Ok(Ok(()))) && has_fork(&self.deps.standing, submissions)
    }

    pub(super) fn unavailable(&self) -> CommandError {
        CommandError::StoreUnavailable(Arc::clone(&self.reason))
    }

    /// Closes the connection, and keeps the reason for the answers of the batch.
    fn lose(&mut self, reason: String) {
        self.deps.writes.failed(&reason);
        self.reason = reason.into();
        self.connection.open = None;
    }
}

fn begin_spans(submissions: &[Submission]) -> Option<Batch> {
    let members = submissions.iter().flat_map(Submission::members);
    Batch::begin("append", trace::Kind::Internal, members)
}

fn discard_states(caches: &mut CacheGuard, submissions: &[Submission]) {
    for (account_id, partition) in
        submissions.iter().flat_map(|submission| submission.set.accounts())
    {
        caches.discard(account_id, partition);
    }
}
