//! What the log has and what the topic has, read from both: who follows the topic by the rules must get to where the log is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use passbook_shared::cloud_event::{self, Decoded};
use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use passbook_shared::store_description::StoreDescription;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::client::Client;
use crate::ground::PARTITIONS;
use crate::process::eventually;
use crate::site::Site;

/// A record of the topic: epoch, position, event.
type Record = (Epoch, i64, Uuid);

pub(super) struct Facts {
    connection: PgConnection,
    consumer: Arc<BaseConsumer>,
    topic: String,
    /// The records read so far, by partition: all from the first on.
    records: Vec<Vec<Record>>,
    /// The log when it was last looked for forks.
    compared: Vec<Vec<Uuid>>,
}

impl Facts {
    pub(super) async fn of(site: &Site) -> anyhow::Result<Self> {
        let connection = PgConnection::connect(&site.database_url).await?;
        let mut config = rdkafka::ClientConfig::new();
        config
            .set("bootstrap.servers", &site.kafka.brokers)
            .set("group.id", "facts")
            .set("enable.auto.commit", "false");
        let consumer = Arc::new(config.set("fetch.wait.max.ms", "10").create()?);
        Ok(Self {
            connection,
            consumer,
            topic: site.topic.clone(),
            records: vec![Vec::new(); PARTITIONS.into()],
            compared: Vec::new(),
        })
    }

    pub(super) async fn store(client: &Client) -> anyhow::Result<StoreDescription> {
        Ok(serde_json::from_value(client.json("/v1/store").await?)?)
    }

    /// The ids of the log's events, by partition.
    async fn log(&mut self) -> anyhow::Result<Vec<Vec<Uuid>>> {
        let sql = "SELECT partition, position, event_id FROM passbook.events ORDER BY partition, position";
        let rows: Vec<(Partition, i64, Uuid)> =
            sqlx::query_as(sql).fetch_all(&mut self.connection).await?;
        let mut log = vec![Vec::new(); PARTITIONS.into()];
        for (partition, position, event_id) in rows {
            let events = &mut log[usize::from(partition.unsigned_abs())];
            events.push(event_id);
            ensure!(
                i64::try_from(events.len())? == position,
                "{partition}-{position} follows on nothing"
            );
        }
        let sql =
            "SELECT count(*) FROM (SELECT version, row_number() OVER (PARTITION BY account_id ORDER BY version) AS n
                                           FROM passbook.events) AS e WHERE version <> n";
        let holes: i64 = sqlx::query_scalar(sql).fetch_one(&mut self.connection).await?;
        ensure!(holes == 0, "versions are not dense");
        Ok(log)
    }

    /// The topic up to where it ends now.
    async fn topic(&mut self) -> anyhow::Result<&[Vec<Record>]> {
        let (consumer, topic) = (Arc::clone(&self.consumer), self.topic.clone());
        let mut records = self.records.clone();
        let read = move || {
            let (mut all, mut ends) = (TopicPartitionList::new(), Vec::new());
            for (partition, known) in (0..).zip(&records) {
                let (low, high) =
                    consumer.fetch_watermarks(&topic, partition, Duration::from_secs(5))?;
                let next = i64::try_from(known.len())?;
                ensure!(
                    low == 0 && next <= high,
                    "partition {partition} has offsets {low} to {high}, {next} was next"
                );
                ends.push(high);
                if next < high {
                    all.add_partition_offset(&topic, partition, Offset::Offset(next))?;
                }
            }
            consumer.assign(&all)?;
            let is_behind = |(known, end): (&Vec<Record>, &i64)| {
                known.len() < usize::try_from(*end).unwrap_or_default()
            };
            while records.iter().zip(&ends).any(is_behind) {
                let record =
                    consumer.poll(Duration::from_secs(10)).context("records are missing")??;
                let read = cloud_event::decode(record.payload().unwrap_or_default())
                    .map_err(anyhow::Error::msg)?;
                let Decoded { event, epoch, .. } = read;
                let known = &mut records[usize::try_from(record.partition())?];
                ensure!(
                    record.offset() == i64::try_from(known.len())?,
                    "offset {} is not next",
                    record.offset()
                );
                known.push((epoch, event.position.number, event.event_id));
            }
            Ok(records)
        };
        self.records = tokio::task::spawn_blocking(read).await??;
        Ok(&self.records)
    }

    /// The partitions of which the topic has what the log has not, by the epoch and the restores the store knows.
    pub(super) async fn forked(&mut self, client: &Client) -> anyhow::Result<BTreeSet<Partition>> {
        // In this order: the topic is never ahead of a log that was not restored.
        let topic = self.topic().await?.to_vec();
        let (store, log) = (Self::store(client).await?, self.log().await?);
        let mut forked = BTreeSet::new();
        for ((partition, records), log) in (0..).zip(topic).zip(&log) {
            let restores = store.restores_of(partition);
            let is_behind = |(epoch, position, event): Record| {
                let in_log = usize::try_from(position - 1).ok().and_then(|index| log.get(index));
                !restores.gave_up(epoch, position)
                    && (epoch > store.epoch || in_log != Some(&event))
            };
            if records.into_iter().any(is_behind) {
                forked.insert(partition);
            }
        }
        self.compared = log;
        Ok(forked)
    }

    /// Describes a partition as it was when it was last compared: the records near those that are not the log's, and the last
    /// ones.
    pub(super) fn describe(&self, partition: Partition, store: &StoreDescription) -> String {
        let index = usize::from(partition.unsigned_abs());
        let (restores, log) = (store.restores_of(partition), &self.compared[index]);
        let records = &self.records[index];
        let state = |&(epoch, position, event): &Record| {
            let in_log = usize::try_from(position - 1).ok().and_then(|index| log.get(index));
            match in_log {
                _ if restores.gave_up(epoch, position) => "given up",
                _ if epoch > store.epoch => "OF A LATER EPOCH",
                Some(id) if *id == event => "in the log",
                Some(_) => "NOT THE LOG'S",
                None => "BEYOND THE LOG",
            }
        };
        let is_odd = |record: &Record| state(record).starts_with(char::is_uppercase);
        let mut described =
            format!("epoch {}; the log ends at {}; the topic:", store.epoch, log.len());
        for (offset, record) in records.iter().enumerate() {
            let near = &records[offset.saturating_sub(4)..records.len().min(offset + 4)];
            if near.iter().any(is_odd) || offset + 8 > records.len() {
                let (epoch, position, event) = record;
                let state = state(record);
                described += &format!("\n{offset}: epoch {epoch}, {position}, {event}: {state}");
            }
        }
        described
    }

    /// Waits until whoever reads the topic from its beginning, and takes what is next and was not given up, has what the log
    /// has now.
    pub(super) async fn until_followed(&mut self, client: &Client) -> anyhow::Result<()> {
        let due: Vec<usize> = self.log().await?.iter().map(Vec::len).collect();
        let this = tokio::sync::Mutex::new(self);
        eventually("the topic leads to where the log is", async || {
            let mut this = this.lock().await;
            let topic = this.topic().await?.to_vec();
            let (store, log) = (Self::store(client).await?, this.log().await?);
            for ((partition, records), (log, due)) in (0..).zip(topic).zip(log.iter().zip(&due)) {
                let restores = store.restores_of(partition);
                let mut followed = Vec::new();
                for (epoch, position, event) in records {
                    if !restores.gave_up(epoch, position)
                        && usize::try_from(position)? == followed.len() + 1
                    {
                        followed.push(event);
                    }
                }
                ensure!(
                    log.starts_with(&followed),
                    "partition {partition} leads to another log: {store:?}"
                );
                ensure!(
                    followed.len() >= *due,
                    "partition {partition} leads to {} of {due}",
                    followed.len()
                );
            }
            Ok(())
        })
        .await
    }
}
