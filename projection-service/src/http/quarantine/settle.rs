//! `POST /admin/quarantine/{id}/retry` and `/discard`: what was set aside is applied after all, or thrown away.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use passbook_shared::http::extract::{Json as Body, Path};
use passbook_shared::http::problem::Problem;
use passbook_shared::store_error::is_unavailable;
use passbook_shared::store_error::within;
use passbook_shared::text::Text;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{not_there, number};
use crate::http::AppState;
use crate::http::documented::{Responses, problems};
use crate::quarantine::{self, Settled, Unsettled};

/// How long it may take, with as many events as may wait.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What came of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = QuarantineResult)]
pub(in crate::http) struct SettledView {
    /// Events that were applied.
    #[schema(minimum = 0, examples(3))]
    applied: usize,
    /// Events of the account that are set aside still: another of them can't be applied.
    #[schema(minimum = 0, examples(0))]
    left: i64,
}

/// Why something is thrown away.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DiscardRequest {
    /// For who asks later.
    #[schema(value_type = String, min_length = 1, max_length = 500, examples("written by a test of ours, INC-4711"))]
    reason: Text<500, 1>,
}

/// Try again what could not be applied
///
/// With what this version of the program knows. Then all that waits behind it is applied, in order, until an event can't
/// be: that one stays with its new reason, and those behind it go on waiting. All in one transaction.
#[utoipa::path(post, operation_id = "retry_quarantined", path = "/admin/quarantine/{id}/retry", tag = "operations", params(("id" = i64, Path)),
    responses((status = 200, description = "It was applied", body = SettledView), RetryProblems))]
pub(in crate::http) async fn retry(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<SettledView>, Problem> {
    settle(state, number(&id)?, None).await
}

/// Throw away what could not be applied
///
/// That is recorded with its reason and its document. What waits behind it is applied without it, in one transaction: the
/// account's version moves past it, and its history has no entry for it. What can be applied is not thrown away.
#[utoipa::path(post, operation_id = "discard_quarantined", path = "/admin/quarantine/{id}/discard", tag = "operations", params(("id" = i64, Path)),
    request_body = DiscardRequest,
    responses((status = 200, description = "It was thrown away", body = SettledView), DiscardProblems))]
pub(in crate::http) async fn discard(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Body(asked): Body<DiscardRequest>,
) -> Result<Json<SettledView>, Problem> {
    settle(state, number(&id)?, Some(asked.reason)).await
}

/// Discards, if there is a reason; else tries again. Once begun it goes to its end, also when the client goes away.
async fn settle(
    state: AppState,
    id: i64,
    reason: Option<Text<500, 1>>,
) -> Result<Json<SettledView>, Problem> {
    let settling = async move {
        let mut connection = state.views.read(state.views.pool()?.acquire()).await?;
        match reason {
            Some(reason) => quarantine::discard(&mut connection, id, &reason).await,
            None => quarantine::retry(&mut connection, id).await,
        }
    };
    match tokio::spawn(within(TIMEOUT, settling)).await {
        Ok(Ok(Settled { applied, left })) => Ok(Json(SettledView { applied, left })),
        Ok(Err(unsettled)) => Err(problem(unsettled)),
        Err(error) => {
            tracing::error!(%error, "settling what was set aside has ended");
            Err(Problem::internal())
        }
    }
}

fn problem(unsettled: Unsettled) -> Problem {
    let detail = unsettled.to_string();
    match unsettled {
        Unsettled::Store(error) if is_unavailable(&error) => busy(),
        Unsettled::Store(error) => Problem::from_store(&error),
        Unsettled::NotThere(id) => not_there(id),
        Unsettled::StillUnapplicable(reason) => {
            Problem::new(StatusCode::CONFLICT, "still_unapplicable", detail).with("reason", reason)
        }
        Unsettled::Applicable => Problem::new(StatusCode::CONFLICT, "applicable", detail),
        Unsettled::Replaying(replay) => {
            Problem::new(StatusCode::CONFLICT, "replay_running", detail)
                .with("replay_id", replay.to_string())
        }
    }
}

fn busy() -> Problem {
    let detail = "others change the same views; nothing was changed by this request";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(1)
}

const REPLAY: Uuid = Uuid::from_u128(0x0199_0d2c_6f4a_7d3e_9b1a_5c8e_2f7a_4b61);

/// Of both.
fn documented(own: impl IntoIterator<Item = Problem>) -> Responses {
    let both = [not_there(7), problem(Unsettled::Replaying(REPLAY)), busy(), still_unapplicable()];
    problems(both.into_iter().chain(own))
}

fn still_unapplicable() -> Problem {
    let reason = "event type `MoneyBurnt` is not known to this version of the program";
    problem(Unsettled::StillUnapplicable(reason.to_owned()))
}

struct RetryProblems;

impl utoipa::IntoResponses for RetryProblems {
    fn responses() -> Responses {
        documented([Problem::malformed("id", "must be a number, from 1")])
    }
}

struct DiscardProblems;

impl utoipa::IntoResponses for DiscardProblems {
    fn responses() -> Responses {
        let malformed =
            Problem::malformed("reason", "text of 0 characters, where 1 to 500 are allowed");
        documented([malformed, problem(Unsettled::Applicable), Problem::unsupported_media_type()])
    }
}
