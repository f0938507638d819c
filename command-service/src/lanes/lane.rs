//! One lane: takes what has queued, locks the states of its partitions, and has it worked on.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use super::queue::{Submission, split_repeats};
use super::worker::Worker;
use crate::log::state_cache::StateCaches;
use crate::metrics;
use crate::outcome::CommandError;

/// Number of submissions from which on a lane appends while another one does. Waiting with fewer is
/// worth a tenth of the throughput of 64 clients over HTTP.
pub(super) const MANY: usize = 24;
/// Maximum time that fewer submissions wait.
const LONGEST_GATHERING: Duration = Duration::from_millis(5);

/// Time after an answer in which its sender is likely to send the next command.
const RETURN: Duration = Duration::from_micros(40);

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) queue: mpsc::UnboundedReceiver<Submission>,
    pub(super) caches: StateCaches,
    pub(super) worker: Worker,
    /// The turn of lanes with few submissions: one of them appends at a time.
    pub(super) turn: Arc<Semaphore>,
}

impl Lane {
    /// Runs until no sender is left and the queue is empty.
    pub(super) async fn run(mut self) -> anyhow::Result<()> {
        let most = self.worker.config.max_batch;
        let mut waiting = Vec::with_capacity(most);
        let (mut answered, mut at) = (0, Instant::now());
        while self.queue.recv_many(&mut waiting, most).await > 0 {
            self.wait_for_return(&mut waiting, answered, at).await;
            // Held until the batch is answered.
            let _turn = self.gather(&mut waiting).await;
            metrics::lane_queue(&self.name, self.queue.len());
            // Nothing of these is done yet: a sender that has gone away needs no service.
            waiting.retain(|submission| !submission.is_abandoned());
            waiting.iter().for_each(Submission::taken);
            answered = waiting.len();
            self.work(&mut waiting).await;
            at = Instant::now();
            if self.worker.connection.is_down {
                // They would wait for the same Postgres, one patience after another.
                while let Ok(submission) = self.queue.try_recv() {
                    submission.fail(&self.worker.unavailable());
                }
            }
        }
        Ok(())
    }

    /// Waits briefly for the senders that got their answers at `at`, so that they share a commit
    /// with those that sent meanwhile. Otherwise the two groups would alternate.
    async fn wait_for_return(
        &mut self,
        waiting: &mut Vec<Submission>,
        answered: usize,
        at: Instant,
    ) {
        while waiting.len() < answered.min(MANY) && at.elapsed() < RETURN {
            // Not a timer, which would take at least a millisecond.
            tokio::task::yield_now().await;
            let most = self.worker.config.max_batch;
            while waiting.len() < most
                && let Ok(submission) = self.queue.try_recv()
            {
                waiting.push(submission);
            }
        }
    }

    /// Lets a few submissions wait while another lane appends, so that more join them: two small
    /// commits cost the processor twice as much as one. Many go at once, in parallel with the other
    /// lane.
    async fn gather(&mut self, waiting: &mut Vec<Submission>) -> Option<OwnedSemaphorePermit> {
        let mut turn = pin!(timeout(LONGEST_GATHERING, Arc::clone(&self.turn).acquire_owned()));
        while waiting.len() < MANY {
            let room = self.worker.config.max_batch - waiting.len();
            tokio::select! {
                // The turn first: a batch that need not wait for another lane starts at once.
                biased;
                turn = &mut turn => return turn.ok()?.ok(),
                // With a limit of 0, `recv_many` returns 0, which would pass for the end of the
                // queue.
                more = self.queue.recv_many(waiting, room), if room > 0 => if more == 0 { break },
            }
        }
        None
    }

    /// Works on the submissions, and leaves `waiting` empty.
    async fn work(&mut self, waiting: &mut Vec<Submission>) {
        let deadline = Instant::now() + self.worker.config.patience;
        let partitions: Vec<_> =
            waiting.iter().flat_map(|submission| submission.set.partitions()).collect();
        let (first_uses, mut repeats) = split_repeats(waiting.drain(..));
        // While the caches are locked, their states are current, and the relay gets the events in
        // the order of the log.
        let lock = self.caches.lock(partitions.into_iter());
        let Ok(mut caches) = timeout_at(deadline, lock).await else {
            let reason = "earlier commands on these accounts wait for it";
            let error = CommandError::StoreUnavailable(reason.into());
            first_uses.into_iter().chain(repeats).for_each(|submission| submission.fail(&error));
            return;
        };
        self.worker.work(first_uses, &mut caches, false, deadline).await;
        // After the first uses: their outcomes are in the log now.
        while !repeats.is_empty() && !self.worker.connection.is_down {
            let count = repeats.len();
            repeats = self.worker.work(repeats, &mut caches, true, deadline).await;
            // Each round decides at least one first use, so a round without progress is a defect.
            if repeats.len() == count {
                tracing::error!(count, "commands can't be decided");
                repeats.drain(..).for_each(|submission| submission.fail(&CommandError::Internal));
            }
        }
        let error = self.worker.unavailable();
        repeats.into_iter().for_each(|submission| submission.fail(&error));
    }
}
