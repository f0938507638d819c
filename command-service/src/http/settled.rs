//! `PUT /v1/partitions/{partition}/settled`

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use passbook_shared::http::extract::{Json as Body, Path};
use passbook_shared::http::limits::Bounds;
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::documented::{Responses, body_problems, read_problems};
use super::events::no_partition;
use super::{AppState, Whose};

/// What is to be settled.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"as_of": "2026-11-24T12:00:00Z"}))]
#[schema(as = SettlePartitionRequest)]
pub(super) struct SettleRequest {
    /// A time that is past.
    #[schema(value_type = String, format = DateTime)]
    as_of: Timestamp,
}

/// What there is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({"position": "3-1042"}))]
#[schema(as = SettledPartition)]
pub(super) struct Settled {
    /// The partition's last position: all that was recorded by then is there or before.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$")]
    position: Position,
}

/// Settle a partition as of a time
///
/// Waits for what is being appended, and sees to it that nothing is recorded in the partition at that time or before any more:
/// whoever has read it up to the position knows all of it. The projection asks this before it tells anything as of a time. A
/// time that is less than a second off is waited for.
#[utoipa::path(put, operation_id = "settle_partition", path = "/v1/partitions/{partition}/settled", tag = "log",
    params(("partition" = i16, Path, minimum = 0, maximum = 999, description = "The partition")),
    request_body = SettleRequest,
    responses((status = 200, description = "It is settled", body = Settled,
        headers(
            ("X-Store-Id" = uuid::Uuid, description = "The store whose log it is"),
            ("X-Partitions" = i16, description = "How many partitions that log has"),
            ("X-Store-Epoch" = i32, description = "The epoch of that store"),
        )), Problems))]
pub(super) async fn settled(
    State(state): State<AppState>,
    Extension(bounds): Extension<Arc<Bounds>>,
    Path(partition): Path<Partition>,
    Body(request): Body<SettleRequest>,
) -> Result<(Whose, Json<Settled>), Problem> {
    let partitions = state.log.store().partitions;
    if !(0..partitions).contains(&partition) {
        return Err(no_partition(partitions));
    }
    let number = state
        .feed_turns
        .wait_for(bounds.client, state.log.settle(partition, request.as_of))
        .await??;
    let number = number.map_err(|still| Problem::malformed("as_of", still.to_string()))?;
    Ok((state.whose(), Json(Settled { position: Position { partition, number } })))
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems(
            [Problem::malformed(
                "as_of",
                "is in the future: it is 2026-11-24T12:00:00.000000Z now",
            )]
            .into_iter()
            .chain(body_problems()),
        )
    }
}
