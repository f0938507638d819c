//! Reading the log.
use passbook_shared::partition::Partition;
use sqlx::PgPool;
/// Reads the log.
#[derive(Debug, Clone)]
pub struct LogReader {
    pub(crate) pool: PgPool,
    pub(crate) partitions: Partition,
}
impl LogReader {
    /// A reader.
    pub fn new(pool: PgPool, partitions: Partition) -> Self {
        Self { pool, partitions }
    }
}
