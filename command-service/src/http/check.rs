//! `GET /v1/partitions/{partition}/check`

use axum::Json;
use axum::extract::State;
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::problem::Problem;
use passbook_shared::log_check::LogCheck;
use passbook_shared::partition::Partition;
use serde::Deserialize;

use super::documented::{Responses, read_problems};
use super::events::no_partition;
use super::whole::Whole;
use super::{AppState, Whose};
use crate::log::check::{Checked, Cursor};

const DEFAULT_LIMIT: i64 = 20_000;
const MAX_LIMIT: i64 = 100_000;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CheckQuery {
    /// Where to go on: `next_cursor` of the answer before. From the beginning if absent.
    #[param(required = false)]
    cursor: Option<String>,
    /// Events to fold, about so many; 20,000 if absent. An account is never folded in part.
    #[param(value_type = i64, required = false, minimum = 1, maximum = 100_000)]
    limit: Option<Whole<1, MAX_LIMIT>>,
}

impl From<Checked> for LogCheck {
    fn from(Checked { accounts, events, unreadable, findings, next }: Checked) -> Self {
        let (differences, samples) = (findings.count, findings.samples);
        let next_cursor = next.map(|next| next.to_string());
        Self { accounts, events, unreadable, differences, samples, next_cursor }
    }
}

/// Check the log of a partition
///
/// Folds accounts, and tells each event that the rules do not allow on the account before it, or that lacks its other leg;
/// and each snapshot, hold, transfer, reversal and head that is not what the events give. `verify` asks this of every
/// partition.
#[utoipa::path(get, operation_id = "check_partition", path = "/v1/partitions/{partition}/check", tag = "log",
    params(("partition" = i16, Path, minimum = 0, maximum = 999, description = "The partition"), CheckQuery),
    responses((status = 200, description = "Some of the partition was checked", body = LogCheck,
        headers(
            ("X-Store-Id" = uuid::Uuid, description = "The store whose log it is"),
            ("X-Partitions" = i16, description = "How many partitions that log has"),
            ("X-Store-Epoch" = i32, description = "The epoch of that store"),
        )), Problems))]
pub(super) async fn check(
    State(state): State<AppState>,
    Path(partition): Path<Partition>,
    Query(query): Query<CheckQuery>,
) -> Result<(Whose, Json<LogCheck>), Problem> {
    let partitions = state.log.store().partitions;
    if !(0..partitions).contains(&partition) {
        return Err(no_partition(partitions));
    }
    let cursor = query.cursor.as_deref().map(str::parse::<Cursor>).transpose();
    let cursor = cursor.map_err(|detail| Problem::malformed("cursor", detail))?;
    let limit =
        usize::try_from(query.limit.map_or(DEFAULT_LIMIT, Whole::get)).unwrap_or(usize::MAX);
    Ok((state.whose(), Json(state.checker.page(partition, cursor, limit).await?.into())))
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems([Problem::malformed("cursor", "is not a cursor of this check")])
    }
}
