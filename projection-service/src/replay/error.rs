//! Errors of replays.

use passbook_shared::partition::Partition;
use passbook_shared::store_error::{is_connection_lost, is_unavailable, violated_constraint};
use rdkafka::error::KafkaError;
use thiserror::Error;

use crate::agreement::common::CompareError;
use crate::consumer::judging::ForeignLog;
use crate::feed::FeedError;
use crate::store::apply::OUTRUN;

impl From<CompareError> for ReplayError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Store(error) => Self::Store(error),
            CompareError::Feed(error) => Self::Feed(error),
        }
    }
}

#[derive(Debug, Error)]
pub(crate) enum ReplayError {
    #[error("the views' database: {0}")]
    Store(#[from] sqlx::Error),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error(
        "the log ends before position {partition}-{position}, which the live views have applied: \
         was it restored?"
    )]
    LogEnds { partition: Partition, position: i64 },
    #[error(
        "{0}: nothing is replayed. Does KAFKA_TOPIC or COMMAND_SERVICE_URL point to another \
         installation?"
    )]
    Foreign(#[from] ForeignLog),
    #[error(
        "this version can't apply {0} events that the live views have, so the new views would be \
         older. The live views are unchanged; the service's log names the quarantined events"
    )]
    WouldGoBack(i64),
    #[error("there is no generation {0}")]
    NoGeneration(i32),
    #[error(
        "the new views differ from the live views at {partition}-{position}: a retry may read \
         other records"
    )]
    Differs { partition: Partition, position: i64 },
    #[error("cancelled")]
    Cancelled,
}

impl ReplayError {
    /// Returns whether the error may be transient, so that the replay is retried.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) => {
                is_connection_lost(error)
                    || is_unavailable(error)
                    // Another writer moved the checkpoint, and the next attempt starts from it.
                    || violated_constraint(error) == Some(OUTRUN)
            }
            // The other side may return, or another reading may find other records.
            Self::Feed(FeedError::Request(_)) | Self::Kafka(_) | Self::Differs { .. } => true,
            Self::Feed(FeedError::Nameless | FeedError::OutOfOrder { .. })
            | Self::LogEnds { .. }
            | Self::Foreign(_)
            | Self::WouldGoBack(_)
            | Self::NoGeneration(_)
            | Self::Cancelled => false,
        }
    }
}
