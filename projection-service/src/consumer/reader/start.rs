//! Beginning to read partitions where their checkpoints stand.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use passbook_shared::partition::Partition;
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use thiserror::Error;
use tokio::time::timeout;

use super::Reader;
use crate::consumer::applier::other_log;
use crate::consumer::client::GroupConsumer;
use crate::consumer::link::{Applied, Parcel};
use crate::feed::Feed;
use crate::store::checkpoints::{self, Checkpoint};
use crate::store::{generations, source};

const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(500);
/// How often to look whether partitions that a replay holds can be read again.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
                let reason = format!("reading can't begin: {error:#}");
                match error.is::<Refused>() {
                    true => self.settings.health.failing("consumer", reason),
                    false => self.settings.health.degraded("consumer", reason),
                }
                self.start_at = Some(Instant::now() + RETRY);
            }
        }
    }

    fn try_start(&mut self, consumer: &GroupConsumer, given: &[Partition]) -> anyhow::Result<Parcel> {
        let topic = &self.settings.kafka.kafka_topic;
        let partitions = of_topic(consumer, topic)?;
        let (mut connection, mut checkpoints) = self.in_time(load(&self.settings.database, partitions))?;
        self.heed_resets(consumer, &mut connection, &checkpoints)?;
        checkpoints.retain(|checkpoint| given.contains(&checkpoint.partition));
        let free = self.in_time(checkpoints::free(&mut connection))?;
        self.held_back = given.iter().copied().filter(|partition| !free.contains(partition)).collect();
        self.looked_at = Instant::now();
        checkpoints.retain(|checkpoint| free.contains(&checkpoint.partition));
        self.runtime.block_on(same_log(&self.settings.feed, &checkpoints))?;

        let mut from = TopicPartitionList::with_capacity(checkpoints.len());
        for checkpoint in &checkpoints {
            let offset = checkpoint.kafka_offset.map_or(Offset::Beginning, Offset::Offset);
            from.add_partition_offset(topic, checkpoint.partition.into(), offset)?;
        }
        self.let_stop();
        consumer.assign(&from)?;
        self.held.clear();
        self.link.forget_applied();
        // So that Kafka has them, whatever became of earlier commits.
        self.link.note(checkpoints.iter().filter_map(|checkpoint| {
            Some((checkpoint.partition, Applied { offset: checkpoint.kafka_offset?, position: checkpoint.position }))
        }));
        self.watchdog.begin(&checkpoints);
        tracing::info!(
            partitions = checkpoints.len(),
            held_back = super::list(&self.held_back),
            "reading goes on from the checkpoints"
        );
        Ok(Parcel::Assigned { epoch: self.epoch, checkpoints, partitions })
    }

    /// Begins anew once a partition can be read that could not: a replay has let go of it.
    pub(super) fn look_at_held_back(&mut self) {
        if self.held_back.is_empty() || self.looked_at.elapsed() < LOOK_EVERY {
            return;
        }
        self.looked_at = Instant::now();
        let database = self.settings.database.clone().application_name("passbook-projection-start");
        let free = self.in_time(async {
            let mut connection = generations::connect_live(&database).await?;
            checkpoints::free(&mut connection).await
        });
        if free.is_ok_and(|free| self.held_back.iter().any(|partition| free.contains(partition))) {
            self.epoch = self.link.next_epoch();
            self.start_at = Some(Instant::now());
        }
    }

    /// What Postgres answers, within the time it may take.
    pub(super) fn in_time<T, E>(&self, asked: impl Future<Output = Result<T, E>>) -> anyhow::Result<T>
    where
        anyhow::Error: From<E>,
    {
        let answer = async { timeout(STORE_TIMEOUT, asked).await.context("Postgres does not answer") };
        Ok(self.runtime.block_on(answer)??)
    }
}

/// What is there is not what the views are of: it won't pass by itself.
#[derive(Debug, Error)]
#[error("{0}")]
struct Refused(String);

/// Whether the log still has the events that were applied last. If it can't be asked, the records will tell.
async fn same_log(feed: &Feed, checkpoints: &[Checkpoint]) -> anyhow::Result<()> {
    for Checkpoint { partition, position, event_id, .. } in checkpoints {
        let Some(applied) = event_id else { continue };
        let event = match feed.event_at(*partition, *position).await {
            Ok(event) => event,
            Err(error) => {
                tracing::debug!(%error, "the log can't be asked for the events applied last");
                return Ok(());
            }
        };
        if event.is_none_or(|event| event.event_id != *applied) {
            bail!(Refused(other_log(*partition, *position)));
        }
    }
    Ok(())
}

fn of_topic(consumer: &GroupConsumer, topic: &str) -> anyhow::Result<Partition> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT).context("Kafka does not answer")?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    if partitions == 0 {
        bail!("the topic {topic} does not exist");
    }
    Partition::try_from(partitions).with_context(|| format!("the topic {topic} has {partitions} partitions"))
}

async fn load(database: &PgConnectOptions, partitions: Partition) -> anyhow::Result<(PgConnection, Vec<Checkpoint>)> {
    let database = database.clone().application_name("passbook-projection-start");
    let mut connection = generations::connect_live(&database).await?;
    if let Some(ours) = source::find(&mut connection).await?.filter(|ours| ours.partitions != partitions) {
        bail!(Refused(format!(
            "the topic has {partitions} partitions, the log of the views has {}: nothing is applied. Is KAFKA_TOPIC \
             another installation's?",
            ours.partitions
        )));
    }
    checkpoints::ensure(&mut connection, partitions).await?;
    let checkpoints = checkpoints::all(&mut connection).await?;
    Ok((connection, checkpoints))
}
