//! Check that the topic still ends where it did. Deleting or recreating a topic raises no error for
//! an idle producer. Without this check, the loss would stay unnoticed until the next command.

use std::sync::Arc;
use std::time::Duration;

use passbook_shared::config::{BrokerErrors, KafkaConfig};
use passbook_shared::partition::Partition;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::task::JoinHandle;

use super::error::RelayError;

/// Interval of the checks.
pub(super) const EVERY: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Watch {
    consumer: Arc<BaseConsumer<BrokerErrors>>,
    topic: Arc<str>,
    pending: Option<JoinHandle<Result<(), RelayError>>>,
}

impl Watch {
    pub(super) fn start(kafka: &KafkaConfig) -> Result<Self, RelayError> {
        let consumer: BaseConsumer<_> = kafka
            .client("passbook-relay-watch")
            .set("allow.auto.create.topics", "false")
            .create_with_context(BrokerErrors::new(kafka))?;
        kafka.authorize(consumer.client());
        Ok(Self {
            consumer: Arc::new(consumer),
            topic: kafka.kafka_topic.as_str().into(),
            pending: None,
        })
    }

    /// Fails if the previous check found the topic truncated. Starts the next check in the
    /// background: each partition must end at or after its offset.
    pub(super) async fn check(&mut self, ends: Vec<(Partition, i64)>) -> Result<(), RelayError> {
        if let Some(pending) = self.pending.take() {
            // A slow broker must not delay the relay: the check is looked at on the next call.
            if !pending.is_finished() {
                self.pending = Some(pending);
                return Ok(());
            }
            pending.await??;
        }
        let (consumer, topic) = (Arc::clone(&self.consumer), Arc::clone(&self.topic));
        self.pending = Some(tokio::task::spawn_blocking(move || {
            // Handles events of the client, such as the end of its token.
            consumer.poll(Duration::ZERO);
            ends.into_iter().try_for_each(|(partition, expected)| {
                let (_, end) = consumer.fetch_watermarks(&topic, partition.into(), TIMEOUT)?;
                if end < expected {
                    Err(RelayError::TopicCut { partition, end, expected })
                } else {
                    Ok(())
                }
            })
        }));
        Ok(())
    }
}
