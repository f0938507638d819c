//! `POST /admin/quarantine/{id}/retry` and `/discard`: resolve a quarantined event.

use std::time::Duration;

use axum::Json;
use axum::http::StatusCode;
use passbook_shared::http::extract::{Json as Body, Path};
use passbook_shared::http::problem::Problem;
use passbook_shared::store_error::{is_unavailable, within};
use passbook_shared::text::Text;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{not_there, number};
use crate::http::AppState;
use crate::http::documented::{Responses, problems};
use crate::quarantine::{self, Resolution, Unresolved};

/// Maximum time of a retry or discard, for the largest number of waiting events.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Result of a retry or discard.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = QuarantineResult)]
pub(in crate::http) struct ResolutionView {
    /// Number of events that were applied.
    #[schema(minimum = 0, examples(3))]
    applied: usize,
    /// Number of events of the account that stay quarantined because another one cannot be applied.
    #[schema(minimum = 0, examples(0))]
    left: i64,
}

/// Request to discard an event.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DiscardRequest {
    /// Reason, for later readers.
    #[schema(
        value_type = String,
        min_length = 1,
        max_length = 500,
        examples("written by a test of ours, INC-4711")
    )]
    reason: Text<500, 1>,
}

/// Retry a quarantined event
///
/// Applies the event with this version of the program, then all that wait behind it, in order,
/// until one cannot be applied. That one stays with its new reason, and those behind it keep
/// waiting. Runs in one transaction.
#[utoipa::path(post, operation_id = "retry_quarantined", path = "/admin/quarantine/{id}/retry",
    tag = "operations",
    security(("api_key" = ["ops:quarantine"])),
    params(("id" = i64, Path)),
    responses(
        (status = 200, description = "The event was applied", body = ResolutionView),
        RetryProblems))]
pub(in crate::http) async fn retry(
    state: AppState,
    Path(id): Path<String>,
) -> Result<Json<ResolutionView>, Problem> {
    resolve(state, number(&id)?, None).await
}

/// Discard a quarantined event
///
/// Records the event with the reason and its document. The events behind it are applied without it,
/// in one transaction: the account's version moves past it, and its history has no entry for it. An
/// event that can be applied is not discarded.
#[utoipa::path(post, operation_id = "discard_quarantined", path = "/admin/quarantine/{id}/discard",
    tag = "operations",
    security(("api_key" = ["ops:quarantine"])),
    params(("id" = i64, Path)),
    request_body = DiscardRequest,
    responses(
        (status = 200, description = "The event was discarded", body = ResolutionView),
        DiscardProblems))]
pub(in crate::http) async fn discard(
    state: AppState,
    Path(id): Path<String>,
    Body(params): Body<DiscardRequest>,
) -> Result<Json<ResolutionView>, Problem> {
    resolve(state, number(&id)?, Some(params.reason)).await
}

/// Discards the event if there is a reason, and retries it otherwise. Completes even if the client
/// disconnects.
async fn resolve(
    state: AppState,
    id: i64,
    reason: Option<Text<500, 1>>,
) -> Result<Json<ResolutionView>, Problem> {
    let resolving = async move {
        let mut connection = state.views.read(|pool| pool.acquire()).await?;
        match reason {
            Some(reason) => quarantine::discard(&mut connection, id, &reason).await,
            None => quarantine::retry(&mut connection, id).await,
        }
    };
    match tokio::spawn(within(TIMEOUT, resolving)).await {
        Ok(Ok(Resolution { applied, left })) => Ok(Json(ResolutionView { applied, left })),
        Ok(Err(unresolved)) => Err(problem(unresolved)),
        Err(error) => {
            tracing::error!(%error, "the task that resolves a quarantined event panicked");
            Err(Problem::internal())
        }
    }
}

fn problem(unresolved: Unresolved) -> Problem {
    let detail = unresolved.to_string();
    match unresolved {
        Unresolved::Store(error) if is_unavailable(&error) => busy(),
        Unresolved::Store(error) => Problem::from_store(&error),
        Unresolved::NotThere(id) => not_there(id),
        Unresolved::StillUnapplicable(reason) => {
            Problem::new(StatusCode::CONFLICT, "still_unapplicable", detail).with("reason", reason)
        }
        Unresolved::Applicable => Problem::new(StatusCode::CONFLICT, "applicable", detail),
        Unresolved::Replaying(replay) => {
            Problem::new(StatusCode::CONFLICT, "replay_running", detail)
                .with("replay_id", replay.to_string())
        }
    }
}

fn busy() -> Problem {
    let detail = "another request is changing the same views; this one has changed nothing";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(1)
}

const REPLAY: Uuid = Uuid::from_u128(0x0199_0d2c_6f4a_7d3e_9b1a_5c8e_2f7a_4b61);

/// Documents the problems that both endpoints share.
fn documented(own: impl IntoIterator<Item = Problem>) -> Responses {
    let both = [not_there(7), problem(Unresolved::Replaying(REPLAY)), busy(), still_unapplicable()];
    problems(both.into_iter().chain(own))
}

fn still_unapplicable() -> Problem {
    let reason = "event type `MoneyBurnt` is not known to this build";
    problem(Unresolved::StillUnapplicable(reason.to_owned()))
}

struct RetryProblems;

impl utoipa::IntoResponses for RetryProblems {
    fn responses() -> Responses {
        documented([Problem::malformed("id", "must be a number, at least 1")])
    }
}

struct DiscardProblems;

impl utoipa::IntoResponses for DiscardProblems {
    fn responses() -> Responses {
        let malformed =
            Problem::malformed("reason", "text has 0 characters, but must have 1 to 500");
        documented([malformed, problem(Unresolved::Applicable), Problem::unsupported_media_type()])
    }
}
