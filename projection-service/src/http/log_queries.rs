//! Queries answered from the command-service's log.

use std::time::Duration;

use passbook_shared::fault::Fault;
use passbook_shared::http::problem::Problem;
use tokio::time::timeout;

use super::problems;
use crate::feed::FeedError;

/// Maximum time of a query of the log.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);

static UNASKED: Fault = Fault::new("cannot query the command-service's log");

/// Returns the log's answer, or 503 `log_unavailable`.
pub(super) async fn query<T>(
    query: impl Future<Output = Result<T, FeedError>>,
) -> Result<T, Problem> {
    match timeout(LOG_TIMEOUT, query).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(unavailable(&error.to_string())),
        Err(_) => Err(unavailable("timed out")),
    }
}

/// Logs the reason, which clients must not see, and returns 503 `log_unavailable`.
pub(super) fn unavailable(why: &str) -> Problem {
    UNASKED.occurred(why);
    problems::log_unavailable()
}
