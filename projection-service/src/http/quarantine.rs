//! `/admin/quarantine`: events that could not be applied, with the reasons.

mod discarded;
mod resolve;

use axum::Json;
use passbook_shared::http::cursor::{self, List};
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::page::{cut, limit, read_number, write_number};
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::AppState;
use super::documented::{Responses, problems};
use crate::quarantine::Unresolved;
use crate::store::quarantine::{self, Quarantined};

pub(super) use discarded::{__path_discarded, discarded};
pub(super) use resolve::{__path_discard, __path_retry, discard, retry};

/// Maximum number of waiting events shown.
const SHOWN: i64 = 1_000;

/// An event that could not be applied.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Quarantined)]
pub(super) struct QuarantinedView {
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
    /// Reason of the failure.
    #[schema(examples("event type `MoneyBurnt` is not known to this build"))]
    reason: String,
    /// Number of later events of the account that wait.
    #[schema(minimum = 0, examples(0))]
    waiting: i64,
    /// Time of the quarantine.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    since: Timestamp,
}

impl From<Quarantined> for QuarantinedView {
    fn from(row: Quarantined) -> Self {
        let Quarantined {
            id,
            account_id,
            partition,
            position,
            kafka_offset,
            reason,
            waiting,
            since,
        } = row;
        Self { id, account_id, partition, position, offset: kafka_offset, reason, waiting, since }
    }
}

/// Events that could not be applied, oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct QuarantinePage {
    data: Vec<QuarantinedView>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// True if there is a next page.
    has_more: bool,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// Maximum number of events.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// `next_cursor` of the previous page.
    #[param(pattern = "^[0-7][0-9a-f]{15}-[0-9a-f]{16}$")]
    cursor: Option<String>,
}

/// Events that could not be applied, oldest first
///
/// An event that cannot be decoded or applied is quarantined. Later events of its account wait
/// behind it, in order; other accounts are not affected.
#[utoipa::path(get, operation_id = "list_quarantined", path = "/admin/quarantine",
    tag = "operations",
    security(("api_key" = ["ops:read"])),
    params(Params),
    responses((status = 200, description = "The page", body = QuarantinePage), ListProblems))]
pub(super) async fn list(
    state: AppState,
    Query(params): Query<Params>,
) -> Result<Json<QuarantinePage>, Problem> {
    let limit = limit(params.limit)?;
    let pages = List::of("quarantine", &());
    let after =
        params.cursor.as_deref().map_or(Ok(0), |cursor| pages.place(cursor, read_number))?;
    let mut found = state.views.read(|pool| quarantine::list(pool, after, limit + 1)).await?;
    let has_more = cut(&mut found, limit);
    let next_cursor =
        found.last().filter(|_| has_more).map(|last| pages.cursor(write_number(last.id)));
    Ok(Json(QuarantinePage {
        data: found.into_iter().map(QuarantinedView::from).collect(),
        next_cursor,
        has_more,
    }))
}

/// An event that could not be applied, with its document.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = QuarantinedWhole)]
pub(super) struct WholeView {
    #[serde(flatten)]
    row: QuarantinedView,
    #[serde(flatten)]
    document: DocumentView,
    /// Events that wait behind it, in order: the first 1,000.
    events: Vec<WaitingView>,
}

/// Value of the record: text, or else base64.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = QuarantinedDocument)]
struct DocumentView {
    /// Value as text, if it is UTF-8. For an event, a CloudEvent.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<String>,
    /// Value in base64, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    document_base64: Option<String>,
}

impl DocumentView {
    fn of(raw: Vec<u8>, base64: String) -> Self {
        match String::from_utf8(raw) {
            Ok(text) => Self { document: Some(text), document_base64: None },
            Err(_) => Self { document: None, document_base64: Some(base64) },
        }
    }
}

/// An event that waits behind a quarantined one.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WaitingEvent)]
struct WaitingView {
    /// Version in the account.
    #[schema(minimum = 1, examples(8))]
    version: i64,
    /// Position in its partition of the log.
    #[schema(minimum = 1, examples(1043))]
    position: i64,
}

/// An event that could not be applied, with its document
///
/// Includes the events that wait behind it, in order.
#[utoipa::path(get, operation_id = "get_quarantined", path = "/admin/quarantine/{id}",
    tag = "operations",
    security(("api_key" = ["ops:read"])),
    params(("id" = i64, Path)),
    responses((status = 200, description = "The event", body = WholeView), OneProblems))]
pub(super) async fn get(
    state: AppState,
    Path(id): Path<String>,
) -> Result<Json<WholeView>, Problem> {
    let id = number(&id)?;
    let row =
        state.views.read(|pool| quarantine::find(pool, id)).await?.ok_or_else(|| not_there(id))?;
    let document = state
        .views
        .read(|pool| quarantine::document(pool, id))
        .await?
        // The event may have been resolved since the first query.
        .ok_or_else(|| not_there(id))?;
    let waiting = match row.account_id {
        Some(account_id) => {
            state.views.read(|pool| quarantine::waiting(pool, account_id, SHOWN)).await?
        }
        None => Vec::new(),
    };
    Ok(Json(WholeView {
        row: row.into(),
        document: DocumentView::of(document.raw, document.base64),
        events: waiting
            .into_iter()
            .map(|(version, position)| WaitingView { version, position })
            .collect(),
    }))
}

/// Parses the number of a quarantined event.
fn number(text: &str) -> Result<i64, Problem> {
    let number = text.parse().ok().filter(|id| *id >= 1);
    number.ok_or_else(|| Problem::malformed("id", "must be a number, at least 1"))
}

fn not_there(id: i64) -> Problem {
    Problem::not_found(Unresolved::NotThere(id).to_string())
}

struct ListProblems;

impl utoipa::IntoResponses for ListProblems {
    fn responses() -> Responses {
        problems([cursor::unreadable()])
    }
}

struct OneProblems;

impl utoipa::IntoResponses for OneProblems {
    fn responses() -> Responses {
        problems([Problem::malformed("id", "must be a number, at least 1"), not_there(7)])
    }
}
