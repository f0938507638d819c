//! `GET /v1/store`

use axum::Json;
use axum::extract::State;
use passbook_shared::http::problem::Problem;
use passbook_shared::store_description::StoreDescription;

use super::AppState;
use super::documented::{Responses, read_problems};

/// Which store this is
///
/// Its id, its partitions, its epoch (raised by each accepted restore of the log), and the partitions that are forked: there
/// the topic holds events that the log does not have, and commands get 503 `log_is_behind` until an operator has decided.
#[utoipa::path(get, operation_id = "get_store", path = "/v1/store", tag = "log",
    responses((status = 200, description = "The store as it is now", body = StoreDescription), Problems))]
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
