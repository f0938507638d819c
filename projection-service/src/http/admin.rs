//! `GET /admin/projection`: how the projection stands.

use axum::Json;
use axum::extract::State;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use serde::Serialize;

use super::AppState;
use super::documented::{Responses, problems};
use super::quarantine::QuarantinedView;
use super::replays::ReplayView;
use crate::store::{checkpoints, generations, quarantine, replays};

/// How much of the quarantine is shown.
const NEWEST: i64 = 10;

/// How the projection stands.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ProjectionStatus)]
pub(super) struct Projection {
    /// The complete set of views that queries are answered from.
    #[schema(minimum = 1, examples(1))]
    generation: i32,
    /// Each partition of the log, whichever instance applies it.
    partitions: Vec<PartitionView>,
    /// The replay that runs, or waits for its turn.
    replay: Option<ReplayView>,
    /// How many records and events are set aside because they could not be applied, or wait behind one that could not.
    #[schema(minimum = 0, examples(0))]
    quarantined: i64,
    /// Those of them that could not be applied, and why: the newest ten.
    newest_quarantined: Vec<QuarantinedView>,
}

/// How far a partition of the log has been applied.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PartitionStatus)]
struct PartitionView {
    #[schema(value_type = i32, minimum = 0, examples(3))]
    partition: Partition,
    /// Of the last event applied; 0 before the first.
    #[schema(minimum = 0, examples(1042))]
    position: i64,
    /// Where in the topic reading goes on; null before the first record.
    #[schema(minimum = 0, examples(1042))]
    offset: Option<i64>,
    /// Where the topic ends, as seen within the last second; null if Kafka was not reached yet.
    #[schema(minimum = 0, examples(1042))]
    end_offset: Option<i64>,
    /// Records of the topic that were not read yet.
    #[schema(minimum = 0, examples(0))]
    lag_events: Option<i64>,
    /// How long the oldest of them has been there, in milliseconds, to the second.
    #[schema(minimum = 0, examples(0))]
    lag_ms: Option<i64>,
}

/// How the projection stands
///
/// The live generation, and for each partition how far the views are and how far the topic is.
#[utoipa::path(get, operation_id = "get_projection", path = "/admin/projection", tag = "operations",
    responses((status = 200, description = "How it stands", body = Projection), Problems))]
pub(super) async fn projection(State(state): State<AppState>) -> Result<Json<Projection>, Problem> {
    let pool = state.views.pool()?;
    let checkpoints = state.views.read(checkpoints::all(pool)).await?;
    let partitions = checkpoints.into_iter().map(|checkpoint| {
        let lag = state.ends.lag(checkpoint.partition, checkpoint.kafka_offset);
        PartitionView {
            partition: checkpoint.partition,
            position: checkpoint.position,
            offset: checkpoint.kafka_offset,
            end_offset: lag.map(|lag| lag.end),
            lag_events: lag.map(|lag| lag.events),
            lag_ms: lag.map(|lag| lag.millis),
        }
    });
    let newest = state.views.read(quarantine::newest(pool, NEWEST)).await?;
    Ok(Json(Projection {
        generation: state.views.read(generations::live(pool)).await?.0,
        partitions: partitions.collect(),
        replay: state.views.read(replays::next(pool)).await?.map(ReplayView::of),
        quarantined: state.views.read(quarantine::held(pool)).await?.number,
        newest_quarantined: newest.into_iter().map(QuarantinedView::from).collect(),
    }))
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        problems([])
    }
}
