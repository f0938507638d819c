//! `/admin/replays`: replays of past events.

mod check;
pub(crate) mod request;
mod stream;
mod view;

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use passbook_shared::http::extract::{Json as Body, Path};
use passbook_shared::http::problem::Problem;
use serde::Serialize;
use uuid::Uuid;

use super::AppState;
use super::documented::{Responses, problems};
use super::problems::{log_unavailable, replay_not_found, replay_running};
use crate::store::replay_target::ReplayTarget;
use crate::store::replays;

use request::ReplayRequest;
pub(super) use stream::{__path_stream, stream};
pub(super) use view::ReplayView;

/// Replays, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ReplayList)]
pub(super) struct Replays {
    /// The newest 100.
    data: Vec<ReplayView>,
}

/// Start a replay
///
/// A replay from the beginning builds a new generation of the views, compares it with the live one,
/// and then makes it live. Any other replay rewinds the live views and applies the events again, in
/// one transaction per partition. Queries are answered throughout. Only one replay runs at a time.
#[utoipa::path(post, operation_id = "start_replay", path = "/admin/replays", tag = "operations",
    security(("api_key" = ["ops:replay"])),
    request_body = ReplayRequest,
    responses(
        (status = 202, description = "Started", body = ReplayView,
            headers(("Location" = String, description = "Where to poll the status"))),
        AskProblems,
    ))]
pub(super) async fn ask(
    state: AppState,
    Body(params): Body<ReplayRequest>,
) -> Result<(StatusCode, [(axum::http::HeaderName, String); 1], Json<ReplayView>), Problem> {
    let mut connection = state.views.read(|pool| pool.acquire()).await?;
    let (keep, from) = (params.keep, params.place()?);
    check::target(&mut connection, &from).await?;
    if let ReplayTarget::AccountId(account_id) = from {
        check::account_exists(&state, &mut connection, account_id).await?;
    }
    match state.views.read(|_| replays::ask(&mut connection, &from, keep)).await? {
        Ok(replay) => {
            let location = format!("/admin/replays/{}", replay.replay_id);
            Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(ReplayView::of(replay))))
        }
        Err(open) => Err(replay_running(open.replay_id)),
    }
}

/// List the newest replays
///
/// Returns at most 100, newest first, including those that a reset of the consumer group started.
#[utoipa::path(get, operation_id = "list_replays", path = "/admin/replays", tag = "operations",
    security(("api_key" = ["ops:read"])),
    responses((status = 200, description = "The replays", body = Replays), Problems))]
pub(super) async fn list(state: AppState) -> Result<Json<Replays>, Problem> {
    let found = state.views.read(replays::newest).await?;
    Ok(Json(Replays { data: found.into_iter().map(ReplayView::of).collect() }))
}

/// Status of a replay
///
/// Shows the state of the replay, its progress and its result.
#[utoipa::path(get, operation_id = "get_replay", path = "/admin/replays/{replay_id}",
    tag = "operations",
    security(("api_key" = ["ops:read"])),
    params(("replay_id" = Uuid, Path)),
    responses((status = 200, description = "The status", body = ReplayView), OneProblems))]
pub(super) async fn get(
    state: AppState,
    Path(id): Path<Uuid>,
) -> Result<Json<ReplayView>, Problem> {
    find(&state, id).await.map(Json)
}

/// Cancel a replay
///
/// Drops what the replay has built and leaves the live views unchanged. A replay that has ended
/// stays as it is.
#[utoipa::path(delete, operation_id = "cancel_replay", path = "/admin/replays/{replay_id}",
    tag = "operations",
    security(("api_key" = ["ops:replay"])),
    params(("replay_id" = Uuid, Path)),
    responses(
        (status = 202, description = "Cancelled, or about to be", body = ReplayView),
        OneProblems))]
pub(super) async fn cancel(
    state: AppState,
    Path(id): Path<Uuid>,
) -> Result<(StatusCode, Json<ReplayView>), Problem> {
    state.views.read(|pool| replays::cancel(pool, id)).await?;
    find(&state, id).await.map(|replay| (StatusCode::ACCEPTED, Json(replay)))
}

async fn find(state: &AppState, id: Uuid) -> Result<ReplayView, Problem> {
    let found = state.views.read(|pool| replays::find(pool, id)).await?;
    found.map(ReplayView::of).ok_or_else(|| replay_not_found(id))
}

const EXAMPLE: Uuid = Uuid::from_u128(0x0199_0d2c_6f4a_7d3e_9b1a_5c8e_2f7a_4b61);

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        problems([])
    }
}

struct OneProblems;

impl utoipa::IntoResponses for OneProblems {
    fn responses() -> Responses {
        problems([Problem::malformed("replay_id", "is not a UUID"), replay_not_found(EXAMPLE)])
    }
}

struct AskProblems;

impl utoipa::IntoResponses for AskProblems {
    fn responses() -> Responses {
        let malformed = Problem::malformed(
            "from",
            "unknown variant `begining`, expected one of `beginning`, `time`, …",
        );
        problems([
            malformed,
            Problem::account_not_found(EXAMPLE),
            replay_running(EXAMPLE),
            Problem::unsupported_media_type(),
            log_unavailable(),
        ])
    }
}
