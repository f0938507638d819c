//! Release of partitions, and departure from the consumer group.

use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;

use super::Reader;
use super::watchdog::Watchdog;
use crate::consumer::client::GroupConsumer;

/// Maximum wait for the batch under way when partitions are revoked.
const SETTLE: Duration = Duration::from_secs(5);
/// Time the client needs to stop reading a partition.
const STOPPING: Duration = Duration::from_millis(300);
/// Maximum time to leave the group.
const LEAVE: Duration = Duration::from_secs(5);

impl Reader {
    /// Releases all partitions, after the batch under way ends and its offsets are committed.
    pub(super) fn release(&mut self, consumer: &GroupConsumer) {
        // The new number comes first, so that the applier starts no other batch.
        self.epoch = self.handoff.next_epoch();
        self.given = None;
        self.settings.ends.causes.give(None);
        self.settings.guard.assign([]);
        self.held_back.clear();
        self.start_at = None;
        self.held.clear();
        self.watchdog = Watchdog::default();
        // The applier holds this lock while it applies a batch.
        let settle =
            async { tokio::time::timeout(SETTLE, self.handoff.applying.lock()).await.is_ok() };
        let settled = self.runtime.block_on(settle);
        if settled {
            self.commit(consumer);
        }
        self.let_stop();
        if let Err(error) = consumer.unassign() {
            tracing::warn!(%error, "partitions could not be released");
        }
    }

    /// Waits until the client has stopped reading. Must be called before each assignment and
    /// unassignment. If librdkafka is still stopping a partition, another change stops the
    /// partition twice, and an assertion (`rktp_started`) aborts the process.
    pub(super) fn let_stop(&mut self) {
        if let Some(rest) = self.assigned_at.and_then(|at| STOPPING.checked_sub(at.elapsed())) {
            std::thread::sleep(rest);
        }
        self.assigned_at = Some(Instant::now());
    }
}

/// Leaves the group. Abandons the client if Kafka is unreachable.
pub(super) fn leave(consumer: GroupConsumer) {
    // From here on no reader handles changes, so the callback unassigns by itself.
    consumer.context().close();
    let (left, done) = std::sync::mpsc::channel();
    let leaving = std::thread::Builder::new().name("leave-group".to_owned()).spawn(move || {
        // Dropping the client waits for Kafka, without a limit of its own.
        drop(consumer);
        // After `LEAVE`, nobody waits for this message.
        let _ = left.send(());
    });
    // Without a thread, the failed spawn has already dropped the client.
    if leaving.is_ok() && done.recv_timeout(LEAVE).is_err() {
        tracing::warn!("the consumer group could not be left in {LEAVE:?}");
    }
}
