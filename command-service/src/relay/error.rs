//! Why a relay's session ended.

use passbook_shared::epoch::Epoch;
use passbook_shared::partition::Partition;
use rdkafka::error::KafkaError;
use thiserror::Error;
use uuid::Uuid;

#[derive(Debug, Error)]
pub(crate) enum RelayError {
    #[error("Postgres: {0}")]
    Store(#[from] sqlx::Error),
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("Kafka has acknowledged nothing for some time")]
    Stalled,
    #[error("the end of partition {partition} of the topic could not be read in time")]
    TailUnread { partition: Partition },
    #[error(
        "partition {partition} of the topic ends at offset {end}, and had ended at {expected}: it was deleted or cut"
    )]
    TopicCut { partition: Partition, end: i64, expected: i64 },
    #[error("an event can't be written as JSON: {0}")]
    Encoding(#[from] serde_json::Error),
    #[error("a blocking task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    #[error("the log has no event at position {partition}-{position}, which its head says it has")]
    Gap { partition: Partition, position: i64 },
    #[error(
        "the store is in epoch {epoch} now: an operator has accepted that its log was restored"
    )]
    EpochBegan { epoch: Epoch },
    #[error(
        "topic `{topic}` has too few partitions for this log, and is not grown: it holds records of store {theirs} and none \
         of this store, {ours}. Nothing is published. Give this store a topic of its own (KAFKA_TOPIC)"
    )]
    ForeignTopic { topic: String, theirs: Uuid, ours: Uuid },
    #[error(
        "topic `{topic}` has {found} partitions, the log has {expected}, and partitions can't be taken away. Nothing \
         is published. Give this store a topic of its own (KAFKA_TOPIC)"
    )]
    TooManyPartitions { topic: String, found: usize, expected: Partition },
    #[error("topic `{topic}` can't be made or grown: {reason}")]
    Topic { topic: String, reason: String },
}

impl RelayError {
    /// Whether it won't pass by itself: somebody has to decide.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::ForeignTopic { .. } | Self::TooManyPartitions { .. } | Self::Gap { .. } => true,
            Self::Store(_)
            | Self::Kafka(_)
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
