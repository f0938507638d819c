//! `GET /v1/accounts/{id}/events`

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use passbook_shared::http::bounded::{LARGEST, QueryInt};
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::gate::{Caller, Holder};
use passbook_shared::http::problem::Problem;
use serde::Deserialize;
use uuid::Uuid;

use super::documented::{Responses, read_problems};
use super::event_stream::{self, EventRange};
use super::events::EventPage;
use super::{AppState, examples};

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AccountEventsQuery {
    /// Returns only events after this version; 0 if absent.
    #[param(value_type = i64, required = false, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    after_version: Option<QueryInt<0, LARGEST>>,
    /// Maximum number of events; 100 if absent. A page of large events may be shorter: `has_more`
    /// says whether more follow.
    #[param(value_type = i64, required = false, minimum = 1, maximum = 1_000)]
    limit: Option<QueryInt<1, MAX_LIMIT>>,
}

/// List an account's events
///
/// Returns the recorded events, oldest first. `after_version` selects the next page.
#[utoipa::path(get, operation_id = "list_account_events", path = "/v1/accounts/{id}/events",
    tag = "log",
    security(("api_key" = ["accounts:read"]), ("api_key" = ["log:read"])),
    params(("id" = Uuid, Path, description = "The account"), AccountEventsQuery),
    responses((status = 200, description = "A page of events", body = EventPage,
        headers(
            ("X-Store-Id" = Uuid, description = "Id of the store"),
            ("X-Partitions" = i16, description = "Number of partitions of the log"),
            ("X-Store-Epoch" = i32, description = "Epoch of the store"),
        ),
        example = json!(examples::page())), Problems))]
pub(super) async fn account_events(
    State(state): State<AppState>,
    holder: Holder,
    Extension(caller): Extension<Caller>,
    Path(account_id): Path<Uuid>,
    Query(query): Query<AccountEventsQuery>,
) -> Result<Response, Problem> {
    state.check_reach(&caller, &holder, account_id).await?;
    let after_version = query.after_version.map_or(0, QueryInt::get);
    let limit = query.limit.map_or(DEFAULT_LIMIT, QueryInt::get).unsigned_abs();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let headers = state.store_headers();
    let page =
        event_stream::page(state, holder, EventRange::Account(account_id), after_version, limit)
            .await?;
    Ok((headers, page).into_response())
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems([Problem::account_not_found(examples::ACCOUNT)])
    }
}
