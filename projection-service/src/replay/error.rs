//! Why a replay did not go on.

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
        "the log ends before position {partition}-{position}, which the live views have passed: was it restored?"
    )]
    LogEnds { partition: Partition, position: i64 },
    #[error(
        "{0}: nothing is replayed. Does KAFKA_TOPIC or COMMAND_SERVICE_URL point to another \
         installation?"
    )]
    Foreign(#[from] ForeignLog),
    #[error(
        "{0} events that the live views have can't be applied by this version: views would go back. The live ones stay as \
         they are; see what the log says of the events that were set aside"
    )]
    WouldGoBack(i64),
    #[error("there is no generation {0}")]
    NoGeneration(i32),
    #[error(
        "the views that were built differ from the log at {partition}-{position}: another try may read other records"
    )]
    Differs { partition: Partition, position: i64 },
    #[error("cancelled")]
    Cancelled,
}

impl ReplayError {
    /// Whether it may pass by itself: worth another try from where things stand.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) => {
                is_connection_lost(error)
                    || is_unavailable(error)
                    || violated_constraint(error) == Some(OUTRUN)
            }
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
