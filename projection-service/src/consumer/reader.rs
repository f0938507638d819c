//! Thread that polls the Kafka client, decodes records and delivers them to the applier. It also
//! handles assignments and commits offsets.
//!
//! Offsets in Kafka serve lag tools and operators. Reading resumes from the checkpoints, and
//! positions alone decide which events are applied.

use std::sync::Arc;
use std::time::{Duration, Instant};

use passbook_shared::fault::Fault;
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::topic_record::authentication::TopicKeys;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message as _};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Consumer;
use super::causes::explain;
use super::client::{Change, GroupConsumer, group_consumer};
use super::handoff::{Handoff, Message};
use super::record::Record;
use crate::metrics;

mod delivery;
mod leaving;
mod offsets;
mod resets;
mod start;
mod watchdog;
use leaving::leave;
use watchdog::{Alarm, Watchdog};

/// Maximum wait for a record, which bounds the delay of all other work of the thread.
const POLL: Duration = Duration::from_millis(100);
/// Maximum number and total size in bytes of the records in a chunk.
const CHUNK: (usize, usize) = (1_000, 1 << 20);
/// Interval of commits of offsets to Kafka.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// Time for which the applier may accept no message before the partitions are paused.
const PATIENCE: Duration = Duration::from_secs(1);
static REPLACED: Fault = Fault::new("the Kafka client can't continue and is replaced");

/// Formats partitions as in `0, 1, 7`.
fn list(partitions: &[Partition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[derive(Debug)]
pub(super) struct Reader {
    settings: Consumer,
    keys: TopicKeys,
    handoff: Arc<Handoff>,
    messages: mpsc::Sender<Message>,
    runtime: Handle,
    shutdown: CancellationToken,
    epoch: u64,
    /// Partitions assigned by the group.
    given: Option<Vec<Partition>>,
    /// Time at which to start reading them; `None` once reading has begun.
    start_at: Option<Instant>,
    /// Assigned partitions that a rewind has locked.
    held_back: Vec<Partition>,
    looked_at: Instant,
    /// Records polled while the applier accepted no message.
    held: Vec<Record>,
    watchdog: Watchdog,
    committed_at: Instant,
    /// Time at which partitions were last assigned to the client or unassigned.
    assigned_at: Option<Instant>,
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
            keys: settings.kafka.topic_keys(),
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
            assigned_at: None,
        }
    }

    /// Reads until the shutdown.
    ///
    /// # Errors
    /// The client rejects a setting.
    pub(super) fn run(mut self) -> anyhow::Result<()> {
        while !self.shutdown.is_cancelled() {
            // Each further round has a new client, because the last one could not continue.
            let Consumer { kafka, group, group_instance, ends, .. } = &self.settings;
            let consumer = group_consumer(kafka, group, group_instance.as_deref(), ends)?;
            consumer.subscribe(&[&kafka.kafka_topic])?;
            while !self.shutdown.is_cancelled() && self.turn(&consumer) {}
            self.release(&consumer);
            // Leaving the group also stops the reading of partitions.
            self.let_stop();
            leave(consumer);
        }
        Ok(())
    }

    /// Handles pending work, then reads records. Returns whether the client can still be used.
    fn turn(&mut self, consumer: &GroupConsumer) -> bool {
        // Changes come first, so that all other work sees the current assignment.
        while let Some(change) = consumer.context().next() {
            self.change(consumer, change);
        }
        if self.given.is_some()
            // `|` instead of `||`: the flag of the guard is reset in either case.
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
        // Records polled during a delivery precede those that the client has now.
        let records = std::mem::take(&mut self.held);
        match self.read(consumer, records) {
            Ok(records) if records.is_empty() => {}
            Ok(records) => self.deliver(consumer, Message::Records { epoch: self.epoch, records }),
            Err(KafkaError::MessageConsumptionFatal(error)) => {
                REPLACED.occurred(explain(&KafkaError::MessageConsumptionFatal(error)));
                // A possible cause is two instances with the same KAFKA_GROUP_INSTANCE.
                std::thread::sleep(PATIENCE);
                return false;
            }
            // The client retries transient errors, and `topic_watch` reports an outage.
            Err(error) => tracing::debug!(%error, "records could not be read"),
        }
        true
    }

    /// Reads and decodes available records; waits up to `POLL` for the first.
    fn read(
        &mut self,
        consumer: &GroupConsumer,
        mut records: Vec<Record>,
    ) -> Result<Vec<Record>, KafkaError> {
        let (most, most_bytes) = CHUNK;
        let mut bytes = 0;
        // Held records are delivered without waiting for more.
        let mut wait = if records.is_empty() { POLL } else { Duration::ZERO };
        while records.len() < most && bytes < most_bytes {
            match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    bytes += message.payload_len();
                    records.extend(self.decode(&message));
                }
                // Records read before the error are delivered first.
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
        Some(Record::of_topic(partition, message, &self.keys))
    }

    fn change(&mut self, consumer: &GroupConsumer, change: Change) {
        match change {
            Change::Given(partitions) => {
                tracing::info!(
                    partitions = list(&partitions),
                    "partitions were assigned to this instance"
                );
                metrics::rebalanced(partitions.len());
                self.settings.ends.causes.give(Some(partitions.clone()));
                self.given = Some(partitions);
                self.epoch = self.handoff.next_epoch();
                self.start_at = Some(Instant::now());
            }
            Change::Taken => {
                tracing::info!("partitions of this instance were revoked");
                metrics::rebalanced(0);
                self.release(consumer);
            }
        }
    }

    /// Returns whether the client still reads what the topic has.
    fn watch(&mut self, consumer: &GroupConsumer) -> bool {
        let alarm =
            self.watchdog.look(consumer, &self.settings.kafka.kafka_topic, &self.settings.ends);
        match alarm {
            None => true,
            Some(Alarm::Trimmed(partition)) => {
                tracing::warn!(
                    partition = partition.get(),
                    "the topic lost unread records: reading them from the log"
                );
                self.deliver(consumer, Message::Trimmed { epoch: self.epoch, partition });
                true
            }
            Some(Alarm::Stuck(partition)) => {
                REPLACED.occurred(format_args!(
                    "it does not read the records of partition {partition}"
                ));
                false
            }
        }
    }
}
