//! Records of the topic from its beginning, each read once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use passbook_shared::cloud_event::{self, Decoded};
use passbook_shared::epoch::Epoch;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use uuid::Uuid;

use crate::environment::Environment;
use crate::infrastructure::PARTITIONS;

/// Record of the topic: epoch, position, event id.
pub(super) type Record = (Epoch, i64, Uuid);

pub(super) struct Topic {
    consumer: Arc<BaseConsumer>,
    name: String,
    /// Records read so far, by partition.
    pub(super) records: Vec<Vec<Record>>,
}

impl Topic {
    pub(super) fn of(environment: &Environment) -> anyhow::Result<Self> {
        let consumer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", &environment.kafka.brokers)
            .set("group.id", "facts")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "10")
            .create()?;
        let records = vec![Vec::new(); PARTITIONS.get().into()];
        Ok(Self { consumer: Arc::new(consumer), name: environment.topic.clone(), records })
    }

    /// Reads on to the present end of the topic.
    pub(super) async fn read(&mut self) -> anyhow::Result<()> {
        let (consumer, name) = (Arc::clone(&self.consumer), self.name.clone());
        let mut records = std::mem::take(&mut self.records);
        let read = move || {
            let done = read_to_end(&consumer, &name, &mut records);
            (records, done)
        };
        let (records, done) = tokio::task::spawn_blocking(read).await?;
        self.records = records;
        done
    }
}

fn read_to_end(
    consumer: &BaseConsumer,
    topic: &str,
    records: &mut [Vec<Record>],
) -> anyhow::Result<()> {
    let (mut unread, mut due) = (TopicPartitionList::new(), 0);
    for (partition, known) in (0..).zip(&*records) {
        let (low, high) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(5))?;
        let next = i64::try_from(known.len())?;
        ensure!(
            low == 0 && next <= high,
            "partition {partition} has offsets {low} to {high}, {next} is next"
        );
        if next < high {
            due += high - next;
            unread.add_partition_offset(topic, partition, Offset::Offset(next))?;
        }
    }
    consumer.assign(&unread)?;
    while due > 0 {
        let record = consumer.poll(Duration::from_secs(10)).context("records are missing")??;
        let decoded = cloud_event::decode(record.payload().unwrap_or_default());
        let Decoded { event, epoch, .. } = decoded.map_err(anyhow::Error::msg)?;
        let known = &mut records[usize::try_from(record.partition())?];
        let offset = record.offset();
        ensure!(offset == i64::try_from(known.len())?, "offset {offset} is not next");
        known.push((epoch, event.position.number, event.event_id));
        due -= 1;
    }
    Ok(())
}
