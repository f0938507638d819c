//! Where the topic ends, compared with the log: as far back as it takes to be sure.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use passbook_shared::config::KafkaConfig;
use passbook_shared::epoch::{Epoch, MOST_AHEAD, Restores};
use passbook_shared::partition::Partition;
use passbook_shared::store_description::Fork;
use sqlx::PgConnection;
use uuid::Uuid;

use super::error::RelayError;
use super::judge::{Found, Judged, Why, judge};
use super::reader::{Ours, PassedOver, Reader, Seen};
use super::telling::Telling;
use crate::log::feed;

/// Offsets looked at first; enough where nothing but the log's events was ever written.
const GLANCE: i64 = 16;
/// Offsets read at once, at most.
const PAGE: i64 = 1 << 16;
/// Number of records that are not the log's behind which it is not looked further back.
const ENOUGH: usize = 50_000;

/// Compares partitions of the topic with the log, of a store in an epoch. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tail {
    pub(crate) reader: Arc<Reader>,
    pub(crate) epoch: Epoch,
    restores: Arc<BTreeMap<Partition, Restores>>,
}

/// Where a partition of the topic ends.
#[derive(Debug)]
pub(crate) struct End {
    /// The offset after its last record.
    pub(crate) offset: i64,
    /// How it compares with the log.
    pub(crate) judged: Judged,
    /// Others' records, at the end of it.
    pub(crate) passed_over: PassedOver,
}

/// Records of ours within a stretch, without those that were given up.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) ours: Vec<Ours>,
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
            reader: Arc::new(Reader::new(kafka, store_id)?),
            epoch,
            restores: Arc::new(restores),
        })
    }

    /// Looks at the last records, and ever further back until nothing that is before them can contradict the log.
    ///
    /// No relay has ever published a position that is larger than the number of records up to it. So once the records
    /// that were read reach back to an offset that is not beyond the largest position in common, all records before
    /// them are of smaller positions: however many old records somebody has repeated at the end, none hides a fork.
    pub(crate) async fn of(
        &self,
        connection: &mut PgConnection,
        partition: Partition,
    ) -> Result<End, RelayError> {
        let (low, offset) = self.ends(partition).await?;
        let (mut from, mut span) = (offset, GLANCE);
        let (mut telling, mut passed_over) = (Telling::new(self.epoch), PassedOver::default());
        loop {
            let until = from;
            from = low.max(from - span);
            let stretch = self.stretch(partition, from, until, usize::MAX).await?;
            let positions: Vec<i64> = stretch.ours.iter().map(|ours| ours.position).collect();
            let in_log = feed::event_ids(connection, partition, &positions).await?;
            telling.put_before(stretch.ours, in_log);
            passed_over.add(&stretch.passed_over);
            let is_whole = from == low || telling.count_not_in_log() >= ENOUGH;
            if (is_whole || from <= telling.last_in_common())
                && let Some(judged) = judge(&telling.records, &telling.in_log, self.epoch, is_whole)
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

    /// The accepted restores of a partition.
    pub(crate) fn restores_of(&self, partition: Partition) -> Restores {
        self.restores.get(&partition).cloned().unwrap_or_default()
    }

    /// Reads from an offset up to another, or until so many records of ours were found.
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
                    Seen::Ours(record, _) if record.epoch > latest => beyond += 1,
                    Seen::Ours(record, _) if !restores.gave_up(record.epoch, record.position) => {
                        ours.push(record)
                    }
                    Seen::Ours(..) | Seen::Other => {}
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
        self.unreadable += other.unreadable;
        self.foreign += other.foreign;
        self.misplaced += other.misplaced;
        self.stranger = other.stranger.or(self.stranger);
    }
}

impl Found {
    /// The fork of a partition whose log ends there.
    pub(crate) fn fork(&self, partition: Partition, log_position: i64, epoch: Epoch) -> Fork {
        let reason = match self.why {
            Why::Ahead => {
                format!("the topic ends at position {}, the log at {log_position}", self.last)
            }
            Why::Different { position, topic, log } => {
                format!(
                    "at position {position}, the topic has event {topic} and the log has event {log}"
                )
            }
            Why::LaterEpoch(later) => {
                format!(
                    "the topic is in epoch {later} and the log in epoch {epoch}: the backup is from before an accepted restore"
                )
            }
        };
        Fork { partition, log_position, topic_position: self.last, reason }
    }
}
