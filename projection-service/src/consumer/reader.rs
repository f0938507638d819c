//! The thread that reads: polls the client, decodes, hands over; takes and gives up partitions; commits offsets.
//!
//! Offsets in Kafka are for lag tools and for the operator. Where to read on is in the checkpoints, and what is applied
//! is decided by positions alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use passbook_shared::fault::Fault;
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Consumer;
use super::causes::explain;
use super::client::{Change, GroupConsumer, group_consumer};
use super::handoff::{Handoff, Message};
use super::record::Record;
use crate::metrics;

mod resets;
mod start;
mod watchdog;
use watchdog::{Alarm, Watchdog};

/// The longest wait for a record: how soon other news are noticed.
const POLL: Duration = Duration::from_millis(100);
/// The most records handed over at once, and the most bytes they were read from.
const CHUNK: (usize, usize) = (1_000, 1 << 20);
/// How often offsets are committed to Kafka.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// How long the applying task may take none before the partitions are paused.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long to wait for the batch under way when partitions are given up.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the client may take to stop reading a partition.
const STOPPING: Duration = Duration::from_millis(300);
/// How long the client may take to leave the group.
const LEAVE: Duration = Duration::from_secs(5);

/// What our note on an offset begins with: who resets offsets by a tool leaves none.
const NOTE: &str = "passbook:";

static REPLACED: Fault = Fault::new("the Kafka client can't go on, another takes over");

/// Partitions for people, as in `0, 1, 7`.
fn list(partitions: &[Partition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn note(position: i64) -> String {
    format!("{NOTE}position={position}")
}

#[derive(Debug)]
pub(super) struct Reader {
    settings: Consumer,
    handoff: Arc<Handoff>,
    messages: mpsc::Sender<Message>,
    runtime: Handle,
    shutdown: CancellationToken,
    epoch: u64,
    /// Ours, as the group says.
    given: Option<Vec<Partition>>,
    /// When to begin reading them, if that is still to be done.
    start_at: Option<Instant>,
    /// Given to us, but held by a replay that applies their events again; and when that was last looked at.
    held_back: Vec<Partition>,
    looked_at: Instant,
    /// What was polled while the applying task took none.
    held: Vec<Record>,
    watchdog: Watchdog,
    committed_at: Instant,
    /// When the client was last told which partitions to read.
    told_at: Option<Instant>,
}

impl Reader {
    pub(super) fn new(
        settings: Consumer,
        handoff: Arc<Handoff>,
        messages: mpsc::Sender<Message>,
        runtime: Handle,
        shutdown: CancellationToken,
    ) -> Self {
        Self {
            settings,
            handoff,
            messages,
            runtime,
            shutdown,
            epoch: 0,
            given: None,
            start_at: None,
            held_back: Vec::new(),
            looked_at: Instant::now(),
            held: Vec::new(),
            watchdog: Watchdog::default(),
            committed_at: Instant::now(),
            told_at: None,
        }
    }

    /// Reads until the shutdown.
    ///
    /// # Errors
    /// The client can't be made: a setting is wrong.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        while !self.shutdown.is_cancelled() {
            let Consumer { kafka, group, group_instance, ends, .. } = &self.settings;
            let consumer = group_consumer(kafka, group, group_instance.as_deref(), ends)?;
            consumer.subscribe(&[&kafka.kafka_topic])?;
            while !self.shutdown.is_cancelled() && self.turn(&consumer) {}
            self.release(&consumer);
            // Leaving, too, gives up partitions.
            self.let_stop();
            leave(consumer);
        }
        Ok(())
    }

    /// Does what there is to do, then reads what there is. Gives whether to go on with this client.
    fn turn(&mut self, consumer: &GroupConsumer) -> bool {
        while let Some(change) = consumer.context().next() {
            self.change(consumer, change);
        }
        if self.given.is_some()
            && (self.handoff.is_to_start_over() | self.settings.guard.take_changed())
        {
            self.epoch = self.handoff.next_epoch();
            self.start_at = Some(Instant::now());
        }
        if self.start_at.is_some_and(|at| at <= Instant::now()) {
            self.start(consumer);
        }
        self.look_at_held_back();
        if self.committed_at.elapsed() >= COMMIT_EVERY {
            self.commit(consumer);
        }
        if !self.watch(consumer) {
            return false;
        }
        let records = std::mem::take(&mut self.held);
        match self.read(consumer, records) {
            Ok(records) if records.is_empty() => {}
            Ok(records) => self.deliver(consumer, Message::Records { epoch: self.epoch, records }),
            Err(KafkaError::MessageConsumptionFatal(error)) => {
                REPLACED.occurred(explain(&KafkaError::MessageConsumptionFatal(error)));
                // As when two instances have the same KAFKA_GROUP_INSTANCE.
                std::thread::sleep(PATIENCE);
                return false;
            }
            Err(error) => tracing::debug!(%error, "records could not be read"),
        }
        true
    }

    /// The records there are, decoded; waits a while for the first.
    fn read(
        &mut self,
        consumer: &GroupConsumer,
        mut records: Vec<Record>,
    ) -> Result<Vec<Record>, KafkaError> {
        let (most, most_bytes) = CHUNK;
        let mut bytes = 0;
        let mut wait = if records.is_empty() { POLL } else { Duration::ZERO };
        while records.len() < most && bytes < most_bytes {
            match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    records.extend(self.decode(&message));
                }
                // What was read before it is not lost for it.
                Some(Err(error)) => {
                    self.settings.ends.causes.said(&error, "");
                    if records.is_empty() {
                        return Err(error);
                    }
                    break;
                }
            }
            wait = Duration::ZERO;
        }
        Ok(records)
    }

    fn decode(&mut self, message: &BorrowedMessage<'_>) -> Option<Record> {
        let partition = message.partition().try_into().ok()?;
        self.watchdog.read(partition, message.offset() + 1);
        Some(Record::of_topic(partition, message))
    }

    fn change(&mut self, consumer: &GroupConsumer, change: Change) {
        match change {
            Change::Given(partitions) => {
                tracing::info!(
                    partitions = list(&partitions),
                    "partitions were given to this instance"
                );
                metrics::rebalanced(partitions.len());
                self.settings.ends.causes.give(Some(partitions.clone()));
                self.given = Some(partitions);
                self.epoch = self.handoff.next_epoch();
                self.start_at = Some(Instant::now());
            }
            Change::Taken => {
                tracing::info!("partitions were taken from this instance");
                metrics::rebalanced(0);
                self.release(consumer);
            }
        }
    }

    /// Gives up all partitions: lets the batch under way end, and commits what was applied.
    fn release(&mut self, consumer: &GroupConsumer) {
        self.epoch = self.handoff.next_epoch();
        self.given = None;
        self.settings.ends.causes.give(None);
        self.settings.guard.assign([]);
        self.held_back.clear();
        self.start_at = None;
        self.held.clear();
        self.watchdog = Watchdog::default();
        let settle =
            async { tokio::time::timeout(SETTLE, self.handoff.applying.lock()).await.is_ok() };
        let settled = self.runtime.block_on(settle);
        if settled {
            self.commit(consumer);
        }
        self.let_stop();
        if let Err(error) = consumer.unassign() {
            tracing::warn!(%error, "partitions could not be given up");
        }
    }

    /// To be called before the client is told again which partitions to read: told twice while it still stops reading
    /// one, librdkafka stops it twice, and ends the process by an assertion (`rktp_started`).
    fn let_stop(&mut self) {
        if let Some(rest) = self.told_at.and_then(|at| STOPPING.checked_sub(at.elapsed())) {
            std::thread::sleep(rest);
        }
        self.told_at = Some(Instant::now());
    }

    /// Tells Kafka how far the views are, with our note.
    fn commit(&mut self, consumer: &GroupConsumer) {
        self.committed_at = Instant::now();
        let applied = self.handoff.take_applied();
        if applied.is_empty() {
            return;
        }
        let topic = &self.settings.kafka.kafka_topic;
        let mut offsets = TopicPartitionList::with_capacity(applied.len());
        for (partition, applied) in applied {
            let mut offset = offsets.add_partition(topic, partition.into());
            let _ = offset.set_offset(Offset::Offset(applied.offset));
            offset.set_metadata(note(applied.position));
        }
        if let Err(error) = consumer.commit(&offsets, CommitMode::Async) {
            tracing::debug!(%error, "offsets were not committed to Kafka; the checkpoints have them");
        }
    }

    /// Hands over to the applying task. While that takes none, the partitions are paused and polling goes on, so that
    /// the group does not think this instance dead.
    fn deliver(&mut self, consumer: &GroupConsumer, message: Message) {
        let messages = self.messages.clone();
        let permit = self
            .runtime
            .block_on(async { tokio::time::timeout(PATIENCE, messages.reserve()).await });
        if let Ok(permit) = permit {
            if let Ok(permit) = permit {
                permit.send(message);
            }
            return;
        }
        // The list must not outlive the client: it is gone at the end of each block.
        if let Ok(ours) = consumer.assignment() {
            let _ = consumer.pause(&ours);
        }
        let mut held = Vec::new();
        while !self.shutdown.is_cancelled() {
            let soon = Duration::from_millis(10);
            let permit = self
                .runtime
                .block_on(async { tokio::time::timeout(soon, messages.reserve()).await });
            if let Ok(permit) = permit {
                if let Ok(permit) = permit {
                    permit.send(message);
                }
                break;
            }
            if let Some(Ok(message)) = consumer.poll(POLL) {
                let record = self.decode(&message);
                held.extend(record);
            }
            // Whatever it is, reading begins anew from the checkpoints.
            if consumer.context().has_news() {
                return;
            }
        }
        self.held.extend(held);
        self.watchdog.resume();
        if let Ok(ours) = consumer.assignment() {
            let _ = consumer.resume(&ours);
        }
    }

    /// Whether to go on with this client, as far as can be seen.
    fn watch(&mut self, consumer: &GroupConsumer) -> bool {
        let alarm =
            self.watchdog.look(consumer, &self.settings.kafka.kafka_topic, &self.settings.ends);
        match alarm {
            None => true,
            Some(Alarm::Trimmed(partition)) => {
                tracing::warn!(
                    partition,
                    "the topic lost records that were not read yet; looking into the log"
                );
                self.deliver(consumer, Message::Trimmed { epoch: self.epoch, partition });
                true
            }
            Some(Alarm::Stuck(partition)) => {
                REPLACED
                    .occurred(format_args!("it does not read what is in partition {partition}"));
                false
            }
        }
    }
}

/// Leaves the group. A client that can't (Kafka is away) is left behind.
fn leave(consumer: GroupConsumer) {
    consumer.context().close();
    let (left, done) = std::sync::mpsc::channel();
    let leaving = std::thread::Builder::new().name("leave-group".to_owned()).spawn(move || {
        drop(consumer);
        let _ = left.send(());
    });
    if leaving.is_ok() && done.recv_timeout(LEAVE).is_err() {
        tracing::warn!("the consumer group could not be left in {LEAVE:?}");
    }
}
