//! Errors that end a session of the relay.

use passbook_shared::epoch::Epoch;
use passbook_shared::partition::{Partition, PartitionCount};
use rdkafka::error::KafkaError;
use thiserror::Error;
use uuid::Uuid;

#[derive(Debug, Error)]
pub(crate) enum RelayError {
    #[error("Postgres: {0}")]
    Store(#[from] sqlx::Error),
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("Kafka can't be used: {reason}")]
    Unreachable { reason: String },
    #[error("Kafka has acknowledged nothing for some time")]
    Stalled,
    #[error("the end of topic partition {partition} could not be read in time")]
    TailUnread { partition: Partition },
    #[error(
        "topic partition {partition} ends at offset {end} and had ended at {expected}: it was \
         deleted or truncated"
    )]
    TopicCut { partition: Partition, end: i64, expected: i64 },
    #[error("an event cannot be serialized: {0}")]
    Encoding(#[from] serde_json::Error),
    #[error("a blocking task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("the log has no event at position {partition}-{position}, although its head is beyond")]
    Gap { partition: Partition, position: i64 },
    #[error("the store is now in epoch {epoch}: an operator has accepted a restored log")]
    EpochBegan { epoch: Epoch },
    #[error(
        "topic `{topic}` has fewer partitions than the log and is not extended: it holds records \
         of store {theirs} and none of this store, {ours}. Nothing is published. Give this store \
         its own topic (KAFKA_TOPIC)"
    )]
    ForeignTopic { topic: String, theirs: Uuid, ours: Uuid },
    #[error(
        "topic `{topic}` has {found} partitions, the log has {expected}, and Kafka cannot remove \
         partitions. Nothing is published. Give this store its own topic (KAFKA_TOPIC)"
    )]
    TooManyPartitions { topic: String, found: usize, expected: PartitionCount },
    #[error("topic `{topic}` cannot be created or extended: {reason}")]
    Topic { topic: String, reason: String },
}

impl RelayError {
    /// Returns true if the error persists until an operator acts.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::ForeignTopic { .. } | Self::TooManyPartitions { .. } | Self::Gap { .. } => true,
            Self::Store(_)
            | Self::Kafka(_)
            | Self::Unreachable { .. }
            | Self::Stalled
            | Self::EpochBegan { .. }
            | Self::TailUnread { .. }
            | Self::TopicCut { .. }
            | Self::Encoding(_)
            | Self::Task(_)
            | Self::Topic { .. } => false,
        }
    }
}
