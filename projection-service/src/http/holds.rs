//! `GET /v1/accounts/{id}/holds`: holds of an account.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use passbook_shared::event::HoldStatus;
use passbook_shared::http::cursor::List;
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::headers::{etag, none_match};
use passbook_shared::http::page::{cut, limit, read_number, write_number};
use passbook_shared::http::problem::Problem;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::AppState;
use super::documented::{Responses, Wait, account_problems};
use super::metadata::parse_metadata;
use crate::store::accounts;
use crate::store::history::holds::{self, Hold};
use crate::store::scope::Scope;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// Only holds with this status.
    #[param(inline)]
    status: Option<HoldStatus>,
    /// Maximum number of holds.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
    /// `next_cursor` of the previous page. The other parameters must be the same as for that page.
    #[param(pattern = "^[0-7][0-9a-f]{15}-[0-9a-f]{16}$")]
    cursor: Option<String>,
    /// Wait until the view has reached this version.
    #[param(minimum = 1)]
    min_version: Option<i64>,
}

/// A page of holds, newest first.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct HoldPage {
    data: Vec<HoldView>,
    /// Version of the account that the page shows. It is also the `ETag`.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Time at which the first event of the account was quarantined. Later events are missing from
    /// this view. Usually absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = Option<String>,
        format = DateTime,
        examples("2026-11-24T12:00:00.000000Z")
    )]
    quarantined_since: Option<Timestamp>,
    /// Cursor of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    /// True if there is a next page.
    has_more: bool,
}

/// A hold. Amounts are in minor units of the account's currency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Hold)]
struct HoldView {
    hold_id: Uuid,
    /// Amount held when the hold was placed.
    #[schema(minimum = 1, examples(5_000))]
    amount: i64,
    /// Amount captured. The rest of the amount was released.
    #[schema(minimum = 0, examples(3_000))]
    captured: i64,
    status: HoldStatus,
    /// Time at which the hold expires, if it does.
    #[schema(
        value_type = Option<String>,
        format = DateTime,
        examples("2026-12-01T00:00:00.000000Z")
    )]
    expires_at: Option<Timestamp>,
    /// Reference, in the sender's words.
    #[schema(examples("room 12"))]
    reference: Option<String>,
    /// Metadata of the placement.
    metadata: BTreeMap<String, String>,
    /// Version of the account's event that placed the hold.
    #[schema(minimum = 2, examples(7))]
    placed_version: i64,
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    placed_at: Timestamp,
    /// Version of the account's event that ended the hold.
    #[schema(minimum = 3, examples(9))]
    ended_version: Option<i64>,
    #[schema(
        value_type = Option<String>,
        format = DateTime,
        examples("2026-11-26T09:30:00.000000Z")
    )]
    ended_at: Option<Timestamp>,
}

impl From<Hold> for HoldView {
    fn from(hold: Hold) -> Self {
        let Hold { hold_id, amount, captured, status, expires_at, reference, .. } = hold;
        let Hold { metadata, placed_version, placed_at, ended_version, ended_at, .. } = hold;
        let metadata = parse_metadata(metadata.as_deref());
        Self {
            hold_id,
            amount,
            captured,
            status,
            expires_at,
            reference,
            metadata,
            placed_version,
            placed_at,
            ended_version,
            ended_at,
        }
    }
}

/// The holds of an account, newest first
///
/// A hold past its expiry stays open until the log records that it has expired.
#[utoipa::path(get, operation_id = "list_holds", path = "/v1/accounts/{id}/holds", tag = "accounts",
    security(("api_key" = ["accounts:read"])),
    params(("id" = Uuid, Path, description = "The account"), Params, Wait,
        ("If-None-Match" = Option<String>, Header,
            description = "`\"7\"`: 304 if that is still the version")),
    responses((status = 200, description = "The page", body = HoldPage,
        headers(("ETag" = String,
            description = "Version of the account that the page shows, in quotes"))),
        (status = 304, description = "The client has the current version"), Problems))]
pub(super) async fn list(
    state: AppState,
    scope: Scope,
    Path(account_id): Path<Uuid>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = limit(params.limit)?;
    let pages = List::of("holds", &(account_id, params.status));
    let before =
        params.cursor.as_deref().map_or(Ok(i64::MAX), |cursor| pages.place(cursor, read_number))?;
    state.until_version(&headers, &scope, account_id, params.min_version).await?;
    let Some(account) = state.views.read(|pool| accounts::find(pool, &scope, account_id)).await?
    else {
        return Err(state.no_account(&scope, account_id).await?);
    };
    // Pins the version, so that the page ignores events applied between the two queries.
    let version = account.state.version;
    let tag = etag(version);
    // Quarantined events do not change the version, so their presence must be reported each time.
    if account.quarantined_since.is_none() && none_match(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    let mut found = state
        .views
        .read(|pool| {
            holds::list(pool, account.in_scope(), version, before, params.status, limit + 1)
        })
        .await?;
    let has_more = cut(&mut found, limit);
    let page = HoldPage {
        version,
        next_cursor: found
            .last()
            .filter(|_| has_more)
            .map(|last| pages.cursor(write_number(last.placed_version))),
        data: found.into_iter().map(HoldView::from).collect(),
        quarantined_since: account.quarantined_since,
        has_more,
    };
    Ok(([(ETAG, tag)], Json(page)).into_response())
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        account_problems([])
    }
}
