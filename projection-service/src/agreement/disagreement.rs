//! Reasons why a partition is halted, in words.

use std::fmt;

use passbook_shared::epoch::Epoch;
use passbook_shared::store_description::Fork;
use tokio::time::Instant;

use crate::store::source::Source;

/// Disagreement of the views with the log that halts a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Disagreement {
    /// The views have another event than the log, and the cause is not known yet. Ends without an
    /// operator.
    Comparing {
        /// Position of the views.
        views: i64,
        /// Time at which the difference was found.
        since: Instant,
    },
    /// The relay found that the log is behind the topic.
    Forked {
        /// Position of the views.
        views: i64,
        /// Fork reported by the store.
        fork: Fork,
    },
    /// The log lost an event that it had confirmed.
    LogChanged {
        /// Position of the views.
        views: i64,
        /// Position of that event.
        confirmed: i64,
    },
    /// The log is in an earlier epoch than the views.
    OldEpoch {
        /// Position of the views.
        views: i64,
        /// Epoch of the log.
        log: Epoch,
        /// Epoch of the views.
        ours: Epoch,
    },
    /// The log belongs to another store than the views.
    Foreign {
        /// Source of the log.
        log: Source,
        /// Source of the views.
        ours: Source,
    },
}

impl Disagreement {
    /// Returns whether the disagreement ends without an operator.
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
                    "the views are at position {views} and have another event than the log: \
                     comparing"
                )
            }
            Self::Forked { views, fork } => write!(
                f,
                "the views are at position {views}, the log ends at {}, the topic at {}: {}. \
                 {ACCEPT}",
                fork.log_position, fork.topic_position, fork.reason
            ),
            Self::LogChanged { views, confirmed } => write!(
                f,
                "the views are at position {views}, and the log lost the event that it \
                 had at position {confirmed}: it was restored from a backup. {ACCEPT}"
            ),
            Self::OldEpoch { views, log, ours } => write!(
                f,
                "the views are at position {views} of epoch {ours}, the log is of epoch \
                 {log}: it was restored from a backup that is older than an accepted restore. \
                 {ACCEPT}"
            ),
            Self::Foreign { log, ours } => write!(
                f,
                "the command-service's log is of store {} with {} partitions, the views are \
                 of store {} with {}: nothing is applied. Does COMMAND_SERVICE_URL or \
                 PROJECTION_DATABASE_URL point to another installation?",
                log.store_id, log.partitions, ours.store_id, ours.partitions
            ),
        }
    }
}
