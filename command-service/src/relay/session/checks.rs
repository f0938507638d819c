//! Periodic checks that the log and the topic still are what the session began with.

use passbook_shared::partition::Partition;
use passbook_shared::store_description::Fork;
use tokio::time::Instant;

use super::{Session, head_of};
use crate::log::feed;
use crate::metrics;
use crate::relay::Ends;
use crate::relay::error::RelayError;

impl Session<'_> {
    /// Checks that the store is in the epoch of this session and that the log still has the
    /// published events.
    pub(super) async fn look_at_log(&mut self, ends: &Ends) -> Result<(), RelayError> {
        self.relay.standing.refresh(&mut self.connection).await?;
        let epoch = self.relay.standing.epoch();
        if epoch != self.tail.epoch {
            return Err(RelayError::EpochBegan { epoch });
        }
        // A newer backup may have resolved a fork.
        self.forked.retain(|partition| self.relay.standing.fork([*partition]).is_some());
        // Forks that another instance has found.
        let forked: Vec<Partition> = self
            .sent
            .keys()
            .copied()
            .filter(|partition| self.relay.standing.fork([*partition]).is_some())
            .collect();
        for partition in forked {
            self.sent.remove(&partition);
            self.confirmed.remove(&partition);
            self.forked.insert(partition);
        }
        let confirmed = self
            .confirmed
            .iter()
            .filter_map(|(p, sent)| Some((*p, (sent.position, sent.event_id?))));
        for (partition, position) in
            feed::missing(&mut self.connection, &confirmed.collect()).await?
        {
            self.event_lost(partition, position).await?;
        }
        // Checked a second later: a restore that comes in between is then noticed, too.
        self.confirmed.clone_from(&self.sent);
        self.take_partitions(ends).await?;
        self.measure();
        Ok(())
    }

    /// Marks a fork: a published event is no longer in the log, which a backup has replaced.
    pub(super) async fn event_lost(
        &mut self,
        partition: Partition,
        topic_position: i64,
    ) -> Result<(), RelayError> {
        let heads = feed::heads(&mut self.connection).await?;
        let reason = format!(
            "the log no longer has the event that was published at position {topic_position}"
        );
        let log_position = head_of(&heads, partition);
        self.stop(Fork { partition, log_position, topic_position, reason }).await
    }

    /// Reports the time for which the relay has been behind the log.
    fn measure(&mut self) {
        let Self { sent, heads, producer, lag, .. } = self;
        let heads = sent
            .iter()
            .map(|(partition, sent)| (*partition, head_of(heads, *partition).max(sent.position)));
        let is_acknowledged = |partition, position| producer.acknowledged(partition) >= position;
        metrics::relay_lag_time(lag.look(Instant::now(), heads, is_acknowledged));
    }

    /// Ends the session if the topic has lost acknowledged records.
    pub(super) async fn look_at_topic(&mut self) -> Result<(), RelayError> {
        let ends = self.ends().into_iter().collect();
        self.watch.check(ends).await
    }
}
