//! How far the topic reaches, asked every second, and so how far the views are behind it. Tells of Kafka's health.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use passbook_shared::config::KafkaConfig;
use passbook_shared::health::Health;
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{log, set_unless_given};
use crate::metrics;
use crate::store::{Views, checkpoints, quarantine};

const EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(3);
/// Samples kept of a partition that is behind; when there are more, every other one is let go.
const SAMPLES: usize = 512;

/// Where each partition of the topic ends, and when it got there.
#[derive(Debug, Default)]
pub struct Ends {
    partitions: Mutex<BTreeMap<Partition, VecDeque<Sample>>>,
    started: AtomicBool,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    end: i64,
}

/// How far a partition is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// The offset after the topic's last record.
    pub end: i64,
    /// Records not read yet.
    pub events: i64,
    /// How long the oldest of them has been there, in milliseconds, to the second.
    pub millis: i64,
}

impl Ends {
    /// Where a partition ends, as seen last.
    pub fn end(&self, partition: Partition) -> Option<i64> {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.get(&partition)?.back().map(|sample| sample.end)
    }

    /// How far a partition read up to before `offset` is behind.
    pub fn lag(&self, partition: Partition, offset: Option<i64>) -> Option<Lag> {
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = partitions.get_mut(&partition)?;
        let end = samples.back()?.end;
        let offset = offset.unwrap_or(0);
        while samples.len() > 1 && samples.front().is_some_and(|sample| sample.end <= offset) {
            samples.pop_front();
        }
        let oldest = samples.front().filter(|sample| sample.end > offset).map(|sample| sample.at.elapsed());
        Some(match oldest {
            None => Lag { end, events: 0, millis: 0 },
            Some(age) => Lag { end, events: end - offset, millis: age.as_millis().try_into().unwrap_or(i64::MAX) },
        })
    }

    /// Reading has begun for the first time, or again.
    pub fn has_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    fn note(&self, ends: BTreeMap<Partition, i64>) {
        let at = Instant::now();
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        partitions.retain(|partition, _| ends.contains_key(partition));
        for (partition, end) in ends {
            let samples = partitions.entry(partition).or_default();
            if samples.back().is_some_and(|last| last.end > end) {
                // Made anew.
                samples.clear();
            }
            if samples.back().is_none_or(|last| last.end < end) {
                samples.push_back(Sample { at, end });
            }
            if samples.len() > SAMPLES {
                let mut nth = 0_usize;
                samples.retain(|_| {
                    nth += 1;
                    nth % 2 == 1
                });
            }
        }
    }
}

/// Asks every second, until the shutdown.
///
/// # Errors
/// A setting that the client does not take.
pub async fn watch(
    kafka: KafkaConfig,
    ends: Arc<Ends>,
    views: Views,
    health: Health,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let client = Arc::new(client(&kafka)?);
    while !shutdown.is_cancelled() {
        let (asking, topic) = (Arc::clone(&client), kafka.kafka_topic.clone());
        let asked = tokio::task::spawn_blocking(move || ask(&asking, &topic)).await?;
        match asked {
            Ok(found) => {
                ends.note(found);
                if ends.started.load(Ordering::Acquire) {
                    health.ok("kafka");
                } else {
                    health.failing("kafka", "the consumer group has not given out its partitions yet");
                }
            }
            Err(error) => health.degraded("kafka", format!("{error:#}")),
        }
        measure(&ends, &views, &health).await;
        tokio::select! { () = tokio::time::sleep(EVERY) => {}, () = shutdown.cancelled() => {} }
    }
    // The client may wait for Kafka to go: not in a thread of the runtime.
    std::thread::spawn(move || drop(client));
    Ok(())
}

async fn measure(ends: &Ends, views: &Views, health: &Health) {
    let Ok(pool) = views.pool() else { return };
    match views.read(checkpoints::all(pool)).await {
        Ok(checkpoints) => {
            health.ok("postgres");
            for checkpoint in checkpoints {
                if let Some(lag) = ends.lag(checkpoint.partition, checkpoint.kafka_offset) {
                    metrics::lag(checkpoint.partition, lag.events, lag.millis);
                }
            }
            if let Ok(number) = views.read(quarantine::count(pool)).await {
                metrics::in_quarantine(number);
            }
        }
        Err(error) => health.failing("postgres", format!("the views can't be read: {error}")),
    }
}

/// Of a client whose troubles are told by whoever uses it.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, _: rdkafka::error::KafkaError, _: &str) {}
}

impl ConsumerContext for Quiet {}

/// A client of no group.
fn client(kafka: &KafkaConfig) -> anyhow::Result<BaseConsumer<Quiet>> {
    let mut config = kafka.client("passbook-projection-ends");
    set_unless_given(&mut config, kafka, "allow.auto.create.topics", "false");
    set_unless_given(&mut config, kafka, "reconnect.backoff.max.ms", "2000");
    config.create_with_context(Quiet).context("KAFKA_OPTIONS (--kafka-options) is not taken by the Kafka client")
}

/// Where each partition ends.
fn ask(client: &BaseConsumer<Quiet>, topic: &str) -> anyhow::Result<BTreeMap<Partition, i64>> {
    let metadata = client.fetch_metadata(Some(topic), TIMEOUT).context("Kafka does not answer")?;
    let mut asked = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        asked.add_partition_offset(topic, partition.id(), Offset::End)?;
    }
    if asked.count() == 0 {
        bail!("the topic {topic} does not exist yet: the command-service makes it");
    }
    let ends = client.offsets_for_times(asked, TIMEOUT).context("Kafka does not tell where the topic ends")?;
    let known = ends.elements().into_iter().filter_map(|element| match (element.error(), element.offset()) {
        (Ok(()), Offset::Offset(end)) => Some((Partition::try_from(element.partition()).ok()?, end)),
        _ => None,
    });
    Ok(known.collect())
}
