//! Task that orders records, fills gaps from the log and applies events in batches.
//!
//! A single record is applied at once. Under load, a [`Pace`] separates the starts of transactions,
//! and each applies all events accepted before it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use passbook_shared::health::Health;
use passbook_shared::pace::Pace;
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::trace::{Batch, Kind};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Consumer;
use super::handoff::{Applied, Handoff, Message};
use super::intake::Intake;
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
mod receiving;
mod starting_over;
mod stopping;

/// Minimum time between transactions that store only offsets, after repeated records.
const OFFSETS_PACE: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Applier {
    /// Maximum number of events in a transaction.
    max_batch: usize,
    pace: Pace,
    /// Earliest start of the next transaction, unless a full batch is waiting.
    next_at: Instant,
    writer: Writer,
    messages: mpsc::Receiver<Message>,
    handoff: Arc<Handoff>,
    feed: Feed,
    guard: Arc<Guard>,
    waiting: Arc<Waiters>,
    health: Health,
    quarantine: QuarantineCheck,
    /// Number of the last assignment.
    epoch: u64,
    /// Accepted events; accepts none before the first assignment.
    intake: Intake,
    /// Records that were skipped as unusable.
    unusable: Unusable,
    /// Partitions with unusable records. Each has the time at which to read the log, and the last
    /// accepted position at the time of scheduling.
    to_look: BTreeMap<Partition, (Instant, i64)>,
    /// Partitions that stopped because too many of their events cannot be applied.
    stopped: BTreeMap<Partition, Failing>,
    /// Time of the next check of the stopped partitions.
    look_again_at: Instant,
    /// Pages of the log being fetched, at most one per partition.
    pages: JoinSet<Brought>,
    asked: BTreeSet<Partition>,
    started: Instant,
    failures: u32,
    /// True if Postgres refused a batch, or the log is foreign, and nothing was applied since.
    refused: bool,
}

impl Applier {
    pub(super) fn new(
        consumer: &Consumer,
        messages: mpsc::Receiver<Message>,
        handoff: Arc<Handoff>,
    ) -> Self {
        let quarantine = consumer.quarantine.clone();
        Self {
            max_batch: consumer.max_batch,
            pace: Pace::new(consumer.pace),
            next_at: Instant::now(),
            writer: Writer::new(consumer.database.clone(), consumer.limit),
            messages,
            handoff,
            feed: consumer.feed.clone(),
            guard: Arc::clone(&consumer.guard),
            waiting: Arc::clone(&consumer.waiting),
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

    /// Applies until the shutdown; a transaction under way is completed.
    pub(super) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            let full = self.is_full();
            // `select!` evaluates a disabled branch too, so the time needs some value.
            let (due, look, started) = (self.due(), self.next_look(), self.started);
            let has_stopped = !self.stopped.is_empty();
            tokio::select! {
                // The order matters: available input fills the batch before the batch is applied.
                biased;
                () = shutdown.cancelled() => return,
                () = sleep_until(self.look_again_at), if has_stopped => self.look_again().await,
                // A full batch accepts no more input, which slows down the reader.
                Some(brought) = self.pages.join_next(), if !full => {
                    if let Ok(brought) = brought {
                        self.take_page(brought);
                    }
                }
                message = self.messages.recv(), if !full => match message {
                    Some(message) => self.take(message),
                    // The reader has ended.
                    None => return,
                },
                () = sleep_until(due.unwrap_or(started)), if due.is_some() => self.apply().await,
                () = sleep_until(look.unwrap_or(started)), if look.is_some() => self.look(),
            }
        }
    }

    fn is_full(&self) -> bool {
        self.intake.is_full(self.max_batch)
    }

    /// Returns the start of the next transaction, if there is anything to write.
    fn due(&self) -> Option<Instant> {
        if self.is_full() {
            // This time has passed, so a full batch is due at once.
            Some(self.started)
        } else if !self.intake.is_empty() {
            Some(self.next_at)
        } else {
            self.intake.sequence().has_moved().then(|| self.started + OFFSETS_PACE)
        }
    }

    async fn apply(&mut self) {
        // The lock would otherwise borrow `self` during the whole transaction.
        let applying = Arc::clone(&self.handoff);
        // The reader waits for this lock before it releases partitions.
        let _applying = applying.applying.lock().await;
        // The assignment may have changed while this task waited for the lock.
        if self.handoff.epoch() != self.epoch {
            self.forget();
            return;
        }
        self.started = Instant::now();
        self.next_at = self.pace.start(self.intake.pending().len());
        let members = self.intake.pending().iter().filter_map(Record::member);
        let mut spans = Batch::begin("apply", Kind::Process, members);
        let written = self.writer.write(&mut self.intake).await;
        if let (Some(spans), Err(error)) = (&mut spans, &written) {
            spans.fail(&error.to_string());
        }
        drop(spans);
        match written {
            Ok(written) => {
                metrics::applied(written.events, self.started.elapsed());
                metrics::quarantined(written.quarantined);
                if written.quarantined > 0 {
                    // The quarantined event may be genuine, and an event before it forged.
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
        // The intake is cleared last, because the reports above read it.
        self.intake.applied();
        self.failures = 0;
        self.refused = false;
        self.health.ok("projection");
    }

    fn forget(&mut self) {
        // The next connection goes to the generation that is live by then.
        self.writer.forget();
        self.intake = Intake::default();
        // Dropping the set aborts the requests of the previous assignment.
        self.pages = JoinSet::new();
        self.asked.clear();
        self.to_look.clear();
    }
}
