//! Where the topic ends: the position in the last record of each partition.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use passbook_shared::cloud_event;
use passbook_shared::config::KafkaConfig;
use passbook_shared::partition::Partition;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::error::RelayError;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Where a partition of the topic ends.
pub(super) struct End {
    /// The position number in its last record; 0 if it holds none of ours.
    pub(super) position: i64,
    /// The offset after its last record.
    pub(super) offset: i64,
}

/// Reads where each of these partitions ends.
pub(super) async fn read(
    kafka: KafkaConfig,
    store_id: Uuid,
    partitions: Vec<Partition>,
) -> Result<BTreeMap<Partition, End>, RelayError> {
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = kafka
            .client("passbook-relay-tail")
            .set("group.id", "passbook-relay-tail")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "10")
            .create()?;
        let tail = Tail { consumer, topic: kafka.kafka_topic, store_id };
        partitions.into_iter().map(|partition| Ok((partition, tail.of(partition)?))).collect()
    })
    .await?
}

struct Tail {
    consumer: BaseConsumer,
    topic: String,
    store_id: Uuid,
}

impl Tail {
    /// Looks at the last record, and ever further back while what it sees is not an event of ours.
    fn of(&self, partition: Partition) -> Result<End, RelayError> {
        let (low, high) = self.consumer.fetch_watermarks(&self.topic, partition.into(), TIMEOUT)?;
        let mut back = 1;
        loop {
            let from = low.max(high - back);
            if let Some(position) = self.last_between(partition, from, high)? {
                return Ok(End { position, offset: high });
            }
            if from == low {
                return Ok(End { position: 0, offset: high });
            }
            back *= 16;
        }
    }

    fn last_between(&self, partition: Partition, from: i64, high: i64) -> Result<Option<i64>, RelayError> {
        if from >= high {
            return Ok(None);
        }
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(&self.topic, partition.into(), Offset::Offset(from))?;
        self.consumer.assign(&assignment)?;
        let deadline = Instant::now() + TIMEOUT;
        let mut last = None;
        while Instant::now() < deadline {
            let record = match self.consumer.poll(Duration::from_millis(100)) {
                None => continue,
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(last),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(record)) => record,
            };
            match cloud_event::decode(record.payload().unwrap_or_default()) {
                Ok(read) if read.store_id != self.store_id => {
                    let (theirs, ours) = (read.store_id, self.store_id);
                    return Err(RelayError::ForeignStore { partition, theirs, ours });
                }
                Ok(read) => last = Some(read.event.position.number),
                Err(error) => {
                    tracing::warn!(partition, offset = record.offset(), error, "a record of the topic is not ours")
                }
            }
            if record.offset() + 1 >= high {
                return Ok(last);
            }
        }
        Err(RelayError::TailUnread { partition })
    }
}
