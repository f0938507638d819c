//! `GET /admin/projection`: status of the projection.

use axum::Json;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use serde::Serialize;

use super::AppState;
use super::documented::{Responses, problems};
use super::quarantine::QuarantinedView;
use super::replays::ReplayView;
use crate::store::{checkpoints, generations, quarantine, replays};

/// Number of quarantined events shown.
const NEWEST: i64 = 10;

/// Status of the projection.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ProjectionStatus)]
pub(super) struct Projection {
    /// Generation that answers queries.
    #[schema(minimum = 1, examples(1))]
    generation: i32,
    /// Status of each partition, across all instances.
    partitions: Vec<PartitionView>,
    /// Running or queued replay.
    replay: Option<ReplayView>,
    /// Number of events that could not be applied, or that wait behind such an event.
    #[schema(minimum = 0, examples(0))]
    quarantined: i64,
    /// The newest ten events that could not be applied.
    newest_quarantined: Vec<QuarantinedView>,
}

/// Progress of a partition.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = PartitionStatus)]
struct PartitionView {
    #[schema(value_type = i32, minimum = 0, examples(3))]
    partition: Partition,
    /// Position of the last event applied; 0 before the first.
    #[schema(minimum = 0, examples(1042))]
    position: i64,
    /// Next offset to read; null before the first record.
    #[schema(minimum = 0, examples(1042))]
    offset: Option<i64>,
    /// End of the topic, at most one second old; null before Kafka is reached.
    #[schema(minimum = 0, examples(1042))]
    end_offset: Option<i64>,
    /// Number of records of the topic that are not read yet.
    #[schema(minimum = 0, examples(0))]
    lag_events: Option<i64>,
    /// Age of the oldest unread record in milliseconds, accurate to one second.
    #[schema(minimum = 0, examples(0))]
    lag_ms: Option<i64>,
}

/// Status of the projection
///
/// Shows the live generation, and the progress of the views and the topic in each partition.
#[utoipa::path(get, operation_id = "get_projection", path = "/admin/projection", tag = "operations",
    security(("api_key" = ["ops:read"])),
    responses((status = 200, description = "The status", body = Projection), Problems))]
pub(super) async fn projection(state: AppState) -> Result<Json<Projection>, Problem> {
    let checkpoints = state.views.read(checkpoints::all).await?;
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
    let newest = state.views.read(|pool| quarantine::newest(pool, NEWEST)).await?;
    Ok(Json(Projection {
        generation: state.views.read(generations::live).await?.0,
        partitions: partitions.collect(),
        replay: state.views.read(replays::next).await?.map(ReplayView::of),
        quarantined: state.views.read(quarantine::size).await?.number,
        newest_quarantined: newest.into_iter().map(QuarantinedView::from).collect(),
    }))
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        problems([])
    }
}
