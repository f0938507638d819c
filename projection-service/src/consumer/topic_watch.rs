//! Watch of the end of the topic. Every second, it asks Kafka for the ends of the partitions,
//! reports the health of Kafka, measures the views and checks for stalled partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use passbook_shared::config::KafkaConfig;
use passbook_shared::health::{Health, Streak};
use passbook_shared::partition::Partition;
use passbook_shared::shutdown::CancellationToken;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::causes::explain;
use super::client::{SilentContext, set_unless_given};
use super::stalled::Stalled;
use super::topic_lag::TopicLag;
use crate::feed::Feed;
use crate::metrics;
use crate::quarantine::check::QuarantineCheck;
use crate::store::Views;

mod stalls;
mod views;

const EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum number of events of the client that are handled per round.
const CLIENT_EVENTS: usize = 100;

/// Watches until the shutdown.
///
/// # Errors
/// The Kafka client rejects a setting.
pub async fn watch(watched: Watched, shutdown: CancellationToken) -> anyhow::Result<()> {
    let client = Arc::new(client(&watched)?);
    let mut stalled = Stalled::new(watched.stall);
    let mut streak = Streak::begin(Instant::now());
    while !shutdown.is_cancelled() {
        let kafka = watched.ask_kafka(&client).await?;
        if let Some(checkpoints) = watched.measure(&mut streak).await {
            let stalls = stalled.look(&checkpoints, &watched.ends, &watched.feed).await;
            for (partition, age) in stalled.ages() {
                metrics::checkpoint_age(partition, age);
            }
            watched.report_stalls(&client, &stalls, kafka).await?;
        }
        tokio::select! { () = tokio::time::sleep(EVERY) => {}, () = shutdown.cancelled() => {} }
    }
    // Dropping the client may block while Kafka is unreachable, so a blocking thread drops it.
    std::thread::spawn(move || drop(client));
    Ok(())
}

/// Dependencies and settings of the watch.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Connection to Kafka.
    pub kafka: KafkaConfig,
    /// Consumer group.
    pub group: String,
    /// Receives the ends of the partitions.
    pub ends: Arc<TopicLag>,
    /// Live views.
    pub views: Views,
    /// Log of the command-service.
    pub feed: Feed,
    /// Time after which a partition with an event to apply counts as stalled.
    pub stall: Duration,
    /// Readiness check of the quarantine.
    pub quarantine: QuarantineCheck,
    /// Receives the results.
    pub health: Health,
}

impl Watched {
    /// Asks Kafka for the ends of the partitions. Returns the reason if it does not answer.
    async fn ask_kafka(
        &self,
        client: &Arc<BaseConsumer<SilentContext>>,
    ) -> anyhow::Result<Option<String>> {
        let (asking, topic) = (Arc::clone(client), self.kafka.kafka_topic.clone());
        // The calls of the Kafka client block.
        let asked = tokio::task::spawn_blocking(move || ask(&asking, &topic)).await?;
        Ok(match asked {
            Ok(found) => {
                self.ends.note(found);
                if self.ends.is_started() {
                    self.health.ok("kafka");
                } else {
                    // Reading has never begun, so the views may be arbitrarily old: not ready.
                    let yet = "the consumer group has not assigned its partitions yet".to_owned();
                    self.health.failing("kafka", self.with_cause(yet));
                }
                None
            }
            Err(error) => {
                // Queries still have answers while Kafka is down, so the service stays ready.
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
}

/// Creates a client outside the consumer group.
fn client(watched: &Watched) -> anyhow::Result<BaseConsumer<SilentContext>> {
    let kafka = &watched.kafka;
    let mut config = kafka.client("passbook-projection-ends");
    // The command-service creates the topic, with the partitions of its log.
    set_unless_given(&mut config, kafka, "allow.auto.create.topics", "false");
    // The default of 10 s would delay the recovery after an outage.
    set_unless_given(&mut config, kafka, "reconnect.backoff.max.ms", "2000");
    let context = SilentContext { ends: Some(Arc::clone(&watched.ends)), kafka: kafka.clone() };
    let client: BaseConsumer<_> =
        config.create_with_context(context).map_err(|error| kafka.refused(&error))?;
    kafka.authorize(client.client());
    Ok(client)
}

/// Returns the end offset of each partition.
fn ask(
    client: &BaseConsumer<SilentContext>,
    topic: &str,
) -> anyhow::Result<BTreeMap<Partition, i64>> {
    let found = ask_once(client, topic);
    // Polling lets the client pass its errors and log lines to the context.
    (0..CLIENT_EVENTS)
        .take_while(|_| client.poll(Duration::from_millis(1)).is_some())
        .for_each(drop);
    found
}

fn ask_once(
    client: &BaseConsumer<SilentContext>,
    topic: &str,
) -> anyhow::Result<BTreeMap<Partition, i64>> {
    let metadata = client.fetch_metadata(Some(topic), TIMEOUT).context("Kafka does not answer")?;
    // A missing topic is reported below, together with its remedy.
    if let Some(error) =
        metadata.topics().first().and_then(|topic| topic.error()).map(RDKafkaErrorCode::from)
        && error != RDKafkaErrorCode::UnknownTopicOrPartition
    {
        bail!("the topic {topic}: {}", explain(&KafkaError::MetadataFetch(error)));
    }
    let mut asked = TopicPartitionList::new();
    for partition in metadata.topics().iter().flat_map(|topic| topic.partitions()) {
        // In a lookup by time, `End` stands for the end of the partition.
        asked.add_partition_offset(topic, partition.id(), Offset::End)?;
    }
    if asked.count() == 0 {
        bail!("the topic {topic} does not exist yet: the command-service creates it");
    }
    // One lookup by time covers all partitions; `fetch_watermarks` asks for one at a time.
    let ends = client
        .offsets_for_times(asked, TIMEOUT)
        .context("Kafka does not report where the topic ends")?;
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
