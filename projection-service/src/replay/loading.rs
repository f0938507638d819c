//! Events of one partition, read again and applied: from the topic as long as it has them, else from the log.

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use sqlx::PgConnection;

use super::Ground;
use super::error::ReplayError;
use super::progress::Progress;
use super::topic;
use crate::checkpoint::Checkpoint;
use crate::consumer::judging::{OurLog, judge};
use crate::consumer::known::Accounts;
use crate::consumer::record::Record;
use crate::consumer::sequence::{Sequence, Verdict};
use crate::consumer::writer::write;
use crate::metrics;

/// Events applied in one transaction, at most, and what they take in bytes, about.
const BATCH: (usize, usize) = (20_000, 16 << 20);

/// A partition of the views that is brought up to a position, not beyond.
pub(crate) struct Loading<'a> {
    ground: &'a Ground,
    progress: &'a Progress,
    /// Sees the views that are written.
    connection: &'a mut PgConnection,
    partition: Partition,
    /// Nothing of another log is applied.
    log: &'a OurLog,
    sequence: Sequence,
    known: Accounts,
    pending: Vec<Record>,
    bytes: usize,
    /// Up to here, and no further.
    target: i64,
    /// The topic showed two events for a position: one of them is not the log's.
    contradicted: bool,
}

impl<'a> Loading<'a> {
    pub(crate) fn new(
        ground: &'a Ground,
        progress: &'a Progress,
        connection: &'a mut PgConnection,
        log: &'a OurLog,
        from: &Checkpoint,
        target: i64,
    ) -> Self {
        Self {
            ground,
            progress,
            connection,
            partition: from.partition,
            log,
            sequence: Sequence::new(std::slice::from_ref(from)),
            known: Accounts::default(),
            pending: Vec::new(),
            bytes: 0,
            target,
            contradicted: false,
        }
    }

    /// Reads the topic from an offset, then the log for what is still missing. Returns whether the topic showed two
    /// events for a position.
    pub(crate) async fn by_topic(mut self, offset: i64) -> Result<bool, ReplayError> {
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
        self.write().await?;
        Ok(self.contradicted)
    }

    /// Reads the log alone: for what is new, that is at once there.
    pub(crate) async fn by_log(mut self) -> Result<(), ReplayError> {
        while !self.is_there() {
            if self.page(self.target).await? == 0 {
                return Err(self.log_ends());
            }
        }
        self.write().await
    }

    /// The same, where the log may end before.
    pub(crate) async fn by_log_to_its_end(mut self) -> Result<(), ReplayError> {
        while !self.is_there() && self.page(self.target).await? > 0 {}
        self.write().await
    }

    fn log_ends(&self) -> ReplayError {
        ReplayError::LogEnds { partition: self.partition, position: self.target }
    }

    fn accepted(&self) -> i64 {
        self.sequence.accepted(self.partition).unwrap_or_default()
    }

    fn is_there(&self) -> bool {
        self.accepted() >= self.target
    }

    async fn take(&mut self, record: Record) -> Result<(), ReplayError> {
        let (partition, offset) = (self.partition, record.offset.unwrap_or_default());
        let event = match judge(&record, self.log) {
            Ok(event) => event,
            Err((flaw, reason)) => {
                metrics::unusable(flaw.as_str(), 1);
                tracing::debug!(partition, offset, reason, "a record of the topic can't be used");
                self.sequence.unusable(partition, offset);
                return Ok(());
            }
        };
        let (position, event_id) = (event.recorded.position.number, event.recorded.event_id);
        if position > self.target {
            return Ok(());
        }
        match self.sequence.of_topic(partition, position, event_id, offset) {
            Verdict::Next => self.push(record),
            Verdict::Skip | Verdict::Repeat => {}
            Verdict::Contradicts => self.contradicted = true,
            Verdict::Hole(_) => {
                self.fill(position - 1).await?;
                if self.sequence.of_topic(partition, position, event_id, offset) == Verdict::Next {
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
            if events == 0 {
                return Err(self.log_ends());
            }
            self.progress.add_from_log(events);
        }
        Ok(())
    }

    /// Takes the page of the log that is next, up to a position; gives how many events it had: none at the end of the log.
    async fn page(&mut self, up_to: i64) -> Result<usize, ReplayError> {
        let after = self.accepted();
        let page = self.ground.feed.events(self.partition, after).await?;
        if page.source != self.log.source {
            let (found, ours) = (page.source, self.log.source);
            return Err(ReplayError::Foreign { what: "command-service's log", found, ours });
        }
        let wanted = |event: &RecordedEvent| event.position.number <= up_to;
        let events: Vec<RecordedEvent> = page.events.into_iter().filter(wanted).collect();
        let count = events.len();
        for event in events {
            if self.sequence.of_log(self.partition, event.position.number, event.event_id)
                == Verdict::Next
            {
                self.push(Record::of_feed(event, self.log.source.store_id));
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
        if self.pending.len() >= most || self.bytes >= most_bytes {
            self.write().await
        } else {
            Ok(())
        }
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
