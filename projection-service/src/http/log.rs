//! What the views can't tell, the log is asked for.

use std::time::Duration;

use axum::http::StatusCode;
use passbook_shared::fault::Fault;
use passbook_shared::http::problem::Problem;
use tokio::time::timeout;

use crate::feed::FeedError;

/// How long the log may take.
const LOG_TIMEOUT: Duration = Duration::from_secs(2);

static UNASKED: Fault = Fault::new("requests can't be answered without the command-service's log");

/// What the log says, or 503 `log_unavailable`.
pub(super) async fn asked<T>(
    asked: impl Future<Output = Result<T, FeedError>>,
) -> Result<T, Problem> {
    match timeout(LOG_TIMEOUT, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(unavailable(&error.to_string())),
        Err(_) => Err(unavailable("it took too long")),
    }
}

/// 503: the log can't be asked. Why is for our own log.
pub(super) fn unavailable(why: &str) -> Problem {
    UNASKED.occurred(why);
    log_unavailable()
}

/// 503 `log_unavailable`.
pub(super) fn log_unavailable() -> Problem {
    let detail = "the command-service, which has the log, can't be asked now";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", detail).retry_after(1)
}
