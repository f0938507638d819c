//! `/admin/replays`: past events read again.

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

use super::documented::{Responses, problems};
use super::{AppState, log};
use crate::replay::asked::From;
use crate::store::replays::{self, Replay, State as Standing};
use crate::store::{accounts, checkpoints, generations};

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
    /// By partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = BTreeMap<String, i64>, required = false)]
    partition_offsets: Option<BTreeMap<Partition, i64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Uuid, required = false)]
    account_id: Option<Uuid>,
    /// One of `running`, `comparing`, `done`, `failed` and `cancelled`.
    #[schema(pattern = "^(running|comparing|done|failed|cancelled)$", examples("running"))]
    state: &'static str,
    /// The complete set of views that it builds, or changes.
    #[schema(minimum = 1, examples(2))]
    generation: Option<i32>,
    /// Whether generations that are not live are kept.
    keep: bool,
    /// Events passed.
    #[schema(minimum = 0, examples(640_000))]
    events_done: i64,
    /// Events to pass in all; null until it is known. Grows while commands are worked on.
    #[schema(minimum = 0, examples(1_000_000))]
    events_total: Option<i64>,
    /// Of those done, how many the topic did not have: they were taken from the log.
    #[schema(minimum = 0, examples(0))]
    events_from_log: i64,
    /// Since it was started, or started again after an end of the service.
    #[schema(minimum = 0.0, examples(120_000.0))]
    events_per_second: Option<f64>,
    /// At that rate.
    #[schema(minimum = 0, examples(3))]
    seconds_left: Option<i64>,
    /// Rows of the new views that are not as in the live ones at the same positions; null before they were compared.
    #[schema(minimum = 0, examples(0))]
    differences: Option<i64>,
    /// Some of those rows, as both generations have them.
    #[schema(value_type = Vec<Object>)]
    samples: Value,
    /// What ended it, or what it waits for.
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
    /// At most the newest 100.
    data: Vec<ReplayView>,
}

/// Begin a replay
///
/// From the beginning, a new generation of the views is built beside the live one, compared with it, and takes over;
/// otherwise the live views are taken back and the events applied again, in one transaction a partition. Queries are
/// answered all the while. One replay at a time.
#[utoipa::path(post, operation_id = "start_replay", path = "/admin/replays", tag = "operations", request_body = ReplayRequest,
    responses(
        (status = 202, description = "It was asked for", body = ReplayView,
            headers(("Location" = String, description = "Where to look how it stands"))),
        AskProblems,
    ))]
pub(super) async fn ask(
    axum::extract::State(state): State<AppState>,
    Body(asked): Body<ReplayRequest>,
) -> Result<(StatusCode, [(axum::http::HeaderName, String); 1], Json<ReplayView>), Problem> {
    let mut connection = state.views.read(state.views.pool()?.acquire()).await?;
    let (keep, from) = (asked.keep, asked.place()?);
    check(&mut connection, &from).await?;
    if let From::AccountId(account_id) = from {
        exists(&state, &mut connection, account_id).await?;
    }
    match state.views.read(replays::ask(&mut connection, &from, keep)).await? {
        Ok(replay) => {
            let location = format!("/admin/replays/{}", replay.replay_id);
            Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(ReplayView::of(replay))))
        }
        Err(open) => Err(replay_running(open.replay_id)),
    }
}

/// Checks that there is an account: in the views, or in the log, which may have one that the views have not.
async fn exists(
    state: &AppState,
    connection: &mut sqlx::PgConnection,
    account_id: Uuid,
) -> Result<(), Problem> {
    let known = state.views.read(accounts::states(connection, &[account_id])).await?;
    if known.is_empty() && log::asked(state.log.feed.event_of(account_id, 1)).await?.is_none() {
        return Err(Problem::account_not_found(account_id));
    }
    Ok(())
}

async fn check(connection: &mut sqlx::PgConnection, from: &From) -> Result<(), Problem> {
    match from {
        From::Beginning | From::Time(_) | From::AccountId(_) => Ok(()),
        From::PartitionOffsets(offsets) => {
            let partitions = checkpoints::all(connection).await?;
            for (partition, offset) in offsets {
                if !partitions.iter().any(|checkpoint| checkpoint.partition == *partition) {
                    let detail = format!("the log has no partition {partition}");
                    return Err(Problem::malformed(
                        format!("partition_offsets.{partition}"),
                        detail,
                    ));
                }
                let read = partitions
                    .iter()
                    .find(|c| c.partition == *partition)
                    .and_then(|c| c.kafka_offset)
                    .unwrap_or(0);
                if !(0..=read).contains(offset) {
                    let detail = format!("must be from 0 to {read}, up to which it was read");
                    return Err(Problem::malformed(
                        format!("partition_offsets.{partition}"),
                        detail,
                    ));
                }
            }
            match offsets.is_empty() {
                true => Err(Problem::malformed("partition_offsets", "names no partition")),
                false => Ok(()),
            }
        }
        From::Generation(wanted) => {
            let live = generations::live(&mut *connection).await?;
            let all = generations::all(connection).await?;
            match all.iter().find(|generation| generation.0 == *wanted) {
                Some(generation) if *generation == live => {
                    Err(Problem::malformed("generation", "is live"))
                }
                Some(_) => Ok(()),
                None => Err(Problem::malformed("generation", "is not there (any more)")),
            }
        }
    }
}

/// The newest replays
///
/// At most 100, the newest first; those that a reset of the consumer group began are among them.
#[utoipa::path(get, operation_id = "list_replays", path = "/admin/replays", tag = "operations",
    responses((status = 200, description = "Newest first", body = Replays), Problems))]
pub(super) async fn list(
    axum::extract::State(state): State<AppState>,
) -> Result<Json<Replays>, Problem> {
    let found = state.views.read(replays::newest(state.views.pool()?)).await?;
    Ok(Json(Replays { data: found.into_iter().map(ReplayView::of).collect() }))
}

/// How a replay stands
///
/// Its state, what it has done and what is left.
#[utoipa::path(get, operation_id = "get_replay", path = "/admin/replays/{replay_id}", tag = "operations", params(("replay_id" = Uuid, Path)),
    responses((status = 200, description = "How it stands", body = ReplayView), OneProblems))]
pub(super) async fn get(
    axum::extract::State(state): State<AppState>,
    Path(id): Path<Uuid>,
) -> Result<Json<ReplayView>, Problem> {
    find(&state, id).await.map(Json)
}

/// Cancel a replay
///
/// What it has built is dropped, and the live views are as if it had not been. One that has ended stays as it is.
#[utoipa::path(delete, operation_id = "cancel_replay", path = "/admin/replays/{replay_id}", tag = "operations", params(("replay_id" = Uuid, Path)),
    responses((status = 202, description = "It ends", body = ReplayView), OneProblems))]
pub(super) async fn cancel(
    axum::extract::State(state): State<AppState>,
    Path(id): Path<Uuid>,
) -> Result<(StatusCode, Json<ReplayView>), Problem> {
    state.views.read(replays::cancel(state.views.pool()?, id)).await?;
    find(&state, id).await.map(|replay| (StatusCode::ACCEPTED, Json(replay)))
}

async fn find(state: &AppState, id: Uuid) -> Result<ReplayView, Problem> {
    let found = state.views.read(replays::find(state.views.pool()?, id)).await?;
    found.map(ReplayView::of).ok_or_else(|| replay_not_found(id))
}

impl ReplayView {
    /// A replay as people see it.
    pub(super) fn of(replay: Replay) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a guess for people"
        )]
        let seconds_left = match (replay.events_total, replay.events_per_second) {
            (Some(total), Some(rate)) if rate > 0.0 && !replay.state.is_ended() => {
                Some(((total - replay.events_done).max(0) as f64 / rate).ceil() as i64)
            }
            _ => None,
        };
        let asked = ReplayRequest::of(replay.asked_for, replay.keep);
        Self {
            id: replay.replay_id,
            from: asked.from,
            time: asked.time,
            partition_offsets: asked.partition_offsets,
            account_id: asked.account_id,
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

fn replay_running(id: Uuid) -> Problem {
    Problem::new(StatusCode::CONFLICT, "replay_running", format!("replay {id} is not at its end"))
        .with("replay_id", id.to_string())
}

fn replay_not_found(id: Uuid) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "replay_not_found", format!("there is no replay {id}"))
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
            log::log_unavailable(),
        ])
    }
}
