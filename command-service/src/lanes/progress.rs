//! Progress of a batch.

use crate::log::prior_outcomes::SentVersions;

/// Progress of a batch through its attempts.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// True if the next attempt is pessimistic.
    pub(super) is_pessimistic: bool,
    /// Versions of accounts before the first append that was sent to Postgres.
    pub(super) sent: SentVersions,
    /// True if an append was sent and the connection broke before the answer. The log may contain
    /// the append.
    pub(super) in_doubt: bool,
    /// Number of attempts that failed because of a stale state.
    pub(super) stale: u32,
}
