//! Loader of one partition: applies past events from the topic, and from the log where that lacks
//! them.

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use sqlx::PgConnection;

use super::ReplayDeps;
use super::error::ReplayError;
use super::progress::Progress;
use super::topic;
use crate::checkpoint::Checkpoint;
use crate::consumer::intake::{Intake, Offer};
use crate::consumer::judging::OurLog;
use crate::consumer::record::Record;
use crate::metrics;

/// Maximum number of events in a transaction.
const BATCH: usize = 50_000;

/// Applies the events of a partition up to a position.
pub(crate) struct PartitionLoader<'a> {
    deps: &'a ReplayDeps,
    progress: &'a Progress,
    /// Connection whose search path selects the generation to write to.
    connection: &'a mut PgConnection,
    partition: Partition,
    intake: Intake,
    /// Last position to apply.
    target: i64,
    /// True if the topic had two events for one position, at most one of which is in the log.
    contradicted: bool,
}

impl<'a> PartitionLoader<'a> {
    pub(crate) fn new(
        deps: &'a ReplayDeps,
        progress: &'a Progress,
        connection: &'a mut PgConnection,
        log: &OurLog,
        from: &Checkpoint,
        target: i64,
    ) -> Self {
        Self {
            deps,
            progress,
            connection,
            partition: from.partition,
            intake: Intake::new(log.clone(), std::slice::from_ref(from)),
            target,
            contradicted: false,
        }
    }

    /// Reads the topic from an offset, and then the missing events from the log. Returns whether
    /// the topic had two events for one position.
    pub(crate) async fn by_topic(mut self, offset: i64) -> Result<bool, ReplayError> {
        let mut chunks = topic::read(&self.deps.kafka, self.partition, offset);
        while !self.is_there()
            // An error of Kafka ends the loop, and the log supplies the remaining events.
            && let Some(Ok(records)) = chunks.recv().await
        {
            for record in records {
                self.take(record).await?;
            }
            self.write_if_full().await?;
        }
        // The drop stops the reader of the topic, which may be ahead of the target.
        drop(chunks);
        self.fill(self.target).await?;
        self.write().await?;
        Ok(self.contradicted)
    }

    /// Reads the log alone. The log has new events before the topic does.
    pub(crate) async fn by_log(mut self) -> Result<(), ReplayError> {
        while !self.is_there() {
            if self.page(self.target).await? == 0 {
                return Err(self.log_ends());
            }
        }
        self.write().await
    }

    /// Reads the log alone, up to the target or the end of the log.
    pub(crate) async fn by_log_to_its_end(mut self) -> Result<(), ReplayError> {
        while !self.is_there() && self.page(self.target).await? > 0 {}
        self.write().await
    }

    fn log_ends(&self) -> ReplayError {
        ReplayError::LogEnds { partition: self.partition, position: self.target }
    }

    fn accepted(&self) -> i64 {
        self.intake.sequence().accepted(self.partition).unwrap_or_default()
    }

    fn is_there(&self) -> bool {
        self.accepted() >= self.target
    }

    async fn take(&mut self, record: Record) -> Result<(), ReplayError> {
        let offset = record.offset;
        match self.intake.offer_up_to(record, self.target) {
            Offer::Accepted | Offer::Skipped | Offer::Repeated => {}
            Offer::Unusable(flaw, reason) => {
                metrics::unusable(flaw.as_str(), 1);
                tracing::debug!(
                    partition = self.partition.get(),
                    offset,
                    reason,
                    "a record of the topic is unusable"
                );
            }
            Offer::Contradicting(_) => self.contradicted = true,
            Offer::Gap(gap, record) => {
                // The record after the gap is here already, so the log is read up to it only.
                self.fill(gap.target - 1).await?;
                self.intake.offer_up_to(*record, self.target);
            }
        }
        Ok(())
    }

    /// Reads events that the topic lacks from the log, up to a position.
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

    /// Reads the next page of the log, up to a position. Returns its number of events: 0 at the end
    /// of the log.
    async fn page(&mut self, up_to: i64) -> Result<usize, ReplayError> {
        let after = self.accepted();
        let page = self.deps.feed.events(self.partition, after).await?;
        // A page may go beyond the target, at which the views are compared.
        let wanted = |event: &RecordedEvent| event.position.number <= up_to;
        let events: Vec<RecordedEvent> = page.events.into_iter().filter(wanted).collect();
        let count = events.len();
        self.intake.offer_page(self.partition, page.source, events)?;
        self.write_if_full().await?;
        Ok(count)
    }

    async fn write_if_full(&mut self) -> Result<(), ReplayError> {
        if self.intake.is_full(BATCH) { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), ReplayError> {
        // A cancellation ends the load between two batches.
        self.progress.go_on()?;
        if self.intake.sequence().has_moved() {
            self.intake.write(self.connection).await?;
            self.progress.add(self.intake.pending().len());
            self.intake.applied();
        }
        Ok(())
    }
}
