//! Parts of the service that lanes work with.

use passbook_shared::partition::PartitionCount;
use sqlx::PgPool;
use tokio::sync::mpsc;

use crate::log::append::Appended;
use crate::log::clock::LogClock;
use crate::log::snapshots::Snapshots;
use crate::restore::standing::Standing;
use crate::writes::Writes;

/// Parts of the service that lanes work with.
#[derive(Debug, Clone)]
pub struct LaneDeps {
    /// Number of partitions of the log.
    pub partitions: PartitionCount,
    /// Time of the log.
    pub clock: LogClock,
    /// Connections for reading the log before a command queues.
    pub pool: PgPool,
    /// Receiver of what is appended.
    pub relay: mpsc::Sender<Appended>,
    /// Receiver of states that are worth a snapshot.
    pub snapshots: Snapshots,
    /// Health of the appends.
    pub writes: Writes,
    /// Forked partitions, on which commands are refused.
    pub standing: Standing,
}
