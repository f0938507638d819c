//! `GET /v1/accounts/{id}/events`

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::limits::Bounds;
use passbook_shared::http::problem::Problem;
use serde::Deserialize;
use uuid::Uuid;

use super::documented::{Responses, read_problems};
use super::event_stream::{self, Of};
use super::events::EventPage;
use super::whole::{LARGEST, Whole};
use super::{AppState, examples};

const DEFAULT_LIMIT: i64 = 100;
const MAX_LIMIT: i64 = 1_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AccountEventsQuery {
    /// Only events after this version; 0 if absent.
    #[param(value_type = i64, required = false, minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    after_version: Option<Whole<0, LARGEST>>,
    /// At most so many; 100 if absent. A page of large events may have fewer: `has_more` tells.
    #[param(value_type = i64, required = false, minimum = 1, maximum = 1_000)]
    limit: Option<Whole<1, MAX_LIMIT>>,
}

/// The events of an account, oldest first
///
/// Gives the events as they were recorded. Pages follow each other by `after_version`.
#[utoipa::path(get, operation_id = "list_account_events", path = "/v1/accounts/{id}/events", tag = "log",
    params(("id" = Uuid, Path, description = "The account"), AccountEventsQuery),
    responses((status = 200, description = "Some of its events", body = EventPage,
        headers(
            ("X-Store-Id" = Uuid, description = "The store whose log it is"),
            ("X-Partitions" = i16, description = "How many partitions that log has"),
            ("X-Store-Epoch" = i32, description = "The epoch of that store"),
        ),
        example = json!(examples::page())), Problems))]
pub(super) async fn account_events(
    State(state): State<AppState>,
    Extension(bounds): Extension<Arc<Bounds>>,
    Path(account_id): Path<Uuid>,
    Query(query): Query<AccountEventsQuery>,
) -> Result<Response, Problem> {
    let after_version = query.after_version.map_or(0, Whole::get);
    let limit = query.limit.map_or(DEFAULT_LIMIT, Whole::get).unsigned_abs();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let whose = state.whose();
    let page =
        event_stream::page(state, bounds.client, Of::Account(account_id), after_version, limit)
            .await?;
    Ok((whose, page).into_response())
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems([Problem::account_not_found(examples::ACCOUNT)])
    }
}
