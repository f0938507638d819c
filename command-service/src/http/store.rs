//! `GET /v1/store`

use axum::Json;
use axum::extract::State;
use passbook_shared::http::problem::Problem;
use passbook_shared::store_description::StoreDescription;

use super::AppState;
use super::documented::{Responses, read_problems};

/// Get the store
///
/// Returns the store's id, partitions, epoch and forks. Each accepted restore of the log raises the
/// epoch.
///
/// In a forked partition the topic holds events that the log lacks. Commands on it get 503
/// `log_is_behind` until an operator resolves the fork.
#[utoipa::path(get, operation_id = "get_store", path = "/v1/store", tag = "log",
    security(("api_key" = ["log:read"])),
    responses((status = 200, description = "The current store", body = StoreDescription),
    Problems))]
pub(super) async fn store(
    State(state): State<AppState>,
) -> Result<Json<StoreDescription>, Problem> {
    Ok(Json(state.log.describe().await?))
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems([])
    }
}
