//! The task that applies: puts records in order, has holes filled, and applies what is next in batches.
//!
//! There is no linger: what comes alone is applied at once. Under load a transaction starts no sooner than a pace after
//! the one before it, and what has come by then is its batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use passbook_shared::health::Health;
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::timestamp::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::link::{Applied, Link, Parcel};
use super::record::Record;
use super::sequence::{Sequence, Verdict};
use super::writer::{Failing, Writer};
use crate::feed::{Feed, Page};
use crate::metrics;
use crate::quarantine::check::QuarantineCheck;
use crate::store::source::Source;
use crate::waiting::Waiting;

mod filling;
mod starting_over;
pub(super) use starting_over::other_log;
mod stopping;

/// How records are gathered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// The most events in a transaction.
    pub(super) max_batch: usize,
    /// The least time from the start of one transaction to that of the next.
    pub(super) least: Duration,
}

/// The most bytes of events in a transaction, about.
const MAX_BYTES: usize = 16 << 20;

/// Offsets alone (repeats were read) are worth a transaction less often.
const OFFSETS_PACE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Applier {
    pace: Pace,
    writer: Writer,
    parcels: mpsc::Receiver<Parcel>,
    link: Arc<Link>,
    feed: Feed,
    waiting: Arc<Waiting>,
    health: Health,
    quarantine: QuarantineCheck,
    /// Of the last assignment.
    epoch: u64,
    /// Of the topic.
    partitions: Partition,
    sequence: Sequence,
    /// Accepted, to be applied next.
    pending: Vec<Record>,
    /// What they take, in bytes.
    pending_bytes: usize,
    /// Whose log the records are of, as soon as one was seen.
    store_id: Option<Uuid>,
    /// Partitions of which nothing is applied, because too many of their events can't be.
    stopped: BTreeMap<Partition, Failing>,
    /// When to look whether they may go on.
    look_again_at: Instant,
    /// Pages of the log on their way.
    pages: JoinSet<(Partition, Page)>,
    started: Instant,
    failures: u32,
    /// What is read could not be applied, and nothing has been since.
    refused: bool,
}

impl Applier {
    pub(super) fn new(
        pace: Pace,
        writer: Writer,
        parcels: mpsc::Receiver<Parcel>,
        link: Arc<Link>,
        feed: Feed,
        waiting: Arc<Waiting>,
        quarantine: QuarantineCheck,
    ) -> Self {
        Self {
            pace,
            writer,
            parcels,
            link,
            feed,
            waiting,
            health: quarantine.health(),
            quarantine,
            epoch: 0,
            partitions: 0,
            sequence: Sequence::default(),
            pending: Vec::new(),
            pending_bytes: 0,
            store_id: None,
            stopped: BTreeMap::new(),
            look_again_at: Instant::now(),
            pages: JoinSet::new(),
            started: Instant::now(),
            failures: 0,
            refused: false,
        }
    }

    /// Applies until the shutdown; what is under way then is finished.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let full = self.is_full();
            let due = self.due();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = sleep_until(self.look_again_at), if !self.stopped.is_empty() => self.look_again().await,
                Some(page) = self.pages.join_next(), if !full => {
                    if let Ok((partition, page)) = page {
                        self.take_page(partition, page);
                    }
                }
                parcel = self.parcels.recv(), if !full => match parcel {
                    Some(parcel) => self.take(parcel),
                    None => return,
                },
                () = sleep_until(due.unwrap_or(self.started)), if due.is_some() => self.apply().await,
            }
        }
    }

    fn is_full(&self) -> bool {
        self.pending.len() >= self.pace.max_batch || self.pending_bytes >= MAX_BYTES
    }

    /// When to apply what there is.
    fn due(&self) -> Option<Instant> {
        if self.is_full() {
            Some(self.started)
        } else if !self.pending.is_empty() {
            Some(self.started + self.pace.least)
        } else {
            self.sequence.has_moved().then(|| self.started + OFFSETS_PACE)
        }
    }

    fn take(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::Assigned { epoch, checkpoints, partitions } => {
                self.forget();
                self.epoch = epoch;
                self.partitions = partitions;
                self.sequence = self.sequence_of(checkpoints);
                self.health.ok("feed");
                if !self.refused {
                    self.health.ok("projection");
                }
            }
            Parcel::Records { epoch, records } if epoch == self.epoch => {
                for record in records {
                    self.take_record(record);
                }
            }
            Parcel::Trimmed { epoch, partition } if epoch == self.epoch => self.look_into_log(partition),
            Parcel::Records { .. } | Parcel::Trimmed { .. } => {}
        }
    }

    fn take_record(&mut self, record: Record) {
        let (partition, offset) = (record.partition, record.offset.unwrap_or_default());
        let Ok(event) = &record.content else {
            if self.sequence.unreadable(partition, offset) {
                self.accept(record);
            }
            return;
        };
        if *self.store_id.get_or_insert(event.store_id) != event.store_id {
            self.refuse_store(partition, offset, event.store_id);
            return;
        }
        let recorded = &event.recorded;
        if partition_of(recorded.account_id, self.partitions) != partition {
            self.refuse(format!(
                "account {} is in partition {partition} of the topic, and would be in another if the log had the \
                 topic's {} partitions: nothing is applied. Is KAFKA_TOPIC another installation's?",
                recorded.account_id, self.partitions
            ));
            return;
        }
        match self.sequence.of_topic(partition, recorded.position.number, recorded.event_id, offset) {
            Verdict::Next => self.accept(record),
            Verdict::Skip => {}
            Verdict::Hole { after } => {
                let found = recorded.position;
                tracing::warn!(partition, after, %found, "the topic has a hole, which is filled from the log");
                metrics::hole(partition);
                self.fill(partition, after);
            }
            Verdict::Forked => self.refuse(other_log(partition, recorded.position.number)),
        }
    }

    fn accept(&mut self, record: Record) {
        self.pending_bytes += record.bytes();
        self.pending.push(record);
    }

    /// Events of the log that follow on what was accepted when they were asked for.
    fn take_page(&mut self, partition: Partition, page: Page) {
        self.health.ok("feed");
        let seen = self.store_id.filter(|store_id| *store_id != page.source.store_id);
        if seen.is_some() || page.source.partitions != self.partitions {
            self.refuse(format!(
                "the command-service's log is of store {} with {} partitions, the topic of another or with {}: nothing \
                 is applied. Is COMMAND_SERVICE_URL or KAFKA_TOPIC another installation's?",
                page.source.store_id, page.source.partitions, self.partitions
            ));
            return;
        }
        for event in page.events {
            if self.sequence.of_log(partition, event.position.number, event.event_id) == Verdict::Next {
                self.accept(Record::of_feed(event, page.source.store_id));
            }
        }
        if let Some(after) = self.sequence.hole(partition) {
            self.fill(partition, after);
        } else if page.has_more {
            self.look_into_log(partition);
        }
    }

    async fn apply(&mut self) {
        let applying = Arc::clone(&self.link);
        let _applying = applying.applying.lock().await;
        if self.link.epoch() != self.epoch {
            self.forget();
            return;
        }
        self.started = Instant::now();
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let source = self.store_id.map(|store_id| Source { store_id, partitions: self.partitions });
        match self.writer.write(&pending, &self.sequence, source).await {
            Ok(written) => {
                metrics::applied(written.events, self.started.elapsed());
                metrics::quarantined(written.quarantined);
                self.settle(&pending);
            }
            Err(error) => self.fail(error),
        }
    }

    fn settle(&mut self, pending: &[Record]) {
        let moved = self.sequence.moved().filter_map(|(partition, track)| {
            Some((partition, Applied { offset: track.offset?, position: track.accepted }))
        });
        self.link.note(moved);
        self.waiting.reached(
            self.sequence.moved().map(|(partition, track)| (partition, track.accepted)),
            pending
                .iter()
                .filter_map(|record| record.content.as_ref().ok())
                .map(|event| (event.recorded.account_id, event.recorded.version)),
        );
        self.sequence.settle();
        if let Some(Ok(event)) = pending.last().map(|record| &record.content) {
            metrics::delay(Timestamp::now().as_micros() - event.recorded.recorded_at.as_micros());
        }
        self.failures = 0;
        self.refused = false;
        self.health.ok("projection");
    }

    fn forget(&mut self) {
        self.writer.forget();
        self.sequence = Sequence::default();
        self.pending.clear();
        self.pending_bytes = 0;
        self.pages = JoinSet::new();
        self.store_id = None;
    }
}
