//! Result of a check of the log, which the command-service returns and the projection's `verify`
//! reads.

use serde::{Deserialize, Serialize};

use crate::difference::Difference;

/// Result of a check of a part of a partition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PartitionCheck)]
pub struct LogCheck {
    /// Number of accounts folded.
    #[schema(minimum = 0, examples(250))]
    pub accounts: u64,
    /// Number of events folded.
    #[schema(minimum = 0, examples(50_017))]
    pub events: u64,
    /// Number of events that this version cannot read. Their accounts are checked up to them.
    #[schema(minimum = 0, examples(0))]
    pub unreadable: u64,
    /// Number of differences found.
    #[schema(minimum = 0, examples(0))]
    pub differences: u64,
    /// First 20 differences, and the first of each kind.
    pub samples: Vec<Difference>,
    /// Cursor of the next part; absent at the end of the partition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub next_cursor: Option<String>,
}
