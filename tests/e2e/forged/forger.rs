//! A writer to the topic that is no relay.

use std::time::Duration;

use anyhow::{Context, ensure};
use passbook_shared::cloud_event;
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::json;
use serde_json::value::RawValue;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::client::Client;
use crate::environment::Environment;
use crate::infrastructure::PARTITIONS;
use crate::invariants::read_log;
use crate::process::eventually;

/// Producer of records with write access to the topic.
pub(crate) struct Forger {
    topic: String,
    brokers: String,
    producer: FutureProducer,
    pub(crate) store: Uuid,
}

impl Forger {
    pub(crate) async fn new(environment: &Environment) -> anyhow::Result<Self> {
        let mut connection = PgConnection::connect(&environment.database_url).await?;
        let store = sqlx::query_scalar("SELECT store_id FROM passbook.store")
            .fetch_one(&mut connection)
            .await?;
        let producer = rdkafka::ClientConfig::new()
            .set("bootstrap.servers", &environment.kafka.brokers)
            .create()?;
        let (topic, brokers) = (environment.topic.clone(), environment.kafka.brokers.clone());
        Ok(Self { topic, brokers, producer, store })
    }

    pub(super) async fn write(&self, partition: Partition, document: &[u8]) -> anyhow::Result<()> {
        self.write_with(partition, b"", document, OwnedHeaders::new()).await
    }

    pub(super) async fn write_with(
        &self,
        partition: Partition,
        key: &[u8],
        document: &[u8],
        headers: OwnedHeaders,
    ) -> anyhow::Result<()> {
        let record = FutureRecord::to(&self.topic).partition(partition.into()).headers(headers);
        let record = record.key(key).payload(document);
        self.producer.send(record, Duration::from_secs(30)).await.map_err(|(error, _)| error)?;
        Ok(())
    }

    /// Reads a record of the topic.
    pub(super) async fn read(
        &self,
        partition: Partition,
        offset: i64,
    ) -> anyhow::Result<OwnedMessage> {
        let (topic, brokers) = (self.topic.clone(), self.brokers.clone());
        let read = move || {
            let consumer: BaseConsumer = rdkafka::ClientConfig::new()
                .set("bootstrap.servers", brokers)
                .set("group.id", "forger")
                .create()?;
            let mut from = TopicPartitionList::new();
            from.add_partition_offset(&topic, partition.into(), Offset::Offset(offset))?;
            consumer.assign(&from)?;
            let record = consumer.poll(Duration::from_secs(10)).context("no record")??;
            Ok(record.detach())
        };
        tokio::task::spawn_blocking(read).await?
    }

    /// Writes an event as the relay of the given store and epoch would.
    pub(super) async fn event(
        &self,
        partition: Partition,
        event: &RecordedEvent,
        store: Uuid,
        epoch: i32,
    ) -> anyhow::Result<()> {
        let mut document = Vec::new();
        cloud_event::encode(event, store, epoch, &mut document)?;
        self.write(partition, &document).await
    }

    /// Returns the log's newest event in the partition of an account, once the topic has it. Before
    /// the relay has published anything, a forged event would be a fork.
    pub(super) async fn newest(
        &self,
        commands: &Client,
        account: Uuid,
    ) -> anyhow::Result<RecordedEvent> {
        let partition = partition_of(account, PARTITIONS);
        let newest =
            read_log(commands).await?.swap_remove(partition.index()).pop().context("no event")?;
        eventually("the topic has the log's newest event", async || {
            let (topic, producer) = (self.topic.clone(), self.producer.clone());
            let ends = move || {
                producer.client().fetch_watermarks(&topic, partition.into(), Duration::from_secs(5))
            };
            let (_, end) = tokio::task::spawn_blocking(ends).await??;
            ensure!(end >= newest.position.number, "the topic ends at offset {end}");
            Ok(())
        })
        .await?;
        Ok(newest)
    }

    /// Writes a deposit that seems to follow on an event.
    pub(crate) async fn next(
        &self,
        last: &RecordedEvent,
        amount: i64,
    ) -> anyhow::Result<RecordedEvent> {
        let forged = deposit(last, 1, amount);
        self.event(forged.position.partition, &forged, self.store, 0).await?;
        Ok(forged)
    }
}

/// Returns a deposit `further` positions and versions after an event of its account.
pub(super) fn deposit(last: &RecordedEvent, further: i64, amount: i64) -> RecordedEvent {
    let Position { partition, number } = last.position;
    RecordedEvent {
        event_id: Uuid::new_v4(),
        event_type: "MoneyDeposited".to_owned(),
        version: last.version + further,
        position: Position { partition, number: number + further },
        schema_version: 1,
        data: RawValue::from_string(json!({ "amount": amount }).to_string()).unwrap_or_default(),
        ..last.clone()
    }
}
