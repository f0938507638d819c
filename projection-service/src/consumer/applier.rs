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

use super::handoff::{Applied, Handoff, Message};
use super::intake::{Intake, Offer};
use super::judging::Flaw;
use super::record::Record;
use super::unusable::Unusable;
use super::writer::{Failing, Writer};
use crate::agreement::guard::Guard;
use crate::feed::Feed;
use crate::metrics;
use crate::quarantine::check::QuarantineCheck;
use crate::waiters::Waiters;

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

/// Offsets alone (repeats were read) are worth a transaction less often.
const OFFSETS_PACE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Applier {
    pace: Pace,
    writer: Writer,
    messages: mpsc::Receiver<Message>,
    handoff: Arc<Handoff>,
    feed: Feed,
    guard: Arc<Guard>,
    waiting: Arc<Waiters>,
    health: Health,
    quarantine: QuarantineCheck,
    /// Of the last assignment.
    epoch: u64,
    /// Accepted events; accepts none before the first assignment.
    intake: Intake,
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
        messages: mpsc::Receiver<Message>,
        handoff: Arc<Handoff>,
        feed: Feed,
        guard: Arc<Guard>,
        waiting: Arc<Waiters>,
        quarantine: QuarantineCheck,
    ) -> Self {
        Self {
            pace,
            writer,
            messages,
            handoff,
            feed,
            guard,
            waiting,
            unusable: Unusable::new(quarantine.health()),
            health: quarantine.health(),
            quarantine,
            epoch: 0,
            intake: Intake::default(),
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
                message = self.messages.recv(), if !full => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                () = sleep_until(due.unwrap_or(self.started)), if due.is_some() => self.apply().await,
                () = sleep_until(look.unwrap_or(self.started)), if look.is_some() => self.look(),
            }
        }
    }

    fn is_full(&self) -> bool {
        self.intake.is_full(self.pace.max_batch)
    }

    /// When to apply what there is.
    fn due(&self) -> Option<Instant> {
        if self.is_full() {
            Some(self.started)
        } else if !self.intake.is_empty() {
            Some(self.started + self.pace.least)
        } else {
            self.intake.sequence().has_moved().then(|| self.started + OFFSETS_PACE)
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Assigned { epoch, checkpoints, log } => {
                self.forget();
                self.epoch = epoch;
                self.unusable.trust();
                let partitions: Vec<Partition> =
                    checkpoints.iter().map(|checkpoint| checkpoint.partition).collect();
                self.intake = Intake::new(log, &self.running(checkpoints));
                // Records may have been passed over that would not be now, as those of an epoch that was not known yet.
                partitions.into_iter().for_each(|partition| self.look_later(partition));
                self.health.ok("feed");
                if !self.refused {
                    self.health.ok("projection");
                }
            }
            Message::Records { epoch, records } if epoch == self.epoch => {
                for record in records {
                    self.take_record(record);
                }
            }
            Message::Trimmed { epoch, partition } if epoch == self.epoch => {
                self.look_into_log(partition)
            }
            Message::Records { .. } | Message::Trimmed { .. } => {}
        }
    }

    fn take_record(&mut self, record: Record) {
        let (partition, offset) = (record.partition, record.offset.unwrap_or_default());
        match self.intake.offer(record) {
            Offer::Accepted | Offer::Skipped => {}
            Offer::Repeated => metrics::repeated(),
            Offer::Unusable(flaw, reason) => self.pass_over(partition, offset, flaw, reason),
            Offer::Hole(hole, _) => {
                let (found, after) = (hole.target, hole.after);
                tracing::warn!(
                    partition,
                    after,
                    found,
                    "the topic has a hole, which is filled from the log"
                );
                metrics::hole(partition);
                self.fill(partition, hole);
            }
            // One of the two events is not the log's: the guard finds out which.
            Offer::Contradicting(record) => {
                let Ok(event) = &record.content else { return };
                let position = event.recorded.position;
                let reason = format!("another event was read before for {position}");
                self.unusable.note(partition, offset, Flaw::Contradicting, reason, Instant::now());
                self.guard.suspect(partition, position.number);
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

    async fn apply(&mut self) {
        let applying = Arc::clone(&self.handoff);
        let _applying = applying.applying.lock().await;
        if self.handoff.epoch() != self.epoch {
            self.forget();
            return;
        }
        self.started = Instant::now();
        match self.writer.write(&mut self.intake).await {
            Ok(written) => {
                metrics::applied(written.events, self.started.elapsed());
                metrics::quarantined(written.quarantined);
                if written.quarantined > 0 {
                    // What does not follow on the events before it may be right, and one of those may not.
                    for (partition, track) in self.intake.sequence().moved() {
                        self.guard.suspect(partition, track.applied);
                    }
                }
                self.settle();
            }
            Err(error) => self.fail(error),
        }
    }

    /// Reports the applied events to the reader and to waiting queries.
    fn settle(&mut self) {
        let (sequence, pending) = (self.intake.sequence(), self.intake.pending());
        self.handoff.note(sequence.moved().filter_map(|(partition, track)| {
            Some((partition, Applied { offset: track.offset?, position: track.accepted }))
        }));
        self.waiting.reached(
            sequence.moved().map(|(partition, track)| (partition, track.accepted)),
            pending
                .iter()
                .filter_map(|record| record.content.as_ref().ok())
                .map(|event| (event.recorded.account_id, event.recorded.version)),
        );
        if let Some(Ok(event)) = pending.last().map(|record| &record.content) {
            metrics::delay(Timestamp::now().as_micros() - event.recorded.recorded_at.as_micros());
        }
        self.intake.applied();
        self.failures = 0;
        self.refused = false;
        self.health.ok("projection");
    }

    fn forget(&mut self) {
        self.writer.forget();
        self.intake = Intake::default();
        self.pages = JoinSet::new();
        self.asked.clear();
        self.to_look.clear();
    }
}
