//! Reader of topic partitions. Anyone may have written to the topic: records that are not authentic
//! or not of this store are counted and skipped.

#[cfg(test)]
pub(super) mod tests;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use passbook_shared::cloud_event::{self, Decoded};
use passbook_shared::config::{BrokerErrors, KafkaConfig};
use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use passbook_shared::topic_record::authentication::TopicKeys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::error::RelayError;

/// Maximum time without a response from Kafka.
const SILENCE: Duration = Duration::from_secs(5);

/// Consumer with manual assignment, without group management.
pub(crate) struct Reader {
    consumer: BaseConsumer<BrokerErrors>,
    topic: String,
    store_id: Uuid,
    keys: TopicKeys,
}

/// Record that claims to be of this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnRecord {
    /// Offset in the topic.
    pub(crate) offset: i64,
    /// Position of its event in the log.
    pub(crate) position: i64,
    /// Id of its event.
    pub(crate) event_id: Uuid,
    /// Epoch in which the record was published.
    pub(crate) epoch: Epoch,
}

impl OwnRecord {
    /// Returns whether a relay can have written the record. Relays publish position by position, so
    /// no position exceeds the number of records up to it.
    pub(crate) fn is_plausible(&self) -> bool {
        self.position <= self.offset.saturating_add(1)
    }
}

/// Counts of skipped records, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PassedOver {
    /// Without a valid MAC, if the topic has a key.
    pub(crate) unauthentic: u64,
    /// Not decodable as an event.
    pub(crate) unreadable: u64,
    /// From another store.
    pub(crate) foreign: u64,
    /// One of the other stores.
    pub(crate) other_store: Option<Uuid>,
    /// From another partition.
    pub(crate) misplaced: u64,
    /// At a place where no relay can have written.
    pub(crate) out_of_order: u64,
}

/// Classified record.
pub(crate) enum Seen {
    /// Record that claims to be of this store and this partition.
    Own(OwnRecord, Box<Decoded>),
    /// Any other record, which was counted.
    Other,
}

impl Reader {
    /// Creates a reader that skips records without a MAC of one of `keys`.
    pub(crate) fn new(
        kafka: &KafkaConfig,
        store_id: Uuid,
        keys: TopicKeys,
    ) -> Result<Self, RelayError> {
        let consumer: BaseConsumer<_> = kafka
            .client("passbook-relay-tail")
            .set("group.id", "passbook-relay-tail")
            .set("enable.auto.commit", "false")
            // The end of a partition ends a scan, which would otherwise wait out its silence.
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("allow.auto.create.topics", "false")
            .set("fetch.wait.max.ms", "10")
            .set("queued.max.messages.kbytes", "8192")
            .create_with_context(BrokerErrors::new(kafka))?;
        kafka.authorize(consumer.client());
        Ok(Self { consumer, topic: kafka.kafka_topic.clone(), store_id, keys })
    }

    /// Returns the offset of the first record, and the offset after the last one.
    pub(crate) fn ends(&self, partition: Partition) -> Result<(i64, i64), RelayError> {
        Ok(self.consumer.fetch_watermarks(&self.topic, partition.into(), SILENCE)?)
    }

    /// Calls `see` with each record from offset `from` until `until`, in order. Stops early at the
    /// end of the partition or if `see` breaks. Blocks.
    pub(crate) fn scan(
        &self,
        partition: Partition,
        from: i64,
        until: i64,
        passed_over: &mut PassedOver,
        mut see: impl FnMut(Seen) -> ControlFlow<()>,
    ) -> Result<(), RelayError> {
        if from >= until {
            return Ok(());
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, partition.into(), Offset::Offset(from))?;
        self.consumer.assign(&assignment)?;
        let mut heard = Instant::now();
        while heard.elapsed() < SILENCE {
            let record = match self.consumer.poll(Duration::from_millis(100)) {
                None => continue,
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(()),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(record)) => record,
            };
            heard = Instant::now();
            if record.offset() >= until {
                return Ok(());
            }
            let seen = self.look(partition, &record, passed_over);
            // Stops at the last wanted offset, because no record may follow it for a long time.
            if see(seen).is_break() || record.offset() + 1 >= until {
                return Ok(());
            }
        }
        Err(RelayError::TailUnread { partition })
    }

    fn look(
        &self,
        partition: Partition,
        record: &impl Message,
        passed_over: &mut PassedOver,
    ) -> Seen {
        // First, because nothing of such a record may be believed.
        if self.keys.check(partition, record).is_err() {
            passed_over.unauthentic += 1;
            return Seen::Other;
        }
        let offset = record.offset();
        match cloud_event::decode(record.payload().unwrap_or_default()) {
            Ok(read) if read.store_id != self.store_id => {
                passed_over.foreign += 1;
                passed_over.other_store = Some(read.store_id);
            }
            Ok(read) if read.event.position.partition != partition => passed_over.misplaced += 1,
            Ok(read) => {
                let Decoded { event, epoch, .. } = &read;
                let (position, event_id, epoch) = (event.position.number, event.event_id, *epoch);
                return Seen::Own(OwnRecord { offset, position, event_id, epoch }, Box::new(read));
            }
            Err(error) => {
                passed_over.unreadable += 1;
                tracing::debug!(
                    partition = partition.get(),
                    offset,
                    error,
                    "a record of the topic is not an event"
                );
            }
        }
        Seen::Other
    }
}

impl PassedOver {
    /// Returns the number of skipped records.
    pub(crate) fn count(&self) -> u64 {
        self.unauthentic + self.unreadable + self.foreign + self.misplaced + self.out_of_order
    }

    /// Describes the skipped records for operators.
    pub(crate) fn summary(&self) -> String {
        let of = |count, what: String| (count > 0).then(|| format!("{count} {what}"));
        let other_store =
            self.other_store.map(|store| format!(" (such as {store})")).unwrap_or_default();
        let kinds = [
            of(self.unauthentic, "without a valid MAC".to_owned()),
            of(self.foreign, format!("of another store{other_store}")),
            of(self.unreadable, "that cannot be decoded".to_owned()),
            of(self.misplaced, "of another partition".to_owned()),
            of(self.out_of_order, "at positions that continue no others".to_owned()),
        ];
        kinds.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}
