//! How far the topic reaches, asked every second, and so how far the views are behind it. Tells of Kafka's health.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use passbook_shared::config::KafkaConfig;
use passbook_shared::health::{Health, Streak};
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use passbook_shared::store_error;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::causes::{Causes, explain, holder};
use super::client::{log, set_unless_given};
use super::stalled::{Stall, Stalled};
use crate::checkpoint::Checkpoint;
use crate::feed::Feed;
use crate::metrics;
use crate::quarantine::check::QuarantineCheck;
use crate::store::{Views, checkpoints, quarantine};

const EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(3);
/// Words of the client that are listened to at a time.
const WORDS: usize = 100;
/// Samples kept of a partition that is behind; when there are more, every other one is let go.
const SAMPLES: usize = 512;

/// Where each partition of the topic ends, and when it got there.
#[derive(Debug, Default)]
pub struct Ends {
    partitions: Mutex<BTreeMap<Partition, VecDeque<Sample>>>,
    started: AtomicBool,
    /// Why reading may stand still.
    pub(super) causes: Causes,
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
        let partitions = self.partitions.lock();
        partitions.get(&partition)?.back().map(|sample| sample.end)
    }

    /// How far a partition read up to before `offset` is behind.
    pub fn lag(&self, partition: Partition, offset: Option<i64>) -> Option<Lag> {
        let mut partitions = self.partitions.lock();
        let samples = partitions.get_mut(&partition)?;
        let end = samples.back()?.end;
        let offset = offset.unwrap_or(0);
        while samples.len() > 1 && samples.front().is_some_and(|sample| sample.end <= offset) {
            samples.pop_front();
        }
        let oldest =
            samples.front().filter(|sample| sample.end > offset).map(|sample| sample.at.elapsed());
        Some(match oldest {
            None => Lag { end, events: 0, millis: 0 },
            Some(age) => Lag {
                end,
                events: end - offset,
                millis: age.as_millis().try_into().unwrap_or(i64::MAX),
            },
        })
    }

    /// Reading has begun for the first time, or again.
    pub fn has_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    fn note(&self, ends: BTreeMap<Partition, i64>) {
        let at = Instant::now();
        let mut partitions = self.partitions.lock();
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
pub async fn watch(watched: Watched, shutdown: CancellationToken) -> anyhow::Result<()> {
    let client = Arc::new(client(&watched)?);
    let mut stalled = Stalled::new(watched.stall);
    let mut streak = Streak::begin(Instant::now());
    while !shutdown.is_cancelled() {
        let kafka = watched.ask_kafka(&client).await?;
        if let Some(checkpoints) = watched.measure(&mut streak).await {
            let stalls = stalled.look(&checkpoints, &watched.ends, &watched.feed).await;
            watched.tell_stalls(&client, &stalls, kafka).await?;
        }
        tokio::select! { () = tokio::time::sleep(EVERY) => {}, () = shutdown.cancelled() => {} }
    }
    // The client may wait for Kafka to go: not in a thread of the runtime.
    std::thread::spawn(move || drop(client));
    Ok(())
}

/// What is watched, and where to tell of it.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Where Kafka is.
    pub kafka: KafkaConfig,
    /// The consumer group.
    pub group: String,
    /// How far the topic reaches.
    pub ends: Arc<Ends>,
    /// The views.
    pub views: Views,
    /// The log itself.
    pub feed: Feed,
    /// Maximum time for which a partition may stand with an event to apply.
    pub stall: Duration,
    /// What is in quarantine.
    pub quarantine: QuarantineCheck,
    /// Where to tell how it goes.
    pub health: Health,
}

impl Watched {
    /// Asks Kafka where the topic ends. Returns why it could not be asked.
    async fn ask_kafka(&self, client: &Arc<BaseConsumer<Quiet>>) -> anyhow::Result<Option<String>> {
        let (asking, topic) = (Arc::clone(client), self.kafka.kafka_topic.clone());
        let asked = tokio::task::spawn_blocking(move || ask(&asking, &topic)).await?;
        Ok(match asked {
            Ok(found) => {
                self.ends.note(found);
                if self.ends.started.load(Ordering::Acquire) {
                    self.health.ok("kafka");
                } else {
                    let yet = "the consumer group has not given out its partitions yet".to_owned();
                    self.health.failing("kafka", self.with_cause(yet));
                }
                None
            }
            Err(error) => {
                let reason = self.with_cause(self.kafka.redacted(&format!("{error:#}")));
                self.health.degraded("kafka", reason.clone());
                Some(reason)
            }
        })
    }

    fn with_cause(&self, reason: String) -> String {
        match self.ends.causes.last() {
            Some(cause) => format!("{reason}; {cause}"),
            None => reason,
        }
    }

    /// Reads how far the views are.
    async fn measure(&self, streak: &mut Streak) -> Option<Vec<Checkpoint>> {
        self.views.pool().ok()?;
        let checkpoints = match self.views.read(checkpoints::all).await {
            Ok(checkpoints) => checkpoints,
            Err(error) => {
                if streak.failed(Instant::now()).is_some() {
                    let reason = store_error::reason(&error);
                    self.health.failing("postgres", format!("the views can't be read: {reason}"));
                }
                return None;
            }
        };
        streak.succeeded(Instant::now());
        self.health.ok("postgres");
        for checkpoint in &checkpoints {
            if let Some(lag) = self.ends.lag(checkpoint.partition, checkpoint.kafka_offset) {
                metrics::lag(checkpoint.partition, lag.events, lag.millis);
            }
        }
        if let Ok(held) = self.views.read(quarantine::size).await {
            metrics::in_quarantine(held.number);
            self.quarantine.holds(held);
        }
        Some(checkpoints)
    }

    async fn tell_stalls(
        &self,
        client: &Arc<BaseConsumer<Quiet>>,
        stalls: &[Stall],
        kafka: Option<String>,
    ) -> anyhow::Result<()> {
        let Some(first) = stalls.iter().max_by_key(|stall| stall.age) else {
            self.health.ok("views");
            return Ok(());
        };
        let cause = match kafka {
            Some(reason) => reason,
            None => self.cause(client, first.partition).await?,
        };
        let Stall { partition, position, age } = first;
        let others = match stalls.len() - 1 {
            0 => String::new(),
            others => format!(" ({others} more partitions stand as well)"),
        };
        let age = age.as_secs();
        self.health.failing(
            "views",
            format!(
                "partition {partition} stands at position {partition}-{position}{others}: the event after it has not \
                 been applied for {age} s; {cause}"
            ),
        );
        Ok(())
    }

    /// Why a partition stands while Kafka answers.
    async fn cause(
        &self,
        client: &Arc<BaseConsumer<Quiet>>,
        partition: Partition,
    ) -> anyhow::Result<String> {
        if self.ends.causes.is_given(partition) {
            let words = self.ends.causes.last();
            return Ok(words.unwrap_or_else(|| "the other checks may say why".to_owned()));
        }
        let (asking, group, topic) =
            (Arc::clone(client), self.group.clone(), self.kafka.kafka_topic.clone());
        let holder = tokio::task::spawn_blocking(move || {
            let groups = asking.fetch_group_list(Some(&group), TIMEOUT)?;
            Ok(holder(&groups, &topic, partition))
        });
        let group = &self.group;
        Ok(match holder.await? {
            Ok(Some(holder)) => {
                format!("the member {holder} of the consumer group `{group}` holds the partition")
            }
            Ok(None) => format!("no member of the consumer group `{group}` holds the partition"),
            Err::<_, KafkaError>(error) => {
                format!("Kafka does not tell who holds it: {}", explain(&error))
            }
        })
    }
}

/// Of a client whose troubles are told by whoever uses it.
#[derive(Debug, Default)]
pub(crate) struct Quiet(Option<(Arc<Ends>, KafkaConfig)>);

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
        if let Some((ends, kafka)) = &self.0 {
            ends.causes.logged(facility, &kafka.redacted(message));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if let Some((ends, kafka)) = &self.0 {
            ends.causes.said(&error, &kafka.redacted(reason));
        }
    }
}

impl ConsumerContext for Quiet {}

/// A client of no group.
fn client(watched: &Watched) -> anyhow::Result<BaseConsumer<Quiet>> {
    let kafka = &watched.kafka;
    let mut config = kafka.client("passbook-projection-ends");
    set_unless_given(&mut config, kafka, "allow.auto.create.topics", "false");
    set_unless_given(&mut config, kafka, "reconnect.backoff.max.ms", "2000");
    let context = Quiet(Some((Arc::clone(&watched.ends), kafka.clone())));
    config.create_with_context(context).map_err(|error| kafka.refused(&error))
}

/// Where each partition ends.
fn ask(client: &BaseConsumer<Quiet>, topic: &str) -> anyhow::Result<BTreeMap<Partition, i64>> {
    let found = ask_once(client, topic);
    // Has the client hand its words to the context.
    (0..WORDS).take_while(|_| client.poll(Duration::from_millis(1)).is_some()).for_each(drop);
    found
}

fn ask_once(client: &BaseConsumer<Quiet>, topic: &str) -> anyhow::Result<BTreeMap<Partition, i64>> {
    let metadata = client.fetch_metadata(Some(topic), TIMEOUT).context("Kafka does not answer")?;
    if let Some(error) =
        metadata.topics().first().and_then(|topic| topic.error()).map(RDKafkaErrorCode::from)
        && error != RDKafkaErrorCode::UnknownTopicOrPartition
    {
        bail!("the topic {topic}: {}", explain(&KafkaError::MetadataFetch(error)));
    }
    let mut asked = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        asked.add_partition_offset(topic, partition.id(), Offset::End)?;
    }
    if asked.count() == 0 {
        bail!("the topic {topic} does not exist yet: the command-service makes it");
    }
    let ends = client
        .offsets_for_times(asked, TIMEOUT)
        .context("Kafka does not tell where the topic ends")?;
    let known = ends.elements().into_iter().filter_map(|element| {
        match (element.error(), element.offset()) {
            (Ok(()), Offset::Offset(end)) => {
                Some((Partition::try_from(element.partition()).ok()?, end))
            }
            _ => None,
        }
    });
    Ok(known.collect())
}
