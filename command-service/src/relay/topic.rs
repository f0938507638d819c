//! Creation of the topic, with the log's number of partitions and unlimited retention.

use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::time::Duration;

use passbook_shared::config::{BrokerErrors, KafkaConfig};
use passbook_shared::partition::{Partition, PartitionCount};
use passbook_shared::topic_record::authentication::TopicKeys;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication, TopicResult,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use uuid::Uuid;

use super::error::RelayError;
use super::reader::{PassedOver, Reader, Seen};
use crate::log::store::Store;

/// Number of records of a partition that are checked for their store.
const LAST: i64 = 100;
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum number of the client's events that are handled to find the reason of a failure.
const EVENTS: usize = 50;
/// Kafka's value for the broker's default replication factor.
const BROKER_DEFAULT: i32 = -1;

/// Settings of the topic: unlimited retention, as of the log that it mirrors.
const UNLIMITED_RETENTION: [(&str, &str); 3] =
    [("retention.ms", "-1"), ("retention.bytes", "-1"), ("cleanup.policy", "delete")];

/// Ensures that the topic exists with the log's number of partitions. A topic with fewer
/// partitions, as Kafka creates on its own, is extended and gets unlimited retention, unless it
/// holds only another store's records. A topic with the right number is left unchanged: its
/// settings belong to the operator.
pub(super) async fn ensure(kafka: &KafkaConfig, store: Store) -> Result<(), RelayError> {
    let expected = store.partitions;
    let found = count_partitions(kafka.clone()).await?;
    match found.cmp(&usize::from(expected.get())) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => {
            Err(RelayError::TooManyPartitions { topic: kafka.kafka_topic.clone(), found, expected })
        }
        Ordering::Less if found == 0 => create(kafka, expected).await,
        Ordering::Less => {
            // First, because Kafka cannot remove partitions again.
            is_not_foreign(kafka.clone(), store.store_id, expected.all().take(found).collect())
                .await?;
            grow(kafka, found, expected).await
        }
    }
}

/// Fails if the partitions end with records of other stores and none of this one. Records count
/// without a MAC, too: the topic may be of a store that has another key, or none.
async fn is_not_foreign(
    kafka: KafkaConfig,
    store_id: Uuid,
    partitions: Vec<Partition>,
) -> Result<(), RelayError> {
    let look = move || {
        let (reader, mut others, mut is_ours) =
            (Reader::new(&kafka, store_id, TopicKeys::default())?, PassedOver::default(), false);
        for partition in partitions {
            let (low, high) = reader.ends(partition)?;
            reader.scan(partition, low.max(high - LAST), high, &mut others, |seen| {
                is_ours |= matches!(seen, Seen::Own(..));
                ControlFlow::Continue(())
            })?;
        }
        match others.other_store {
            Some(theirs) if !is_ours => {
                Err(RelayError::ForeignTopic { topic: kafka.kafka_topic, theirs, ours: store_id })
            }
            Some(_) | None => Ok(()),
        }
    };
    tokio::task::spawn_blocking(look).await?
}

async fn create(kafka: &KafkaConfig, partitions: PartitionCount) -> Result<(), RelayError> {
    let topic = &kafka.kafka_topic;
    tracing::info!(topic, partitions = partitions.get(), "creating the topic");
    let new =
        NewTopic::new(topic, partitions.get().into(), TopicReplication::Fixed(BROKER_DEFAULT));
    let new = UNLIMITED_RETENTION.iter().fold(new, |new, (name, value)| new.set(name, value));
    created(topic, admin(kafka)?.create_topics([&new], &options()).await?)
}

async fn grow(
    kafka: &KafkaConfig,
    found: usize,
    partitions: PartitionCount,
) -> Result<(), RelayError> {
    let topic = &kafka.kafka_topic;
    tracing::info!(topic, found, partitions = partitions.get(), "adding partitions to the topic");
    let admin = admin(kafka)?;
    let kept = AlterConfig::new(ResourceSpecifier::Topic(topic));
    let kept = UNLIMITED_RETENTION.iter().fold(kept, |kept, (name, value)| kept.set(name, value));
    // Before the partitions are added: a topic with the right number is left unchanged, so a
    // failure in between would leave the old retention.
    for result in admin.alter_configs([&kept], &options()).await? {
        result.map_err(|(_, code)| RelayError::Topic {
            topic: topic.clone(),
            reason: code.to_string(),
        })?;
    }
    let wanted = usize::from(partitions.get());
    created(topic, admin.create_partitions([&NewPartitions::new(topic, wanted)], &options()).await?)
}

fn admin(kafka: &KafkaConfig) -> Result<AdminClient<BrokerErrors>, RelayError> {
    let admin: AdminClient<_> =
        kafka.client("passbook-relay").create_with_context(BrokerErrors::new(kafka))?;
    kafka.authorize(admin.inner());
    Ok(admin)
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT))
}

fn created(topic: &str, results: Vec<TopicResult>) -> Result<(), RelayError> {
    for result in results {
        match result {
            // Another instance was faster.
            Ok(_)
            | Err((
                _,
                RDKafkaErrorCode::TopicAlreadyExists | RDKafkaErrorCode::InvalidPartitions,
            )) => {}
            Err((_, code)) => {
                return Err(RelayError::Topic {
                    topic: topic.to_owned(),
                    reason: code.to_string(),
                });
            }
        }
    }
    Ok(())
}

/// Returns the number of partitions of the topic; 0 if it does not exist.
async fn count_partitions(kafka: KafkaConfig) -> Result<usize, RelayError> {
    // A consumer's metadata request does not create the topic; a producer's might.
    let mut config = kafka.client("passbook-relay");
    config.set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer<BrokerErrors> =
        config.create_with_context(BrokerErrors::new(&kafka))?;
    kafka.authorize(consumer.client());
    let asked = tokio::task::spawn_blocking(move || {
        let found = consumer.fetch_metadata(Some(&kafka.kafka_topic), TIMEOUT);
        let metadata = found.map_err(|error| unreachable(&consumer, error))?;
        let topics = metadata.topics().iter().filter(|topic| topic.name() == kafka.kafka_topic);
        Ok(topics.map(|topic| topic.partitions().len()).sum())
    });
    asked.await?
}

/// Returns the error with the reason of a broker, such as a certificate that is not trusted.
fn unreachable(consumer: &BaseConsumer<BrokerErrors>, error: KafkaError) -> RelayError {
    for _ in 0..EVENTS {
        if consumer.context().any().is_some() {
            break;
        }
        // Handles at most one event.
        consumer.poll(Duration::from_millis(1));
    }
    match consumer.context().any() {
        Some(reason) => RelayError::Unreachable { reason },
        None => error.into(),
    }
}
