//! Beginning to read partitions where their checkpoints stand.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use passbook_shared::partition::Partition;
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::Reader;
use crate::consumer::client::GroupConsumer;
use crate::consumer::link::Parcel;
use crate::store::checkpoints::{self, Checkpoint};
use crate::store::source;

const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);

impl Reader {
    /// Begins with the partitions that were given, or says why not and leaves it to be tried again.
    pub(super) fn start(&mut self, consumer: &GroupConsumer) {
        let Some(given) = self.given.clone() else {
            self.start_at = None;
            return;
        };
        match self.try_start(consumer, &given) {
            Ok(parcel) => {
                self.start_at = None;
                self.settings.ends.has_started();
                self.settings.health.ok("consumer");
                self.deliver(consumer, parcel);
            }
            Err(error) => {
                self.settings.health.degraded("consumer", format!("reading can't begin yet: {error:#}"));
                self.start_at = Some(Instant::now() + RETRY);
            }
        }
    }

    fn try_start(&mut self, consumer: &GroupConsumer, given: &[Partition]) -> anyhow::Result<Parcel> {
        let topic = &self.settings.kafka.kafka_topic;
        let partitions = of_topic(consumer, topic)?;
        let all = self
            .runtime
            .block_on(async { tokio::time::timeout(STORE_TIMEOUT, load(&self.settings.database, partitions)).await });
        let mut checkpoints = all.context("Postgres does not answer")??;
        checkpoints.retain(|checkpoint| given.contains(&checkpoint.partition));

        let mut from = TopicPartitionList::with_capacity(checkpoints.len());
        for checkpoint in &checkpoints {
            let offset = checkpoint.kafka_offset.map_or(Offset::Beginning, Offset::Offset);
            from.add_partition_offset(topic, checkpoint.partition.into(), offset)?;
        }
        consumer.assign(&from)?;
        self.held.clear();
        self.watchdog.begin(&checkpoints);
        tracing::info!(partitions = checkpoints.len(), "reading goes on from the checkpoints");
        Ok(Parcel::Assigned { epoch: self.epoch, checkpoints, partitions })
    }
}

fn of_topic(consumer: &GroupConsumer, topic: &str) -> anyhow::Result<Partition> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT).context("Kafka does not answer")?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    if partitions == 0 {
        bail!("the topic {topic} does not exist");
    }
    Partition::try_from(partitions).with_context(|| format!("the topic {topic} has {partitions} partitions"))
}

async fn load(database: &PgConnectOptions, partitions: Partition) -> anyhow::Result<Vec<Checkpoint>> {
    let mut connection = database.clone().application_name("passbook-projection-start").connect().await?;
    if let Some(ours) = source::find(&mut connection).await?.filter(|ours| ours.partitions != partitions) {
        bail!(
            "the topic has {partitions} partitions, the log of the views has {}: nothing is applied. Is KAFKA_TOPIC \
             another installation's?",
            ours.partitions
        );
    }
    checkpoints::ensure(&mut connection, partitions).await?;
    Ok(checkpoints::all(&mut connection).await?)
}
