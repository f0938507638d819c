//! What a check of the log has found, as the command-service answers and the projection's `verify` reads it.

use serde::{Deserialize, Serialize};

use crate::difference::Difference;

/// Some of a partition's log, checked.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PartitionCheck)]
pub struct LogCheck {
    /// Accounts that were folded.
    #[schema(minimum = 0, examples(250))]
    pub accounts: u64,
    /// Events that were folded.
    #[schema(minimum = 0, examples(50_017))]
    pub events: u64,
    /// Accounts that were checked only up to an event that can't be read.
    #[schema(minimum = 0, examples(0))]
    pub unreadable: u64,
    /// Differences that were found.
    #[schema(minimum = 0, examples(0))]
    pub differences: u64,
    /// The first 20 of them, and the first of each kind.
    pub samples: Vec<Difference>,
    /// Where to go on; absent at the end of the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub next_cursor: Option<String>,
}
