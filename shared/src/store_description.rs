//! Answer of the command-service's `GET /v1/store`.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::epoch::{Epoch, Restores};
use crate::partition::{Partition, PartitionCount};
use crate::timestamp::Timestamp;

/// Identity of a store, its accepted restores, and its forked partitions, where the topic does not
/// mirror the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StoreDescription {
    /// Id of the store, which every record of the topic carries.
    pub store_id: Uuid,
    /// Number of partitions of the log.
    #[schema(value_type = i32, minimum = 1, maximum = 1000)]
    pub partitions: PartitionCount,
    /// Epoch, raised by each accepted restore; 0 without any.
    #[schema(value_type = i32, minimum = 0, maximum = 1_000_000)]
    pub epoch: Epoch,
    /// Accepted restores, oldest first.
    pub restores: Vec<Restore>,
    /// Forked partitions, in ascending order.
    pub forks: Vec<Fork>,
}

/// Accepted restore of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AcceptedRestore)]
pub struct Restore {
    /// Epoch that began with the restore.
    #[schema(value_type = i32, minimum = 1, maximum = 1_000_000)]
    pub epoch: Epoch,
    /// Time at which an operator accepted the restore.
    #[schema(value_type = String, format = DateTime)]
    pub accepted_at: Timestamp,
    /// Last position of each partition that this epoch shares with all earlier ones.
    pub kept: Vec<Kept>,
}

/// Last position of a partition that an epoch shares with all earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = KeptPosition)]
pub struct Kept {
    /// Partition of the log.
    #[schema(value_type = i32)]
    pub partition: Partition,
    /// Last shared position; 0 without any.
    #[schema(minimum = 0)]
    pub position: i64,
}

/// Partition in which the topic has an event at a position where the log has another or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fork {
    /// Partition of the log.
    #[schema(value_type = i32)]
    pub partition: Partition,
    /// Last position of the log.
    #[schema(minimum = 0)]
    pub log_position: i64,
    /// Last position in the topic that the log does not share.
    #[schema(minimum = 1)]
    pub topic_position: i64,
    /// Description of the fork.
    #[schema(examples("the topic holds another event at position 1042"))]
    pub reason: String,
}

impl StoreDescription {
    /// Returns the accepted restores of one partition.
    pub fn restores_of(&self, partition: Partition) -> Restores {
        let kept = |restore: &Restore| {
            let kept = restore.kept.iter().find(|kept| kept.partition == partition)?;
            Some((restore.epoch, kept.position))
        };
        self.restores.iter().filter_map(kept).collect()
    }
}

#[cfg(test)]
mod tests;
