//! Publishing: events handed over by the lanes, and those read from the log.

use std::sync::Arc;

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use tokio::time::Instant;

use super::{Published, Session, head_of};
use crate::log::append::Appended;
use crate::log::feed;
use crate::metrics;
use crate::relay::error::RelayError;

/// Maximum number of events in one read of the log.
const PAGE: i64 = 2_000;

impl Session<'_> {
    /// Publishes events that were just appended. If their connection is newer than the store's last
    /// answer here, they may belong to another log than the one that this session reads. The log is
    /// then read first.
    pub(super) async fn take(&mut self, gathered: &mut Vec<Appended>) -> Result<(), RelayError> {
        for Appended { events, connected } in gathered.drain(..) {
            if connected >= self.answered {
                // A fork that the log shows now must not precede records that were added before.
                self.producer.send().await?;
                self.catch_up().await?;
            }
            self.publish(&events).await?;
            if self.producer.is_full() {
                self.producer.send().await?;
            }
        }
        self.producer.send().await
    }

    /// Publishes events, and first the ones between them and the last published event.
    async fn publish(&mut self, events: &[Arc<RecordedEvent>]) -> Result<(), RelayError> {
        for event in events {
            let partition = event.position.partition;
            let Some(sent) = self.sent.get(&partition).copied() else { continue };
            if event.position.number > sent.position + 1 {
                self.read_up_to(partition, event.position.number - 1).await?;
            }
            self.publish_next(event)?;
        }
        Ok(())
    }

    /// Adds an event to the producer's records if it is the next one of its partition.
    fn publish_next(&mut self, event: &RecordedEvent) -> Result<(), RelayError> {
        let partition = event.position.partition;
        if let Some(sent) =
            self.sent.get_mut(&partition).filter(|sent| sent.position + 1 == event.position.number)
        {
            *sent = Published { position: event.position.number, event_id: Some(event.event_id) };
            self.producer.add(event)?;
        }
        Ok(())
    }

    /// Publishes the events up to the heads of the previous call that were not handed over. This
    /// gives the hand-over time for recent events. Returns whether the log has grown since then.
    pub(super) async fn catch_up(&mut self) -> Result<bool, RelayError> {
        let asked = Instant::now();
        let heads = feed::heads(&mut self.connection).await?;
        self.answered = asked;
        let shorter = |(p, sent): (&Partition, &Published)| {
            (head_of(&heads, *p) < sent.position).then_some((*p, sent.position))
        };
        let shorter: Vec<(Partition, i64)> = self.sent.iter().filter_map(shorter).collect();
        for (partition, position) in shorter {
            self.event_lost(partition, position).await?;
        }
        let before = std::mem::replace(&mut self.heads, heads);
        let has_grown = before != self.heads;
        let mut behind: Vec<(Partition, i64)> = self.behind(&before);
        while !behind.is_empty() {
            for (partition, head) in behind {
                let Some(sent) = self.sent.get(&partition) else { continue };
                // A page of each partition in turn, so that none waits for the whole of another.
                let up_to = head.min(sent.position + PAGE);
                self.read_up_to(partition, up_to).await?;
            }
            self.producer.check()?;
            behind = self.behind(&before);
        }
        self.producer.check()?;
        for (partition, sent) in &self.sent {
            let head = head_of(&self.heads, *partition);
            metrics::relay_lag(
                *partition,
                head.max(sent.position) - self.producer.acknowledged(*partition),
            );
        }
        Ok(has_grown)
    }

    fn behind(&self, heads: &[i64]) -> Vec<(Partition, i64)> {
        let heads = self.sent.iter().map(|(p, sent)| (*p, sent.position, head_of(heads, *p)));
        heads.filter(|(_, sent, head)| head > sent).map(|(p, _, head)| (p, head)).collect()
    }

    /// Publishes events of the log up to position `last`. Reads from the last published event on,
    /// which must still be there.
    pub(super) async fn read_up_to(
        &mut self,
        partition: Partition,
        last: i64,
    ) -> Result<(), RelayError> {
        while let Some(sent) =
            self.sent.get(&partition).copied().filter(|sent| sent.position < last)
        {
            // Reads the last published event again, to prove that the log still has it.
            let known = i64::from(sent.event_id.is_some());
            let (after, limit) = (sent.position - known, PAGE.min(last - sent.position) + known);
            let mut events =
                feed::after(&mut self.connection, partition, after, limit).await?.into_iter();
            if sent.event_id.is_some() && events.next().map(|event| event.event_id) != sent.event_id
            {
                return self.event_lost(partition, sent.position).await;
            }
            for event in events {
                // Nothing may be published after a gap, which the next pass reports.
                if event.position.number != self.sent[&partition].position + 1 {
                    break;
                }
                self.publish_next(&event)?;
                if self.producer.is_full() {
                    self.producer.send().await?;
                }
            }
            self.producer.send().await?;
            // Without progress the loop would never end.
            if self.sent.get(&partition) == Some(&sent) {
                return Err(RelayError::Gap { partition, position: sent.position + 1 });
            }
        }
        Ok(())
    }

    /// Publishes the remaining events after the lanes have ended. The second call covers the heads
    /// that the first one has read.
    pub(super) async fn finish(&mut self) -> Result<(), RelayError> {
        self.catch_up().await?;
        self.catch_up().await?;
        self.all_acknowledged().await
    }

    /// Waits until Kafka has acknowledged all published events.
    pub(super) async fn all_acknowledged(&mut self) -> Result<(), RelayError> {
        let sent = self.sent.iter().map(|(partition, sent)| (*partition, sent.position));
        self.producer.acknowledges(sent).await
    }
}
