//! Comparison of the topic's tail with the log, as far back as certainty requires.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use passbook_shared::config::KafkaConfig;
use passbook_shared::epoch::{Epoch, MOST_AHEAD, Restores};
use passbook_shared::partition::Partition;
use passbook_shared::store_description::Fork;
use sqlx::PgConnection;
use uuid::Uuid;

use super::decisive::DecisiveRecords;
use super::error::RelayError;
use super::judge::{Divergence, DivergenceKind, Verdict, judge};
use super::reader::{OwnRecord, PassedOver, Reader, Seen};
use crate::log::feed;

/// Number of offsets read first; sufficient if the topic holds only events of the log.
const GLANCE: i64 = 16;
/// Maximum number of offsets in one read.
const PAGE: i64 = 1 << 16;
/// Number of records missing in the log after which the search stops.
const ENOUGH: usize = 50_000;

/// Compares topic partitions with the log of a store in one epoch. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tail {
    pub(crate) reader: Arc<Reader>,
    pub(crate) epoch: Epoch,
    restores: Arc<BTreeMap<Partition, Restores>>,
}

/// End of a topic partition.
#[derive(Debug)]
pub(crate) struct End {
    /// Offset after the last record.
    pub(crate) offset: i64,
    /// Result of the comparison with the log.
    pub(crate) judged: Verdict,
    /// Skipped records near the end.
    pub(crate) passed_over: PassedOver,
}

/// Records of this store within a stretch, without those that an accepted restore gave up.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) ours: Vec<OwnRecord>,
    pub(crate) passed_over: PassedOver,
}

impl Tail {
    pub(crate) fn new(
        kafka: &KafkaConfig,
        store_id: Uuid,
        epoch: Epoch,
        restores: BTreeMap<Partition, Restores>,
    ) -> Result<Self, RelayError> {
        Ok(Self {
            reader: Arc::new(Reader::new(kafka, store_id, kafka.topic_keys())?),
            epoch,
            restores: Arc::new(restores),
        })
    }

    /// Reads the last records, then further back until no earlier record can contradict the log.
    ///
    /// No relay publishes a position larger than the number of records up to it. Once the records
    /// reach back to an offset below the largest common position, all earlier records have smaller
    /// positions. Repeats of old records at the end, however many, therefore hide no fork.
    pub(crate) async fn of(
        &self,
        connection: &mut PgConnection,
        partition: Partition,
    ) -> Result<End, RelayError> {
        let (low, offset) = self.ends(partition).await?;
        let (mut from, mut span) = (offset, GLANCE);
        let (mut decisive, mut passed_over) =
            (DecisiveRecords::new(self.epoch), PassedOver::default());
        loop {
            let until = from;
            from = low.max(from - span);
            let stretch = self.stretch(partition, from, until, usize::MAX).await?;
            let positions: Vec<i64> = stretch.ours.iter().map(|ours| ours.position).collect();
            // After the topic was read: a log that lost nothing has these events by now.
            let in_log = feed::event_ids(connection, partition, &positions).await?;
            decisive.put_before(stretch.ours, in_log);
            passed_over.add(&stretch.passed_over);
            let is_whole = from == low || decisive.count_not_in_log() >= ENOUGH;
            if (is_whole || decisive.outweigh(from))
                && let Some(judged) =
                    judge(&decisive.records, &decisive.in_log, self.epoch, is_whole)
            {
                passed_over.out_of_order = judged.out_of_order;
                return Ok(End { offset, judged, passed_over });
            }
            span = (span * 16).clamp(1 << 10, PAGE);
        }
    }

    pub(crate) async fn ends(&self, partition: Partition) -> Result<(i64, i64), RelayError> {
        let reader = Arc::clone(&self.reader);
        tokio::task::spawn_blocking(move || reader.ends(partition)).await?
    }

    /// Returns the accepted restores of a partition.
    pub(crate) fn restores_of(&self, partition: Partition) -> Restores {
        self.restores.get(&partition).cloned().unwrap_or_default()
    }

    /// Reads from offset `from` until `until`, or until `most` records of this store were found.
    pub(crate) async fn stretch(
        &self,
        partition: Partition,
        from: i64,
        until: i64,
        most: usize,
    ) -> Result<Stretch, RelayError> {
        let restores = self.restores_of(partition);
        let reader = Arc::clone(&self.reader);
        let latest = self.epoch.saturating_add(MOST_AHEAD);
        let read = move || {
            let Stretch { mut ours, mut passed_over } = Stretch::default();
            let mut beyond = 0;
            reader.scan(partition, from, until, &mut passed_over, |seen| {
                match seen {
                    // Accepted restores cannot lead that far ahead, so the record is forged.
                    Seen::Own(record, _) if record.epoch > latest => beyond += 1,
                    Seen::Own(record, _) if !restores.voided(record.epoch, record.position) => {
                        ours.push(record)
                    }
                    Seen::Own(..) | Seen::Other => {}
                }
                if ours.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })?;
            passed_over.unreadable += beyond;
            Ok(Stretch { ours, passed_over })
        };
        tokio::task::spawn_blocking(read).await?
    }
}

impl PassedOver {
    fn add(&mut self, other: &Self) {
        self.unauthentic += other.unauthentic;
        self.unreadable += other.unreadable;
        self.foreign += other.foreign;
        self.misplaced += other.misplaced;
        self.other_store = other.other_store.or(self.other_store);
    }
}

impl Divergence {
    /// Converts the divergence into the fork of a partition whose log ends at `log_position`.
    pub(crate) fn fork(&self, partition: Partition, log_position: i64, epoch: Epoch) -> Fork {
        let reason = match self.why {
            DivergenceKind::Ahead => {
                format!("the topic ends at position {}, the log at {log_position}", self.last)
            }
            DivergenceKind::Different { position, topic, log } => {
                format!(
                    "at position {position}, the topic has event {topic} and the log has event \
                     {log}"
                )
            }
            DivergenceKind::LaterEpoch(later) => {
                format!(
                    "the topic is in epoch {later} and the log in epoch {epoch}: the backup is \
                     from before an accepted restore"
                )
            }
        };
        Fork { partition, log_position, topic_position: self.last, reason }
    }
}
