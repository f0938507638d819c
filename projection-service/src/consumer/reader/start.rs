//! Start of reading from the checkpoints.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use passbook_shared::partition::{Partition, PartitionCount};
use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;
use thiserror::Error;
use tokio::time::timeout;

use super::Reader;
use crate::consumer::client::GroupConsumer;
use crate::consumer::handoff::{Applied, Message};
use crate::consumer::judging::OurLog;
use crate::feed::Feed;
use crate::store::checkpoints;
use crate::store::source::{self, Source};
use crate::store::{generations, restores};

const METADATA_TIMEOUT: Duration = Duration::from_secs(2);
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
const COMPARE_TIMEOUT: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(500);
/// Interval between checks of partitions that a rewind has locked.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Reader {
    /// Starts reading the assigned partitions; on an error, reports it and schedules a retry.
    pub(super) fn start(&mut self, consumer: &GroupConsumer) {
        let Some(given) = self.given.clone() else {
            self.start_at = None;
            return;
        };
        match self.try_start(consumer, &given) {
            Ok(message) => {
                self.start_at = None;
                self.settings.ends.has_started();
                self.settings.health.ok("consumer");
                self.deliver(consumer, message);
            }
            Err(error) => {
                let reason = format!("reading can't begin: {error:#}");
                match error.is::<Refused>() {
                    // A wrong configuration does not pass by itself: not ready.
                    true => self.settings.health.failing("consumer", reason),
                    false => self.settings.health.degraded("consumer", reason),
                }
                self.start_at = Some(Instant::now() + RETRY);
            }
        }
    }

    fn try_start(
        &mut self,
        consumer: &GroupConsumer,
        given: &[Partition],
    ) -> anyhow::Result<Message> {
        let topic = &self.settings.kafka.kafka_topic;
        let partitions = of_topic(consumer, topic)?;
        let feed = &self.settings.feed;
        let (mut connection, source) =
            self.in_time(load(&self.settings.database, feed, partitions))?;
        // A correction moves checkpoints, so they are read after it.
        self.compare(given);
        let accepted = self.in_time(restores::all(&mut connection))?;
        let mut checkpoints = self.in_time(checkpoints::all(&mut connection))?;
        self.heed_resets(consumer, &mut connection, &checkpoints)?;
        checkpoints.retain(|checkpoint| given.contains(&checkpoint.partition));
        let free = self.in_time(checkpoints::free(&mut connection))?;
        self.held_back =
            given.iter().copied().filter(|partition| !free.contains(partition)).collect();
        self.looked_at = Instant::now();
        checkpoints.retain(|checkpoint| {
            free.contains(&checkpoint.partition)
                && !self.settings.guard.is_halted(checkpoint.partition)
        });

        let mut from = TopicPartitionList::with_capacity(checkpoints.len());
        for checkpoint in &checkpoints {
            let offset = checkpoint.kafka_offset.map_or(Offset::Beginning, Offset::Offset);
            from.add_partition_offset(topic, checkpoint.partition.into(), offset)?;
        }
        self.let_stop();
        consumer.assign(&from)?;
        self.held.clear();
        self.handoff.forget_applied();
        // Commits them to Kafka even if an earlier commit was lost.
        self.handoff.note(checkpoints.iter().filter_map(|checkpoint| {
            Some((
                checkpoint.partition,
                Applied { offset: checkpoint.kafka_offset?, position: checkpoint.position },
            ))
        }));
        self.watchdog.begin(&checkpoints);
        tracing::info!(
            partitions = checkpoints.len(),
            held_back = super::list(&self.held_back),
            "reading resumes from the checkpoints"
        );
        let log = OurLog { source, accepted };
        Ok(Message::Assigned { epoch: self.epoch, checkpoints, log })
    }

    /// Compares these partitions with the log before any event is applied. If the log does not
    /// answer in time, reading starts and the guard keeps trying.
    fn compare(&self, given: &[Partition]) {
        let guard = &self.settings.guard;
        guard.assign(given.iter().copied());
        match self.runtime.block_on(async { timeout(COMPARE_TIMEOUT, guard.look()).await }) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "the last applied events can't be compared with the log")
            }
            Err(_) => tracing::debug!("the log does not answer in time"),
        }
        // This start follows the comparison, so its changes need no other start.
        guard.take_changed();
    }

    /// Starts over once a rewind has released a partition.
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
        // After an error, the partitions remain held back until the next check.
        if free.is_ok_and(|free| self.held_back.iter().any(|partition| free.contains(partition))) {
            self.epoch = self.handoff.next_epoch();
            self.start_at = Some(Instant::now());
        }
    }

    /// Runs a query of Postgres with a time limit.
    pub(super) fn in_time<T, E>(
        &self,
        asked: impl Future<Output = Result<T, E>>,
    ) -> anyhow::Result<T>
    where
        anyhow::Error: From<E>,
    {
        let answer =
            async { timeout(STORE_TIMEOUT, asked).await.context("Postgres does not answer") };
        Ok(self.runtime.block_on(answer)??)
    }
}

/// The topic does not belong to the log of the views. The error is permanent.
#[derive(Debug, Error)]
#[error("{0}")]
struct Refused(String);

fn of_topic(consumer: &GroupConsumer, topic: &str) -> anyhow::Result<PartitionCount> {
    let metadata =
        consumer.fetch_metadata(Some(topic), METADATA_TIMEOUT).context("Kafka does not answer")?;
    let partitions = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
    if partitions == 0 {
        bail!("the topic {topic} does not exist");
    }
    PartitionCount::try_from(partitions)
        .with_context(|| format!("the topic {topic} has {partitions} partitions"))
}

/// Returns the source of the views. Before the first event, the log supplies it, because the topic
/// is not trusted.
async fn load(
    database: &PgConnectOptions,
    feed: &Feed,
    partitions: PartitionCount,
) -> anyhow::Result<(PgConnection, Source)> {
    let database = database.clone().application_name("passbook-projection-start");
    let mut connection = generations::connect_live(&database).await?;
    let remembered = source::find(&mut connection).await?;
    let is_empty =
        checkpoints::all(&mut connection).await?.iter().all(|checkpoint| checkpoint.position == 0);
    let log = match (remembered, feed.source().await) {
        // Views with events keep their store; the guard reports a log of another one.
        (Some(ours), _) if !is_empty => ours,
        // Empty views accept any log.
        (_, Ok(log)) => log,
        (Some(ours), Err(_)) => ours,
        (None, Err(error)) => {
            return Err(error)
                .context("the views are empty, and the log can't be asked for its store");
        }
    };
    if log.partitions != partitions {
        bail!(Refused(format!(
            "the topic has {partitions} partitions, the log of the views has {}: nothing \
             is applied. Does KAFKA_TOPIC point to another installation?",
            log.partitions
        )));
    }
    // The check comes first, so that a wrong topic creates no checkpoints.
    source::remember(&mut connection, log).await?;
    checkpoints::ensure(&mut connection, partitions).await?;
    Ok((connection, log))
}
