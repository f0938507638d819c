//! Problems of failed queries.

use super::Problem;
use crate::fault::Fault;
use crate::store_error::{self, is_connection_lost, is_unavailable};

static QUERIES: Fault = Fault::new("Postgres can't answer queries of requests");

impl Problem {
    /// Returns the problem of a failed query: `overloaded` after a timeout, `store_unavailable` if
    /// Postgres cannot answer, else `internal_error`.
    pub fn from_store(error: &sqlx::Error) -> Self {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            // Readiness distinguishes overload and outage; a warning per request would fill the
            // log.
            tracing::debug!(%error, "a query took too long");
            Self::reads_overloaded()
        } else if is_connection_lost(error) || is_unavailable(error) {
            // A service that is starting or stopping has no pool, which is not a fault.
            if !matches!(error, sqlx::Error::PoolClosed) {
                QUERIES.occurred(store_error::reason(error));
            }
            Self::store_unavailable(&store_error::reason(error))
        } else {
            tracing::error!(%error, "a query failed");
            Self::internal()
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::from_store(&error)
    }
}
