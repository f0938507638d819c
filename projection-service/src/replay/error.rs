//! Why a replay did not go on.

use passbook_shared::partition::Partition;
use passbook_shared::store_error::{is_connection_lost, violated_constraint};
use rdkafka::error::KafkaError;
use thiserror::Error;

use crate::feed::FeedError;
use crate::store::apply::OUTRUN;

#[derive(Debug, Error)]
pub(super) enum ReplayError {
    #[error("the views' database: {0}")]
    Store(#[from] sqlx::Error),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("Kafka: {0}")]
    Kafka(#[from] KafkaError),
    #[error("the log ends before position {partition}-{position}, which the live views have passed: was it restored?")]
    LogEnds { partition: Partition, position: i64 },
    #[error("there is no generation {0}")]
    NoGeneration(i32),
    #[error("cancelled")]
    Cancelled,
}

impl ReplayError {
    /// Whether it may pass by itself: worth another try from where things stand.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Store(error) => {
                let busy = error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "55P03");
                is_connection_lost(error) || busy || violated_constraint(error) == Some(OUTRUN)
            }
            Self::Feed(FeedError::Request(_)) | Self::Kafka(_) => true,
            Self::Feed(FeedError::Nameless | FeedError::OutOfOrder { .. })
            | Self::LogEnds { .. }
            | Self::NoGeneration(_)
            | Self::Cancelled => false,
        }
    }
}
