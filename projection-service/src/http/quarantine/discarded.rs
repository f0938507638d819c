//! `GET /admin/quarantine/discarded`: discarded events, with the reasons.

use axum::Json;
use passbook_shared::http::cursor::List;
use passbook_shared::http::extract::Query;
use passbook_shared::http::page::{cut, limit, read_number, write_number};
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{DocumentView, ListProblems, Params};
use crate::http::AppState;
use crate::store::discarded::{self, Discarded};

/// A discarded event.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DiscardedRecord)]
struct DiscardedView {
    #[schema(minimum = 1, examples(1))]
    id: i64,
    /// Absent if not readable.
    account_id: Option<Uuid>,
    #[schema(value_type = i32, minimum = 0, examples(3))]
    partition: Partition,
    /// Position in the log, if readable.
    #[schema(minimum = 1, examples(1042))]
    position: Option<i64>,
    /// Offset in the topic; absent if the event came from the log.
    #[schema(minimum = 0, examples(1041))]
    offset: Option<i64>,
    /// Version in the account, if readable.
    #[schema(minimum = 1, examples(7))]
    version: Option<i64>,
    /// Reason of the quarantine.
    #[schema(examples("event type `MoneyBurnt` is not known to this build"))]
    reason: String,
    /// Time of the quarantine.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    since: Timestamp,
    /// Reason of the discard.
    #[schema(examples("written by a test of ours, INC-4711"))]
    discard_reason: String,
    /// Time of the discard.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T13:00:00.000000Z"))]
    discarded_at: Timestamp,
    #[serde(flatten)]
    document: DocumentView,
}

impl From<Discarded> for DiscardedView {
    fn from(row: Discarded) -> Self {
        Self {
            id: row.id,
            account_id: row.account_id,
            partition: row.partition,
            position: row.position,
            offset: row.kafka_offset,
            version: row.version,
            reason: row.reason,
            since: row.since,
            discard_reason: row.discard_reason,
            discarded_at: row.discarded_at,
            document: DocumentView::of(row.document, row.document_base64),
        }
    }
}

/// Discarded events, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct DiscardedPage {
    data: Vec<DiscardedView>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// True if there is a next page.
    has_more: bool,
}

/// Discarded events, newest first
///
/// Discarded events are kept for good, across all generations of the views. New generations skip
/// the same events, unless they can be applied by then.
#[utoipa::path(get, operation_id = "list_discarded", path = "/admin/quarantine/discarded",
    tag = "operations",
    security(("api_key" = ["ops:read"])),
    params(Params),
    responses((status = 200, description = "The page", body = DiscardedPage), ListProblems))]
pub(in crate::http) async fn discarded(
    state: AppState,
    Query(params): Query<Params>,
) -> Result<Json<DiscardedPage>, Problem> {
    let limit = limit(params.limit)?;
    let pages = List::of("discarded", &());
    let before =
        params.cursor.as_deref().map_or(Ok(i64::MAX), |cursor| pages.place(cursor, read_number))?;
    let mut found = state.views.read(|pool| discarded::list(pool, before, limit + 1)).await?;
    let has_more = cut(&mut found, limit);
    let next_cursor =
        found.last().filter(|_| has_more).map(|last| pages.cursor(write_number(last.id)));
    Ok(Json(DiscardedPage {
        data: found.into_iter().map(DiscardedView::from).collect(),
        next_cursor,
        has_more,
    }))
}
