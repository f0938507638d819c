//! The topic: made if it is not there, with the log's partition count and retention for ever.

use std::time::Duration;

use passbook_shared::config::KafkaConfig;
use passbook_shared::partition::Partition;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;

use super::error::RelayError;

const TIMEOUT: Duration = Duration::from_secs(5);
/// Kafka's word for "as the broker is configured".
const BROKER_DEFAULT: i32 = -1;

/// Makes sure that the topic is there and has as many partitions as the log.
pub(super) async fn ensure(kafka: &KafkaConfig, partitions: Partition) -> Result<(), RelayError> {
    let wanted = usize::from(partitions.unsigned_abs());
    let found = count_partitions(kafka.clone()).await?;
    if found == wanted {
        return Ok(());
    }
    let topic = kafka.kafka_topic.clone();
    if found > wanted {
        return Err(RelayError::TooManyPartitions { topic, found, expected: partitions });
    }
    let admin: AdminClient<DefaultClientContext> = kafka.client("passbook-relay").create()?;
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT)).request_timeout(Some(TIMEOUT));
    let results = if found == 0 {
        tracing::info!(topic, partitions, "making the topic");
        let new = NewTopic::new(&topic, partitions.into(), TopicReplication::Fixed(BROKER_DEFAULT))
            .set("retention.ms", "-1")
            .set("retention.bytes", "-1")
            .set("cleanup.policy", "delete");
        admin.create_topics([&new], &options).await?
    } else {
        tracing::info!(topic, found, partitions, "growing the topic");
        admin.create_partitions([&NewPartitions::new(&topic, wanted)], &options).await?
    };
    for result in results {
        match result {
            // Another instance was faster.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists | RDKafkaErrorCode::InvalidPartitions)) => {}
            Err((topic, code)) => return Err(RelayError::Topic { topic, reason: code.to_string() }),
        }
    }
    Ok(())
}

/// How many partitions the topic has; 0 if it is not there.
async fn count_partitions(kafka: KafkaConfig) -> Result<usize, RelayError> {
    // A consumer's question does not make the topic, a producer's might.
    let consumer: BaseConsumer = kafka.client("passbook-relay").set("allow.auto.create.topics", "false").create()?;
    let asked = tokio::task::spawn_blocking(move || {
        consumer.fetch_metadata(Some(&kafka.kafka_topic), TIMEOUT).map(|m| {
            m.topics()
                .iter()
                .filter(|topic| topic.name() == kafka.kafka_topic)
                .map(|topic| topic.partitions().len())
                .sum()
        })
    });
    Ok(asked.await??)
}
