//! Access of one batch to the log.

use passbook_shared::partition::PartitionCount;
use sqlx::PgConnection;

use super::snapshots::Snapshots;
use super::state_cache::CacheGuard;

/// A connection to the log, and the states in front of it.
#[derive(Debug)]
pub(crate) struct LogAccess<'a> {
    pub(crate) connection: &'a mut PgConnection,
    /// Number of partitions of the log.
    pub(crate) partitions: PartitionCount,
    pub(crate) snapshots: &'a Snapshots,
    pub(crate) caches: &'a mut CacheGuard,
}
