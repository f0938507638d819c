//! Check of the log itself by the command-service, which owns the rules.

use passbook_shared::difference::Findings;
use passbook_shared::log_check::LogCheck;
use passbook_shared::partition::Partition;

use super::error::VerifyError;
use super::progress::Progress;
use crate::feed::Feed;
use crate::store::source::Source;

/// Checks a partition of the log, page by page.
pub(super) async fn check(
    feed: Feed,
    log: Source,
    partition: Partition,
    progress: Progress,
) -> Result<(), VerifyError> {
    let mut cursor = None;
    loop {
        let (source, page) = feed.check(partition, cursor.as_deref()).await?;
        if source != log {
            return Err(VerifyError::LogChanged);
        }
        let LogCheck { differences: count, samples, next_cursor, .. } = page;
        progress.found(Findings { count, samples });
        cursor = next_cursor;
        if cursor.is_none() {
            return Ok(());
        }
    }
}
