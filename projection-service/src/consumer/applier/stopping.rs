//! Partitions that stop because too many of their events can't be applied, while the others go on.

use std::time::Duration;

use tokio::time::Instant;

use super::Applier;
use crate::checkpoint::Checkpoint;
use crate::consumer::sequence::Sequence;
use crate::consumer::writer::Failing;

/// How often to look whether a partition may go on.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

impl Applier {
    /// Nothing more of these partitions is applied. The others start over without them.
    pub(super) fn stop(&mut self, failing: Vec<Failing>) {
        self.stopped.extend(failing.into_iter().map(|failing| (failing.partition, failing)));
        self.look_again_at = Instant::now() + LOOK_AGAIN;
        self.tell_stopped();
    }

    /// Where partitions stand that were given to us; those that have stopped are as if they were not ours.
    pub(super) fn sequence_of(&mut self, mut checkpoints: Vec<Checkpoint>) -> Sequence {
        self.stopped.retain(|partition, _| {
            checkpoints.iter().any(|checkpoint| checkpoint.partition == *partition)
        });
        self.tell_stopped();
        checkpoints.retain(|checkpoint| !self.stopped.contains_key(&checkpoint.partition));
        Sequence::new(&checkpoints)
    }

    /// Lets partitions go on of which less is set aside by now.
    pub(super) async fn look_again(&mut self) {
        self.look_again_at = Instant::now() + LOOK_AGAIN;
        match self.writer.still_failing(self.stopped.values()).await {
            Ok(still) if still.len() < self.stopped.len() => {
                self.stopped.retain(|partition, _| still.contains(partition));
                self.tell_stopped();
                self.start_over(Duration::ZERO);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "whether a partition may go on can't be found out")
            }
        }
    }

    fn tell_stopped(&self) {
        let limit = self.writer.limit();
        self.quarantine
            .stopped(self.stopped.values().map(|failing| failing.explain(limit)).collect());
    }
}
