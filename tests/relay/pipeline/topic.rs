//! The topic's records: read, awaited, and forged.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use passbook_shared::cloud_event::{self, Decoded};
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::timestamp::Timestamp;
use passbook_shared::topic_record;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use uuid::Uuid;

use super::{Pipeline, TOPIC};
use crate::pipeline::PARTITIONS;

/// Header of records that no relay has written.
const FORGED: &str = "forged";

impl Pipeline {
    /// Reads the records of this store in the topic, by partition, in the topic's order.
    pub(crate) async fn records(&self) -> BTreeMap<Partition, Vec<Decoded>> {
        let mut config = self.kafka().client("test");
        config.set("group.id", "test").set("enable.partition.eof", "false");
        let own_store = self.store.store_id;
        tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().unwrap();
            let mut all = TopicPartitionList::new();
            let mut due = 0;
            for partition in PARTITIONS.all().map(i32::from) {
                let (low, high) =
                    consumer.fetch_watermarks(TOPIC, partition, Duration::from_secs(5)).unwrap();
                due += high - low;
                all.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
            }
            consumer.assign(&all).unwrap();
            let mut records: BTreeMap<Partition, Vec<Decoded>> = BTreeMap::new();
            while due > 0 {
                let record = consumer.poll(Duration::from_secs(10)).unwrap().unwrap();
                due -= 1;
                let partition = Partition::try_from(record.partition()).unwrap();
                let Ok(read) = cloud_event::decode(record.payload().unwrap_or_default()) else {
                    continue;
                };
                if read.store_id == own_store && read.event.position.partition == partition {
                    let headers = record.headers().unwrap();
                    if headers.get(0).key != FORGED {
                        assert_relay_format(&record, headers, &read);
                    }
                    records.entry(partition).or_default().push(read);
                }
            }
            records
        })
        .await
        .unwrap()
    }

    /// Reads the position numbers of this store's records, by partition.
    pub(crate) async fn topic(&self) -> BTreeMap<Partition, Vec<i64>> {
        let positions =
            |records: Vec<Decoded>| records.iter().map(|read| read.event.position.number).collect();
        self.records()
            .await
            .into_iter()
            .map(|(partition, records)| (partition, positions(records)))
            .collect()
    }

    /// Waits until the last record of this store in a partition has a position.
    pub(crate) async fn is_mirrored_by(&self, partition: Partition, position: i64) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let last = self.topic().await.get(&partition).and_then(|all| all.last().copied());
            if last == Some(position) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "partition {partition} ends at {last:?}, not at {position}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until each partition of the topic ends with the log's last event.
    pub(crate) async fn mirrored(&self) {
        let sql = "SELECT partition, position FROM passbook.log_head WHERE position > 0
                    ORDER BY partition";
        let heads: Vec<(Partition, i64)> = sqlx::query_as(sql).fetch_all(&self.pool).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let topic = self.topic().await;
            let tails: Vec<(Partition, i64)> =
                topic.iter().map(|(p, all)| (*p, *all.last().unwrap())).collect();
            if tails == heads {
                return;
            }
            assert!(Instant::now() < deadline, "log {heads:?}, topic {tails:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Writes a record that is not the relay's.
    pub(crate) async fn write(&self, partition: Partition, key: &str, value: &[u8]) {
        self.write_all(partition, &[(key.to_owned(), value.to_vec())]).await;
    }

    pub(crate) async fn write_all(&self, partition: Partition, records: &[(String, Vec<u8>)]) {
        let producer: FutureProducer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", self.broker.address())
            .create()
            .unwrap();
        let sent = records.iter().map(|(key, value)| {
            let forged = OwnedHeaders::new().insert(Header { key: FORGED, value: Some("") });
            let record = FutureRecord::to(TOPIC)
                .partition(partition.into())
                .key(key)
                .payload(value)
                .headers(forged);
            producer.send(record, Duration::from_secs(10))
        });
        futures_util::future::try_join_all(sent).await.unwrap();
    }

    /// Writes an event as the relay of the given store and epoch would.
    pub(crate) async fn forge(
        &self,
        partition: Partition,
        event: &RecordedEvent,
        store_id: Uuid,
        epoch: i32,
    ) {
        self.write_all(partition, &[record_of(event, store_id, epoch)]).await;
    }

    /// Writes events of this store in the given order.
    pub(crate) async fn repeat(
        &self,
        partition: Partition,
        events: impl Iterator<Item = &RecordedEvent>,
    ) {
        let records: Vec<_> =
            events.map(|event| record_of(event, self.store.store_id, 0)).collect();
        self.write_all(partition, &records).await;
    }
}

/// Checks key, headers and timestamp of a relay's record.
fn assert_relay_format(record: &BorrowedMessage<'_>, headers: &BorrowedHeaders, read: &Decoded) {
    assert_eq!(record.key().unwrap(), read.event.account_id.to_string().as_bytes());
    let content_type = headers.get(0);
    let structured = ("content-type", Some(&b"application/cloudevents+json"[..]));
    assert_eq!((content_type.key, content_type.value), structured);
    let published_at = topic_record::published_at(record).unwrap().as_millis();
    let timestamp = read.event.recorded_at.as_millis().min(published_at);
    assert!(timestamp <= Timestamp::now().as_millis());
    assert_eq!(record.timestamp().to_millis(), Some(timestamp));
}

fn record_of(event: &RecordedEvent, store_id: Uuid, epoch: i32) -> (String, Vec<u8>) {
    let mut document = Vec::new();
    cloud_event::encode(event, store_id, epoch, &mut document).unwrap();
    (event.account_id.to_string(), document)
}
