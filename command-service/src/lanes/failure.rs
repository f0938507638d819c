//! Failures of an attempt to append a batch.

#[cfg(test)]
mod tests;

use passbook_shared::store_error::{self, is_connection_lost, is_unavailable, violated_constraint};

use crate::decision::Defect;

/// Reasons for which an attempt failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// A state that was decided on was stale. Nothing was appended.
    StaleState,
    /// The connection is lost, for the reason given. The batch may have been appended.
    Lost(String),
    /// Postgres answers that it can't work now, with the reason. Nothing was appended.
    Unavailable(String),
    /// A partition of the log is forked. Nothing was appended.
    Forked,
    /// A defect. Nothing was appended.
    Defect,
}

impl Failure {
    /// Returns the failure of an attempt that took too long. The connection counts as lost, because
    /// Postgres may still commit an append that was sent.
    pub(super) fn late() -> Self {
        Self::Lost("Postgres does not answer in time".into())
    }
}

impl From<Defect> for Failure {
    fn from(error: Defect) -> Self {
        tracing::error!(%error, "a batch failed");
        Self::Defect
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        // First, because any other violated constraint counts as a stale state.
        if violated_constraint(&error) == Some("log_is_not_forked") {
            Self::Forked
        } else if violated_constraint(&error).is_some() {
            // Not a warning: the optimistic append relies on such refusals, and the batch is
            // repeated.
            tracing::debug!(%error, "a batch was decided on a stale state");
            Self::StaleState
        } else if is_connection_lost(&error) {
            Self::Lost(store_error::reason(&error))
        } else if is_unavailable(&error) {
            Self::Unavailable(store_error::reason(&error))
        } else {
            tracing::error!(%error, "a batch failed");
            Self::Defect
        }
    }
}
