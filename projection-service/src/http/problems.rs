//! Problems of the endpoints, one function each.

use axum::http::StatusCode;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use uuid::Uuid;

/// Returns 503 for the view of an account that has not reached a version.
pub(super) fn account_behind(account_id: Uuid, found: i64, wanted: i64) -> Problem {
    let detail =
        format!("the view of account {account_id} is at version {found}, not yet at {wanted}");
    view_behind(detail).with("version", found)
}

/// Returns 503 for views that have not reached a position.
pub(super) fn views_behind(found: Position, wanted: Position) -> Problem {
    view_behind(format!("the views are at {found}, not yet at {wanted}"))
        .with("position", found.to_string())
}

/// Returns 400 for a partition that the log does not have.
pub(super) fn no_partition(asked: Partition, last: Partition) -> Problem {
    Problem::malformed(
        "at_least",
        format!("partition {asked} does not exist: the log has partitions 0 to {last}"),
    )
}

fn view_behind(detail: String) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "view_behind", detail).retry_after(1)
}

/// Adds the time since which events of the account are quarantined, if any are.
pub(super) fn with_quarantine(problem: Problem, since: Option<Timestamp>) -> Problem {
    match since {
        Some(since) => problem.with("quarantined_since", since.to_string()),
        None => problem,
    }
}

/// Returns 503 `log_unavailable`.
pub(super) fn log_unavailable() -> Problem {
    let detail = "the command-service, which has the log, cannot answer now";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", detail).retry_after(1)
}

/// Returns 404 for an entry that was discarded.
pub(super) fn entry_discarded(account_id: Uuid, version: i64) -> Problem {
    let detail = format!(
        "version {version} of account {account_id} could not be applied, and was discarded"
    );
    Problem::new(StatusCode::NOT_FOUND, "entry_not_found", detail)
}

/// Returns 404 for a transfer without a leg in the views.
pub(super) fn transfer_not_found(transfer_id: Uuid) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "transfer_not_found",
        format!("transfer {transfer_id} does not exist"),
    )
}

/// Returns 409 for a replay while another one is open.
pub(super) fn replay_running(id: Uuid) -> Problem {
    Problem::new(StatusCode::CONFLICT, "replay_running", format!("replay {id} is still running"))
        .with("replay_id", id.to_string())
}

/// Returns 404 for an unknown replay.
pub(super) fn replay_not_found(id: Uuid) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "replay_not_found", format!("replay {id} does not exist"))
}

/// Returns 409 for a verification while another one runs.
pub(super) fn verify_running(id: Uuid) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "verify_running",
        format!("verification {id} is still running"),
    )
    .with("verify_id", id.to_string())
}

/// Returns 404 for an unknown verification.
pub(super) fn verify_not_found(id: Uuid) -> Problem {
    let detail = format!("verification {id} does not exist, or is no longer kept");
    Problem::new(StatusCode::NOT_FOUND, "verify_not_found", detail)
}
