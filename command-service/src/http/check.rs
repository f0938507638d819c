//! `GET /v1/partitions/{partition}/check`

use axum::Json;
use axum::extract::State;
use passbook_shared::http::bounded::QueryInt;
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::problem::Problem;
use passbook_shared::log_check::LogCheck;
use passbook_shared::partition::Partition;
use serde::Deserialize;

use super::documented::{Responses, read_problems};
use super::events::no_partition;
use super::{AppState, StoreHeaders};
use crate::log::check::{CheckedPage, Cursor};

const DEFAULT_LIMIT: i64 = 20_000;
const MAX_LIMIT: i64 = 100_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CheckQuery {
    /// `next_cursor` of the previous answer; absent to start at the beginning.
    #[param(required = false)]
    cursor: Option<String>,
    /// Approximate number of events to fold; 20,000 if absent. An account is always folded as a
    /// whole.
    #[param(value_type = i64, required = false, minimum = 1, maximum = 100_000)]
    limit: Option<QueryInt<1, MAX_LIMIT>>,
}

impl From<CheckedPage> for LogCheck {
    fn from(CheckedPage { accounts, events, unreadable, findings, next }: CheckedPage) -> Self {
        let (differences, samples) = (findings.count, findings.samples);
        let next_cursor = next.map(|next| next.to_string());
        Self { accounts, events, unreadable, differences, samples, next_cursor }
    }
}

/// Check a partition of the log
///
/// Folds accounts and reports each event that the rules forbid on the account before it, or whose
/// other transfer leg is missing. Also reports each snapshot, hold, transfer, reversal and head
/// that differs from its events. `verify` runs this check on every partition.
#[utoipa::path(get, operation_id = "check_partition", path = "/v1/partitions/{partition}/check",
    tag = "log",
    security(("api_key" = ["log:read"])),
    params(("partition" = i16, Path, minimum = 0, maximum = 999, description = "The partition"),
    CheckQuery),
    responses((status = 200, description = "Result for one part of the partition", body = LogCheck,
        headers(
            ("X-Store-Id" = uuid::Uuid, description = "Id of the store"),
            ("X-Partitions" = i16, description = "Number of partitions of the log"),
            ("X-Store-Epoch" = i32, description = "Epoch of the store"),
        )), Problems))]
pub(super) async fn check(
    State(state): State<AppState>,
    Path(partition): Path<Partition>,
    Query(query): Query<CheckQuery>,
) -> Result<(StoreHeaders, Json<LogCheck>), Problem> {
    let partitions = state.log.store().partitions;
    if !partitions.contains(partition) {
        return Err(no_partition(partitions));
    }
    let cursor = query.cursor.as_deref().map(str::parse::<Cursor>).transpose();
    let cursor = cursor.map_err(|detail| Problem::malformed("cursor", detail))?;
    let limit =
        usize::try_from(query.limit.map_or(DEFAULT_LIMIT, QueryInt::get)).unwrap_or(usize::MAX);
    Ok((state.store_headers(), Json(state.checker.page(partition, cursor, limit).await?.into())))
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems([Problem::malformed("cursor", "is not a cursor of this check")])
    }
}
