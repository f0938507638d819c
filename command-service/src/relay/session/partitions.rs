//! Start of a partition at the topic's tail, and its stop at a fork.

use passbook_shared::partition::Partition;
use passbook_shared::store_description::Fork;

use super::{Published, Session, head_of};
use crate::log::{feed, restores};
use crate::metrics;
use crate::relay::Ends;
use crate::relay::error::RelayError;
use crate::relay::tail::End;

/// Partition that was just taken over.
struct TakenPartition {
    partition: Partition,
    /// Last common position.
    position: i64,
    /// Offset after the last record of the topic, before the fence.
    offset: i64,
}

impl Session<'_> {
    /// Takes over the partitions that no other relay has. Publishing continues after the topic's
    /// tail. A topic that ends before the offset in `ends` was replaced, and all events are
    /// published again from position 1.
    pub(super) async fn take_partitions(&mut self, ends: &Ends) -> Result<(), RelayError> {
        let is_ours = |p: &Partition| self.sent.contains_key(p) || self.forked.contains(p);
        let wanted: Vec<Partition> =
            self.relay.store.partitions.all().filter(|p| !is_ours(p)).collect();
        let taken = if wanted.is_empty() {
            wanted
        } else {
            feed::lock_partitions(&mut self.connection, &wanted).await?
        };
        let (mut taken_over, mut missing) = (Vec::new(), 0);
        for partition in taken {
            // Only an operator resolves a fork, even if the topic no longer shows it.
            if self.relay.standing.fork([partition]).is_some() {
                self.forked.insert(partition);
                continue;
            }
            let End { offset, judged, passed_over } =
                self.tail.of(&mut self.connection, partition).await?;
            if passed_over.count() > 0 {
                metrics::relay_passed_over(&passed_over);
                self.skipped.insert(partition, (judged.position, passed_over.summary()));
            }
            // After the topic: only committed events are published, so the heads are not behind it.
            let heads = feed::heads(&mut self.connection).await?;
            let head = head_of(&heads, partition);
            self.heads = heads;
            if let Some(found) = judged.fork {
                self.stop(found.fork(partition, head, self.tail.epoch)).await?;
                continue;
            }
            let is_cut = ends.get(&partition).is_some_and(|known| offset < *known);
            let position = if is_cut { 0 } else { judged.position };
            // The fence publishes the last common event again, so publishing starts before it.
            self.producer.start_at(partition, position.max(1) - 1, offset);
            self.sent
                .insert(partition, Published { position: position.max(1) - 1, event_id: None });
            taken_over.push(TakenPartition { partition, position, offset });
            missing += head - position;
        }
        let partitions = taken_over.len();
        self.fence(taken_over).await?;
        if partitions > 0 {
            tracing::info!(partitions, missing, "relaying partitions from the topic's tail");
        }
        self.report_skipped();
        Ok(())
    }

    /// Publishes the last common event of each partition again, as a fence.
    ///
    /// The records of a previous relay may still be in flight. After Kafka has acknowledged the
    /// fence, these records are in the topic and are compared with the log. The fence also
    /// announces the epoch to consumers.
    async fn fence(&mut self, taken_over: Vec<TakenPartition>) -> Result<(), RelayError> {
        for TakenPartition { partition, position, .. } in &taken_over {
            self.read_up_to(*partition, *position).await?;
        }
        self.all_acknowledged().await?;
        for TakenPartition { partition, position, offset } in taken_over {
            let (_, end) = self.tail.ends(partition).await?;
            // Only the fence was added, so no earlier record was in flight.
            if end == offset + i64::from(position > 0) {
                continue;
            }
            if let Some(found) = self.tail.of(&mut self.connection, partition).await?.judged.fork {
                self.heads = feed::heads(&mut self.connection).await?;
                self.stop(found.fork(partition, head_of(&self.heads, partition), self.tail.epoch))
                    .await?;
            }
        }
        Ok(())
    }

    /// Reports skipped records in the health. The report of a partition ends once Kafka has
    /// acknowledged a new event of it.
    fn report_skipped(&mut self) {
        self.skipped
            .retain(|partition, (position, _)| self.producer.acknowledged(*partition) <= *position);
        let describe = |(partition, (_, what)): (&Partition, &(i64, String))| {
            format!("topic partition {partition} ends with records that are skipped: {what}")
        };
        let skipped: Vec<String> = self.skipped.iter().map(describe).collect();
        if skipped.is_empty() {
            self.relay.health.ok("relay");
        } else {
            self.relay.health.degraded("relay", skipped.join("; "));
        }
    }

    /// Stops publishing a partition, and stores its fork in the log for all instances.
    pub(super) async fn stop(&mut self, fork: Fork) -> Result<(), RelayError> {
        let partition = fork.partition;
        restores::note_fork(&mut self.connection, self.tail.epoch, &fork).await?;
        self.sent.remove(&partition);
        self.confirmed.remove(&partition);
        self.forked.insert(partition);
        Ok(self.relay.standing.refresh(&mut self.connection).await?)
    }
}
