//! Events of one partition, read again and applied: from the topic as long as it has them, else from the log.

use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::recorded_event::RecordedEvent;
use sqlx::PgConnection;

use super::Ground;
use super::error::ReplayError;
use super::progress::Progress;
use super::topic;
use crate::consumer::known::Accounts;
use crate::consumer::record::{Event, Record};
use crate::consumer::sequence::{Sequence, Verdict};
use crate::consumer::writer::write;
use crate::store::checkpoints::Checkpoint;
use crate::store::source::Source;

/// Events applied in one transaction, at most, and what they take in bytes, about.
const BATCH: (usize, usize) = (20_000, 16 << 20);

/// A partition of the views that is brought up to a position, not beyond.
pub(super) struct Loading<'a> {
    ground: &'a Ground,
    progress: &'a Progress,
    /// Sees the views that are written.
    connection: &'a mut PgConnection,
    partition: Partition,
    /// Whose log it is: nothing of another is applied.
    source: Source,
    sequence: Sequence,
    known: Accounts,
    pending: Vec<Record>,
    bytes: usize,
    /// Up to here, and no further.
    target: i64,
}

impl<'a> Loading<'a> {
    pub(super) fn new(
        ground: &'a Ground,
        progress: &'a Progress,
        connection: &'a mut PgConnection,
        source: Source,
        from: &Checkpoint,
        target: i64,
    ) -> Self {
        Self {
            ground,
            progress,
            connection,
            partition: from.partition,
            source,
            sequence: Sequence::new(std::slice::from_ref(from)),
            known: Accounts::default(),
            pending: Vec::new(),
            bytes: 0,
            target,
        }
    }

    /// Reads the topic from an offset, then the log for what is still missing.
    pub(super) async fn by_topic(mut self, offset: i64) -> Result<(), ReplayError> {
        let mut chunks = topic::read(&self.ground.kafka, self.partition, offset);
        while !self.is_there()
            // What Kafka does not give, the log has.
            && let Some(Ok(records)) = chunks.recv().await
        {
            for record in records {
                self.take(record).await?;
            }
            self.write_if_full().await?;
        }
        drop(chunks);
        self.fill(self.target).await?;
        self.write().await
    }

    /// Reads the log alone: for what is new, that is at once there.
    pub(super) async fn by_log(mut self) -> Result<(), ReplayError> {
        while !self.is_there() {
            self.page(self.target).await?;
        }
        self.write().await
    }

    fn accepted(&self) -> i64 {
        self.sequence.accepted(self.partition).unwrap_or_default()
    }

    fn is_there(&self) -> bool {
        self.accepted() >= self.target
    }

    async fn take(&mut self, record: Record) -> Result<(), ReplayError> {
        let (partition, offset) = (self.partition, record.offset.unwrap_or_default());
        let Ok(event) = &record.content else {
            if !self.is_there() && self.sequence.unreadable(partition, offset) {
                self.push(record);
            }
            return Ok(());
        };
        check_source(event, partition, self.source)?;
        let position = event.recorded.position.number;
        if self.is_there() && position > self.target {
            return Ok(());
        }
        match self.sequence.of_topic(partition, position, event.recorded.event_id, offset) {
            Verdict::Next => self.push(record),
            // Another event than was applied: the live views will say so.
            Verdict::Skip | Verdict::Forked => {}
            Verdict::Hole { .. } => {
                self.fill(self.target.min(position - 1)).await?;
                let is_next = position <= self.target
                    && self.sequence.of_topic(partition, position, event.recorded.event_id, offset) == Verdict::Next;
                if is_next {
                    self.push(record);
                }
            }
        }
        Ok(())
    }

    /// Takes from the log what the topic does not have, up to a position.
    async fn fill(&mut self, up_to: i64) -> Result<(), ReplayError> {
        while self.accepted() < up_to {
            let events = self.page(up_to).await?;
            self.progress.add_from_log(events);
        }
        Ok(())
    }

    /// Takes the page of the log that is next, up to a position; gives how many events it had.
    async fn page(&mut self, up_to: i64) -> Result<usize, ReplayError> {
        let after = self.accepted();
        let page = self.ground.feed.events(self.partition, after).await?;
        if page.source != self.source {
            let (found, ours) = (page.source, self.source);
            return Err(ReplayError::Foreign { what: "command-service's log", found, ours });
        }
        if page.events.is_empty() {
            return Err(ReplayError::LogEnds { partition: self.partition, position: self.target });
        }
        let wanted = |event: &RecordedEvent| event.position.number <= up_to;
        let events: Vec<RecordedEvent> = page.events.into_iter().filter(wanted).collect();
        let count = events.len();
        for event in events {
            if self.sequence.of_log(self.partition, event.position.number, event.event_id) == Verdict::Next {
                self.push(Record::of_feed(event, self.source.store_id));
            }
        }
        self.write_if_full().await?;
        Ok(count)
    }

    fn push(&mut self, record: Record) {
        self.bytes += record.bytes();
        self.pending.push(record);
    }

    async fn write_if_full(&mut self) -> Result<(), ReplayError> {
        let (most, most_bytes) = BATCH;
        if self.pending.len() >= most || self.bytes >= most_bytes { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), ReplayError> {
        self.progress.go_on()?;
        if self.sequence.has_moved() {
            write(self.connection, &self.pending, &self.sequence, &mut self.known).await?;
            self.progress.add(self.pending.iter().filter(|record| record.content.is_ok()).count());
            self.sequence.settle();
            self.pending.clear();
            self.bytes = 0;
        }
        Ok(())
    }
}

/// Fails if a record of the topic is not of this log, or is where it would not be in a log of as many partitions.
pub(super) fn check_source(event: &Event, partition: Partition, ours: Source) -> Result<(), ReplayError> {
    let store_id = event.store_id;
    if store_id == ours.store_id && partition_of(event.recorded.account_id, ours.partitions) == partition {
        return Ok(());
    }
    Err(ReplayError::Foreign { what: "topic", found: Source { store_id, ..ours }, ours })
}
