//! Stop of partitions in which too many events cannot be applied. Other partitions continue.

use std::time::Duration;

use tokio::time::Instant;

use super::Applier;
use crate::checkpoint::Checkpoint;
use crate::consumer::writer::Failing;

/// Interval between checks of the stopped partitions.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

impl Applier {
    /// Stops partitions. The caller restarts the others from their checkpoints.
    pub(super) fn stop(&mut self, failing: Vec<Failing>) {
        self.stopped.extend(failing.into_iter().map(|failing| (failing.partition, failing)));
        self.look_again_at = Instant::now() + LOOK_AGAIN;
        self.tell_stopped();
    }

    /// Returns the checkpoints of the assigned partitions that are not stopped. A stopped partition
    /// is treated as if it were not assigned.
    pub(super) fn running(&mut self, mut checkpoints: Vec<Checkpoint>) -> Vec<Checkpoint> {
        // Another instance now reports the partitions that this one has lost.
        self.stopped.retain(|partition, _| {
            checkpoints.iter().any(|checkpoint| checkpoint.partition == *partition)
        });
        self.tell_stopped();
        checkpoints.retain(|checkpoint| !self.stopped.contains_key(&checkpoint.partition));
        checkpoints
    }

    /// Resumes the partitions that no longer exceed the limit.
    pub(super) async fn look_again(&mut self) {
        self.look_again_at = Instant::now() + LOOK_AGAIN;
        match self.writer.still_failing(self.stopped.values()).await {
            Ok(still) if still.len() < self.stopped.len() => {
                self.stopped.retain(|partition, _| still.contains(partition));
                self.tell_stopped();
                // Only a restart from the checkpoints reads the records that were skipped.
                self.start_over(Duration::ZERO);
            }
            Ok(_) => {}
            // Readiness already reports the stop, and the next check follows soon.
            Err(error) => {
                tracing::debug!(%error, "stopped partitions can't be checked")
            }
        }
    }

    fn tell_stopped(&self) {
        let limit = self.writer.limit();
        self.quarantine
            .stopped(self.stopped.values().map(|failing| failing.explain(limit)).collect());
    }
}
