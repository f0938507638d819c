//! The task that applies: puts records in order, has holes filled, and applies what is next in batches.
//!
//! There is no linger: what comes alone is applied at once. Under load a transaction starts no sooner than a pace after
//! the one before it, and what has come by then is its batch.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use passbook_shared::health::Health;
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::timestamp::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::judging::{Flaw, OurLog, judge};
use super::link::{Applied, Link, Parcel};
use super::record::Record;
use super::sequence::{Sequence, Verdict};
use super::unusable::Unusable;
use super::writer::{Failing, Writer};
use crate::agreement::guard::Guard;
use crate::feed::Feed;
use crate::metrics;
use crate::quarantine::check::QuarantineCheck;
use crate::waiting::Waiting;

mod filling;
use filling::Brought;
mod starting_over;
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
    guard: Arc<Guard>,
    waiting: Arc<Waiting>,
    health: Health,
    quarantine: QuarantineCheck,
    /// Of the last assignment.
    epoch: u64,
    /// Whose log is applied, from the first assignment on.
    log: Option<OurLog>,
    sequence: Sequence,
    /// Accepted, to be applied next.
    pending: Vec<Record>,
    /// What they take, in bytes.
    pending_bytes: usize,
    /// Records that were passed over.
    unusable: Unusable,
    /// Partitions with such records, to be compared with the log's end once no more comes: when, and their position then.
    to_look: BTreeMap<Partition, (Instant, i64)>,
    /// Partitions of which nothing is applied, because too many of their events can't be.
    stopped: BTreeMap<Partition, Failing>,
    /// When to look whether they may go on.
    look_again_at: Instant,
    /// Pages of the log on their way, at most one a partition.
    pages: JoinSet<Brought>,
    asked: BTreeSet<Partition>,
    started: Instant,
    failures: u32,
    /// What is read could not be applied, and nothing has been since.
    refused: bool,
}

impl Applier {
    #[expect(clippy::too_many_arguments, reason = "called once, with all there is")]
    pub(super) fn new(
        pace: Pace,
        writer: Writer,
        parcels: mpsc::Receiver<Parcel>,
        link: Arc<Link>,
        feed: Feed,
        guard: Arc<Guard>,
        waiting: Arc<Waiting>,
        quarantine: QuarantineCheck,
    ) -> Self {
        Self {
            pace,
            writer,
            parcels,
            link,
            feed,
            guard,
            waiting,
            unusable: Unusable::new(quarantine.health()),
            health: quarantine.health(),
            quarantine,
            epoch: 0,
            log: None,
            sequence: Sequence::default(),
            pending: Vec::new(),
            pending_bytes: 0,
            to_look: BTreeMap::new(),
            stopped: BTreeMap::new(),
            look_again_at: Instant::now(),
            pages: JoinSet::new(),
            asked: BTreeSet::new(),
            started: Instant::now(),
            failures: 0,
            refused: false,
        }
    }

    /// Applies until the shutdown; what is under way then is finished.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let full = self.is_full();
            let (due, look) = (self.due(), self.next_look());
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = sleep_until(self.look_again_at), if !self.stopped.is_empty() => self.look_again().await,
                Some(brought) = self.pages.join_next(), if !full => {
                    if let Ok(brought) = brought {
                        self.take_page(brought);
                    }
                }
                parcel = self.parcels.recv(), if !full => match parcel {
                    Some(parcel) => self.take(parcel),
                    None => return,
                },
                () = sleep_until(due.unwrap_or(self.started)), if due.is_some() => self.apply().await,
                () = sleep_until(look.unwrap_or(self.started)), if look.is_some() => self.look(),
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
            Parcel::Assigned { epoch, checkpoints, log } => {
                self.forget();
                self.epoch = epoch;
                self.log = Some(log);
                self.unusable.trust();
                let partitions: Vec<Partition> =
                    checkpoints.iter().map(|checkpoint| checkpoint.partition).collect();
                self.sequence = self.sequence_of(checkpoints);
                // Records may have been passed over that would not be now, as those of an epoch that was not known yet.
                partitions.into_iter().for_each(|partition| self.look_later(partition));
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
            Parcel::Trimmed { epoch, partition } if epoch == self.epoch => {
                self.look_into_log(partition)
            }
            Parcel::Records { .. } | Parcel::Trimmed { .. } => {}
        }
    }

    fn take_record(&mut self, record: Record) {
        let (partition, offset) = (record.partition, record.offset.unwrap_or_default());
        let Some(log) = &self.log else { return };
        let recorded = match judge(&record, log) {
            Ok(event) => &event.recorded,
            Err((flaw, reason)) => {
                if self.sequence.unusable(partition, offset) {
                    self.pass_over(partition, offset, flaw, reason);
                }
                return;
            }
        };
        match self.sequence.of_topic(partition, recorded.position.number, recorded.event_id, offset)
        {
            Verdict::Next => self.accept(record),
            Verdict::Skip => {}
            Verdict::Repeat => metrics::repeated(),
            Verdict::Hole(hole) => {
                let (found, after) = (recorded.position, hole.after);
                tracing::warn!(partition, after, %found, "the topic has a hole, which is filled from the log");
                metrics::hole(partition);
                self.fill(partition, hole);
            }
            // One of the two is not the log's: which, the guard finds out.
            Verdict::Contradicts => {
                let position = recorded.position.number;
                let reason =
                    format!("another event than was read before for {}", recorded.position);
                self.unusable.note(partition, offset, Flaw::Contradicting, reason, Instant::now());
                self.guard.suspect(partition, position);
                self.guard.hurry();
            }
        }
    }

    /// Reading goes on behind a record; the log supplies what it may have stood for.
    fn pass_over(&mut self, partition: Partition, offset: i64, flaw: Flaw, reason: String) {
        if flaw == Flaw::UnknownEpoch {
            // Perhaps a restore was accepted, and is not known here yet.
            self.guard.suspect(partition, i64::MAX);
            self.guard.hurry();
        }
        self.unusable.note(partition, offset, flaw, reason, Instant::now());
        self.look_later(partition);
    }

    fn accept(&mut self, record: Record) {
        self.pending_bytes += record.bytes();
        self.pending.push(record);
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
        match self.writer.write(&pending, &self.sequence).await {
            Ok(written) => {
                metrics::applied(written.events, self.started.elapsed());
                metrics::quarantined(written.quarantined);
                if written.quarantined > 0 {
                    // What does not follow on the events before it may be right, and one of those may not.
                    self.sequence.moved().for_each(|(partition, track)| {
                        self.guard.suspect(partition, track.applied)
                    });
                }
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
        self.asked.clear();
        self.to_look.clear();
    }
}
