//! `/admin/replays`: replays of past events.

mod check;
pub(crate) mod request;
mod stream;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use passbook_shared::http::extract::{Json as Body, Path};
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::AppState;
use super::documented::{Responses, problems};
use super::problems::{log_unavailable, replay_not_found, replay_running};
use crate::store::replay_target::ReplayTarget;
use crate::store::replays::{self, Replay, State as Standing};

use request::{ReplayFrom, ReplayRequest};
pub(super) use stream::{__path_stream, stream};

/// A replay.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = Replay)]
pub(super) struct ReplayView {
    id: Uuid,
    from: ReplayFrom,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, format = DateTime)]
    time: Option<Timestamp>,
    /// Offsets by partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = BTreeMap<String, i64>, required = false)]
    partition_offsets: Option<BTreeMap<Partition, i64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Uuid, required = false)]
    account_id: Option<Uuid>,
    /// One of `running`, `comparing`, `done`, `failed` and `cancelled`.
    #[schema(pattern = "^(running|comparing|done|failed|cancelled)$", examples("running"))]
    state: &'static str,
    /// Generation that the replay builds or changes.
    #[schema(minimum = 1, examples(2))]
    generation: Option<i32>,
    /// True if generations that are not live are kept.
    keep: bool,
    /// Number of events processed.
    #[schema(minimum = 0, examples(640_000))]
    events_done: i64,
    /// Total number of events to process; null until known. Grows while commands are accepted.
    #[schema(minimum = 0, examples(1_000_000))]
    events_total: Option<i64>,
    /// Number of processed events that came from the log because the topic lacks them.
    #[schema(minimum = 0, examples(0))]
    events_from_log: i64,
    /// Rate since the last start or resumption.
    #[schema(minimum = 0.0, examples(120_000.0))]
    events_per_second: Option<f64>,
    /// Time left at that rate, in seconds.
    #[schema(minimum = 0, examples(3))]
    seconds_left: Option<i64>,
    /// Number of rows that differ between the new and the live views at the same positions; null
    /// before the comparison.
    #[schema(minimum = 0, examples(0))]
    differences: Option<i64>,
    /// Some of the differing rows, as both generations have them.
    #[schema(value_type = Vec<Object>)]
    samples: Value,
    /// Error that ended the replay, or the condition that it waits for.
    error: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    asked_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
}

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
    request_body = ReplayRequest,
    responses(
        (status = 202, description = "Started", body = ReplayView,
            headers(("Location" = String, description = "Where to poll the status"))),
        AskProblems,
    ))]
pub(super) async fn ask(
    axum::extract::State(state): State<AppState>,
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
    responses((status = 200, description = "The replays", body = Replays), Problems))]
pub(super) async fn list(
    axum::extract::State(state): State<AppState>,
) -> Result<Json<Replays>, Problem> {
    let found = state.views.read(replays::newest).await?;
    Ok(Json(Replays { data: found.into_iter().map(ReplayView::of).collect() }))
}

/// Status of a replay
///
/// Shows the state of the replay, its progress and its result.
#[utoipa::path(get, operation_id = "get_replay", path = "/admin/replays/{replay_id}",
    tag = "operations",
    params(("replay_id" = Uuid, Path)),
    responses((status = 200, description = "The status", body = ReplayView), OneProblems))]
pub(super) async fn get(
    axum::extract::State(state): State<AppState>,
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
    params(("replay_id" = Uuid, Path)),
    responses(
        (status = 202, description = "Cancelled, or about to be", body = ReplayView),
        OneProblems))]
pub(super) async fn cancel(
    axum::extract::State(state): State<AppState>,
    Path(id): Path<Uuid>,
) -> Result<(StatusCode, Json<ReplayView>), Problem> {
    state.views.read(|pool| replays::cancel(pool, id)).await?;
    find(&state, id).await.map(|replay| (StatusCode::ACCEPTED, Json(replay)))
}

async fn find(state: &AppState, id: Uuid) -> Result<ReplayView, Problem> {
    let found = state.views.read(|pool| replays::find(pool, id)).await?;
    found.map(ReplayView::of).ok_or_else(|| replay_not_found(id))
}

impl ReplayView {
    /// Converts a stored replay.
    pub(super) fn of(replay: Replay) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "an estimate"
        )]
        let seconds_left = match (replay.events_total, replay.events_per_second) {
            (Some(total), Some(rate)) if rate > 0.0 && !replay.state.is_ended() => {
                Some(((total - replay.events_done).max(0) as f64 / rate).ceil() as i64)
            }
            _ => None,
        };
        let request = ReplayRequest::of(replay.asked_for, replay.keep);
        Self {
            id: replay.replay_id,
            from: request.from,
            time: request.time,
            partition_offsets: request.partition_offsets,
            account_id: request.account_id,
            state: match replay.state {
                Standing::Noticed | Standing::Waiting | Standing::Running => "running",
                ended @ (Standing::Comparing
                | Standing::Done
                | Standing::Failed
                | Standing::Cancelled) => ended.as_str(),
            },
            generation: replay.generation,
            keep: replay.keep,
            events_done: replay.events_done,
            events_total: replay.events_total,
            events_from_log: replay.events_from_log,
            events_per_second: replay.events_per_second,
            seconds_left,
            differences: replay.differences,
            samples: replay.samples.map_or_else(|| Value::Array(Vec::new()), |samples| samples.0),
            error: replay.error,
            asked_at: replay.asked_at,
            started_at: replay.started_at,
            ended_at: replay.ended_at,
        }
    }
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
