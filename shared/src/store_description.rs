//! What `GET /v1/store` of the command-service tells: which store it is, its epoch, and which partitions are forked.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::epoch::{Epoch, Restores};
use crate::partition::Partition;
use crate::timestamp::Timestamp;

/// A store, its accepted restores, and the partitions on which the topic is not a mirror of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StoreDescription {
    /// Names the store in every record of the topic.
    pub store_id: Uuid,
    /// Partitions of its log.
    #[schema(value_type = i32, minimum = 1, maximum = 1000)]
    pub partitions: Partition,
    /// Raised by each accepted restore; 0 if there was none.
    #[schema(value_type = i32, minimum = 0, maximum = 1_000_000)]
    pub epoch: Epoch,
    /// The accepted restores, oldest first.
    pub restores: Vec<Restore>,
    /// Forked partitions, in ascending order.
    pub forks: Vec<Fork>,
}

/// An accepted restore of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = AcceptedRestore)]
pub struct Restore {
    /// The epoch that began with it.
    #[schema(value_type = i32, minimum = 1, maximum = 1_000_000)]
    pub epoch: Epoch,
    /// When an operator accepted it.
    #[schema(value_type = String, format = DateTime)]
    pub accepted_at: Timestamp,
    /// By partition, what this epoch and the earlier ones have in common.
    pub kept: Vec<Kept>,
}

/// The last position of a partition that an epoch and all earlier ones have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = KeptPosition)]
pub struct Kept {
    /// The partition.
    #[schema(value_type = i32)]
    pub partition: Partition,
    /// The last common position; 0 if there is none.
    #[schema(minimum = 0)]
    pub position: i64,
}

/// A partition in which the topic holds an event that the log does not have at that position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Fork {
    /// The partition.
    #[schema(value_type = i32)]
    pub partition: Partition,
    /// Where the log ends.
    #[schema(minimum = 0)]
    pub log_position: i64,
    /// The last position that the topic holds of the events the log does not have.
    #[schema(minimum = 1)]
    pub topic_position: i64,
    /// What was found, for people.
    #[schema(examples("the topic holds another event at position 1042"))]
    pub reason: String,
}

impl StoreDescription {
    /// Returns the accepted restores as far as they concern one partition.
    pub fn restores_of(&self, partition: Partition) -> Restores {
        let kept = |restore: &Restore| {
            let kept = restore.kept.iter().find(|kept| kept.partition == partition)?;
            Some((restore.epoch, kept.position))
        };
        self.restores.iter().filter_map(kept).collect()
    }
}
