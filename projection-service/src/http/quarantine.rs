//! `/admin/quarantine`: what could not be applied, and why.

mod discarded;
mod settle;

use axum::Json;
use axum::extract::State;
use passbook_shared::http::cursor::{self, List};
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::AppState;
use super::documented::{Responses, problems};
use super::page::{cut, limit, read_number, write_number};
use crate::quarantine::Unsettled;
use crate::store::quarantine::{self, Quarantined};

pub(super) use discarded::{__path_discarded, discarded};
pub(super) use settle::{__path_discard, __path_retry, discard, retry};

/// How many of the events that wait are shown.
const SHOWN: i64 = 1_000;

/// A record or an event that could not be applied.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Quarantined)]
pub(super) struct QuarantinedView {
    #[schema(minimum = 1, examples(1))]
    id: i64,
    /// Absent if not even that could be read.
    account_id: Option<Uuid>,
    #[schema(value_type = i32, minimum = 0, examples(3))]
    partition: Partition,
    /// Its place there in the log, if that could be read.
    #[schema(minimum = 1, examples(1042))]
    position: Option<i64>,
    /// Its place there in the topic, if it was read there.
    #[schema(minimum = 0, examples(1041))]
    offset: Option<i64>,
    /// Why it was not applied.
    #[schema(examples("event type `MoneyBurnt` is not known to this version of the program"))]
    reason: String,
    /// Later events of its account that wait behind it.
    #[schema(minimum = 0, examples(0))]
    waiting: i64,
    /// When it was set aside.
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

/// What could not be applied, oldest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct QuarantinePage {
    data: Vec<QuarantinedView>,
    /// For the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// Whether there is a next page.
    has_more: bool,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Asked {
    /// At most so many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    #[param(pattern = "^[0-7][0-9a-f]{15}-[0-9a-f]{16}$")]
    cursor: Option<String>,
}

/// What could not be applied, oldest first
///
/// An event that can't be decoded or applied is set aside. Later events of its account wait behind it, in order; other
/// accounts go on.
#[utoipa::path(get, operation_id = "list_quarantined", path = "/admin/quarantine", tag = "operations", params(Asked),
    responses((status = 200, description = "The page", body = QuarantinePage), ListProblems))]
pub(super) async fn list(
    State(state): State<AppState>,
    Query(asked): Query<Asked>,
) -> Result<Json<QuarantinePage>, Problem> {
    let limit = limit(asked.limit)?;
    let pages = List::of("quarantine", &());
    let after = asked.cursor.as_deref().map_or(Ok(0), |cursor| pages.place(cursor, read_number))?;
    let mut found =
        state.views.read(quarantine::list(state.views.pool()?, after, limit + 1)).await?;
    let has_more = cut(&mut found, limit);
    let next_cursor =
        found.last().filter(|_| has_more).map(|last| pages.cursor(write_number(last.id)));
    Ok(Json(QuarantinePage {
        data: found.into_iter().map(QuarantinedView::from).collect(),
        next_cursor,
        has_more,
    }))
}

/// A record or an event that could not be applied, with its document.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = QuarantinedWhole)]
pub(super) struct WholeView {
    #[serde(flatten)]
    row: QuarantinedView,
    #[serde(flatten)]
    document: DocumentView,
    /// Those that wait behind it, in order: at most the first 1,000.
    events: Vec<WaitingView>,
}

/// The value of the record: text, or else base64.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = QuarantinedDocument)]
struct DocumentView {
    /// If it is UTF-8. A CloudEvent, if it is an event.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<String>,
    /// If it is not.
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

/// An event that waits.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = WaitingEvent)]
struct WaitingView {
    /// Its place in its account.
    #[schema(minimum = 1, examples(8))]
    version: i64,
    /// Its place in its partition of the log.
    #[schema(minimum = 1, examples(1043))]
    position: i64,
}

/// What could not be applied, with its document
///
/// And the events that wait behind it, in their order.
#[utoipa::path(get, operation_id = "get_quarantined", path = "/admin/quarantine/{id}", tag = "operations", params(("id" = i64, Path)),
    responses((status = 200, description = "What was set aside", body = WholeView), OneProblems))]
pub(super) async fn get(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<WholeView>, Problem> {
    let id = number(&id)?;
    let pool = state.views.pool()?;
    let row = state.views.read(quarantine::find(pool, id)).await?.ok_or_else(|| not_there(id))?;
    let document =
        state.views.read(quarantine::document(pool, id)).await?.ok_or_else(|| not_there(id))?;
    let waiting = match row.account_id {
        Some(account_id) => state.views.read(quarantine::waiting(pool, account_id, SHOWN)).await?,
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

/// A number in the quarantine.
fn number(text: &str) -> Result<i64, Problem> {
    let number = text.parse().ok().filter(|id| *id >= 1);
    number.ok_or_else(|| Problem::malformed("id", "must be a number, from 1"))
}

fn not_there(id: i64) -> Problem {
    Problem::not_found(Unsettled::NotThere(id).to_string())
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
        problems([Problem::malformed("id", "must be a number, from 1"), not_there(7)])
    }
}
