//! Acceptance of events: one rule for records of the topic and pages of the log, and one buffer
//! of what was accepted but is not yet applied.

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use sqlx::PgConnection;

use super::account_cache::AccountCache;
use super::batch::{Written, write};
use super::judging::{Flaw, ForeignLog, OurLog};
use super::record::Record;
use super::sequence::{Gap, Sequence, Verdict};
use crate::checkpoint::Checkpoint;
use crate::store::source::Source;

/// Approximate maximum size of the events in a transaction, in bytes.
const MAX_BYTES: usize = 16 << 20;

/// Accepts the next event of each assigned partition and holds it until it is applied.
///
/// The default intake has no log and no partitions, and accepts nothing.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    log: Option<OurLog>,
    pub(super) sequence: Sequence,
    pub(super) accounts: AccountCache,
    /// Accepted events, in the order in which they are applied.
    pub(super) pending: Vec<Record>,
    /// Approximate size of `pending`.
    bytes: usize,
}

/// Result of offering a record of the topic.
#[derive(Debug)]
pub(crate) enum Offer {
    /// The event is next and was accepted.
    Accepted,
    /// The partition is not assigned, or the record follows a gap that is being filled.
    Skipped,
    /// The event was accepted before.
    Repeated,
    /// The record is the first after a gap, and is returned. The log has the events of the gap.
    Gap(Gap, Box<Record>),
    /// Another event was accepted at the position. The log decides which of the two is right.
    Contradicting(Box<Record>),
    /// The record is not an event of this log and is skipped.
    Unusable(Flaw, String),
}

impl Intake {
    /// Accepts events of `log` that follow the checkpoints.
    pub(crate) fn new(log: OurLog, checkpoints: &[Checkpoint]) -> Self {
        Self { log: Some(log), sequence: Sequence::new(checkpoints), ..Self::default() }
    }

    /// Offers a record of the topic.
    pub(crate) fn offer(&mut self, record: Record) -> Offer {
        self.offer_up_to(record, i64::MAX)
    }

    /// Offers a record of the topic, and skips an event after position `last`.
    pub(crate) fn offer_up_to(&mut self, record: Record, last: i64) -> Offer {
        let (partition, offset) = (record.partition, record.offset.unwrap_or_default());
        let Some(log) = &self.log else { return Offer::Skipped };
        // The admission comes first: a forged record must not use up a position.
        let recorded = match log.admits(&record) {
            Ok(event) => &event.recorded,
            // The offset moves past the record, so a restart does not read it again.
            Err((flaw, reason)) if self.sequence.unusable(partition, offset) => {
                return Offer::Unusable(flaw, reason);
            }
            Err(_) => return Offer::Skipped,
        };
        let position = recorded.position.number;
        // `of_topic` would accept the event, or report a gap before it.
        if position > last {
            return Offer::Skipped;
        }
        match self.sequence.of_topic(partition, position, recorded.event_id, offset) {
            Verdict::Next => {
                self.push(record);
                Offer::Accepted
            }
            Verdict::Skip => Offer::Skipped,
            Verdict::Repeat => Offer::Repeated,
            Verdict::Gap(gap) => Offer::Gap(gap, Box::new(record)),
            Verdict::Contradicts => Offer::Contradicting(Box::new(record)),
        }
    }

    /// Offers consecutive events of a partition of the log; those that are not next are skipped.
    ///
    /// # Errors
    /// The events belong to the log of another store. None of them is accepted.
    pub(crate) fn offer_page(
        &mut self,
        partition: Partition,
        source: Source,
        events: impl IntoIterator<Item = RecordedEvent>,
    ) -> Result<(), ForeignLog> {
        let Some(log) = &self.log else { return Ok(()) };
        log.is_of(source)?;
        for event in events {
            let (position, event_id) = (event.position.number, event.event_id);
            if self.sequence.of_log(partition, position, event_id) == Verdict::Next {
                self.push(Record::of_feed(event, source.store_id));
            }
        }
        Ok(())
    }

    /// Returns whether the accepted events fill a transaction of at most `events` events.
    pub(crate) fn is_full(&self, events: usize) -> bool {
        self.pending.len() >= events || self.bytes >= MAX_BYTES
    }

    /// Returns whether no accepted event waits to be applied.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns the accepted events that are not yet applied.
    pub(crate) fn pending(&self) -> &[Record] {
        &self.pending
    }

    /// Returns the progress of each partition.
    pub(crate) fn sequence(&self) -> &Sequence {
        &self.sequence
    }

    /// Ends the gap of a partition whose log ends before the gap. See [`Sequence::log_ends`].
    pub(crate) fn log_ends(&mut self, partition: Partition) -> Vec<i64> {
        self.sequence.log_ends(partition)
    }

    /// Applies the accepted events, with the checkpoints, in the open transaction or in a new one.
    ///
    /// # Errors
    /// Any error of Postgres. The caller must then discard the intake, whose accounts may be wrong.
    pub(crate) async fn write(&mut self, connection: &mut PgConnection) -> sqlx::Result<Written> {
        write(connection, &self.pending, &self.sequence, &mut self.accounts).await
    }

    /// Marks the accepted events as applied.
    pub(crate) fn applied(&mut self) {
        self.sequence.settle();
        self.pending.clear();
        self.bytes = 0;
    }

    fn push(&mut self, record: Record) {
        self.bytes += record.bytes();
        self.pending.push(record);
    }
}
