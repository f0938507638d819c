//! Progress of the views in one partition, as the consumer, replays and verification share it.

use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

/// Last event applied in a partition, and the topic offset to resume from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Checkpoint {
    /// Partition of the log.
    pub partition: Partition,
    /// Position of the last event applied; 0 before the first.
    pub position: i64,
    /// Number of changes to the views of the partition by writers other than the consumer.
    pub epoch: i64,
    /// Topic offset to resume from; absent before the first record was read.
    pub kafka_offset: Option<i64>,
    /// Id of the last event applied.
    pub event_id: Option<Uuid>,
    /// Time at which the last event applied was recorded.
    pub recorded_at: Option<Timestamp>,
}
