//! Why nothing of a partition is applied, for people.

use std::fmt;

use passbook_shared::epoch::Epoch;
use passbook_shared::store_description::Fork;
use tokio::time::Instant;

use crate::store::source::Source;

/// A disagreement of the views with the log that holds a partition up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Disagreement {
    /// The views have another event than the log; it is being found out why. TopicLag by itself.
    Comparing {
        /// The position the views have.
        views: i64,
        /// Since when.
        since: Instant,
    },
    /// The relay has found that the log is behind the topic.
    Forked {
        /// The position the views have.
        views: i64,
        /// As the store tells it.
        fork: Fork,
    },
    /// The log had an event that it does not have any more.
    LogChanged {
        /// The position the views have.
        views: i64,
        /// Where the log had another event, or one at all.
        confirmed: i64,
    },
    /// The log is of an earlier epoch than the views.
    OldEpoch {
        /// The position the views have.
        views: i64,
        /// The log's.
        log: Epoch,
        /// The views'.
        ours: Epoch,
    },
    /// The log is of another store than the views.
    Foreign {
        /// The log.
        log: Source,
        /// Whose log the views are of.
        ours: Source,
    },
}

impl Disagreement {
    /// Whether it ends without an operator.
    pub(super) fn ends_by_itself(&self) -> bool {
        matches!(self, Self::Comparing { .. })
    }
}

const ACCEPT: &str =
    "Nothing of the partition is applied until `passbook restore accept` resolves it";

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Comparing { views, .. } => {
                write!(
                    f,
                    "the views are at position {views} and have another event than the log: comparing"
                )
            }
            Self::Forked { views, fork } => write!(
                f,
                "the views are at position {views}, the log ends at {}, the topic at {}: {}. {ACCEPT}",
                fork.log_position, fork.topic_position, fork.reason
            ),
            Self::LogChanged { views, confirmed } => write!(
                f,
                "the views are at position {views}, and the log does not have the event any more that it had at \
                 position {confirmed}: it was restored from a backup. {ACCEPT}"
            ),
            Self::OldEpoch { views, log, ours } => write!(
                f,
                "the views are at position {views} of epoch {ours}, the log is of epoch {log}: it was restored from a \
                 backup that is older than an accepted restore. {ACCEPT}"
            ),
            Self::Foreign { log, ours } => write!(
                f,
                "the command-service's log is of store {} with {} partitions, the views are of store {} with {}: \
                 nothing is applied. Is COMMAND_SERVICE_URL or PROJECTION_DATABASE_URL another installation's?",
                log.store_id, log.partitions, ours.store_id, ours.partitions
            ),
        }
    }
}
