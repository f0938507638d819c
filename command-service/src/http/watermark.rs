//! `PUT /v1/partitions/{partition}/settled`

use axum::Json;
use axum::extract::State;
use passbook_shared::http::extract::{Json as Body, Path};
use passbook_shared::http::gate::Holder;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::documented::{Responses, body_problems, read_problems};
use super::events::no_partition;
use super::{AppState, StoreHeaders};

/// Request to advance the watermark of a partition.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"as_of": "2026-11-24T12:00:00Z"}))]
#[schema(as = SettlePartitionRequest)]
pub(super) struct WatermarkRequest {
    /// Time in the past.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
}

/// Watermark of a partition.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({"position": "3-1042"}))]
#[schema(as = SettledPartition)]
pub(super) struct Watermark {
    /// Last position of the partition. Every event recorded at `as_of` or earlier is at or before
    /// it.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$")]
    position: Position,
}

/// Advance the watermark of a partition
///
/// Waits for running appends and guarantees that no later event is recorded in the partition at
/// `as_of` or earlier. A reader at the returned position has seen every event up to that time. The
/// projection calls this before an as-of answer. A time less than a second in the future is waited
/// for.
#[utoipa::path(put, operation_id = "settle_partition", path = "/v1/partitions/{partition}/settled",
    tag = "log",
    security(("api_key" = ["log:read"])),
    params(("partition" = i16, Path, minimum = 0, maximum = 999, description = "The partition")),
    request_body = WatermarkRequest,
    responses((status = 200, description = "The watermark has reached `as_of`", body = Watermark,
        headers(
            ("X-Store-Id" = uuid::Uuid, description = "Id of the store"),
            ("X-Partitions" = i16, description = "Number of partitions of the log"),
            ("X-Store-Epoch" = i32, description = "Epoch of the store"),
        )), Problems))]
pub(super) async fn watermark(
    State(state): State<AppState>,
    holder: Holder,
    Path(partition): Path<Partition>,
    Body(request): Body<WatermarkRequest>,
) -> Result<(StoreHeaders, Json<Watermark>), Problem> {
    let partitions = state.log.store().partitions;
    if !partitions.contains(partition) {
        return Err(no_partition(partitions));
    }
    let number = state
        .feed_turns
        .wait_for(&holder, state.log.advance_watermark(partition, request.as_of))
        .await??;
    let number = number.map_err(|still| Problem::malformed("as_of", still.to_string()))?;
    Ok((state.store_headers(), Json(Watermark { position: Position { partition, number } })))
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems(
            [Problem::malformed(
                "as_of",
                "is in the future: the current time is 2026-11-24T12:00:00.000000Z",
            )]
            .into_iter()
            .chain(body_problems()),
        )
    }
}
