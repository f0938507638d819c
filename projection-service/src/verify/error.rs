//! Errors that end a comparison early.

use thiserror::Error;
use tokio::task::JoinError;

use crate::feed::FeedError;
use crate::store::source::Source;

#[derive(Debug, Error)]
pub(super) enum VerifyError {
    #[error("the views' database: {0}")]
    Store(#[from] sqlx::Error),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error(
        "the views are of store {} with {} partitions, the command-service's log of store {} with \
         {}: is COMMAND_SERVICE_URL or PROJECTION_DATABASE_URL another installation?",
        views.store_id, views.partitions, log.store_id, log.partitions
    )]
    Foreign { views: Source, log: Source },
    #[error("the command-service's log changed to another store's during the comparison")]
    LogChanged,
    #[error("bug in this service: {0}")]
    Panicked(JoinError),
}
