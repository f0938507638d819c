//! `GET /v1/accounts/{id}`: an account now, at a version, or as of a time.

use std::collections::BTreeMap;

use axum::http::header::ETAG;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use passbook_shared::event::AccountStatus;
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::headers::{etag, none_match};
use passbook_shared::http::problem::Problem;
use passbook_shared::position::Position;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::documented::{ACCOUNT, Responses, Wait, account_problems};
use super::metadata::parse_metadata;
use super::{AppState, problems};
use crate::store::accounts::{self, Account};
use crate::store::scope::Scope;
use crate::store::{history, quarantine};

/// An account. Amounts are in minor units of its currency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Account)]
pub(super) struct AccountView {
    account_id: Uuid,
    /// Tenant, if the account has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(examples("acme"))]
    tenant: Option<String>,
    /// An opaque reference.
    #[schema(examples("customer-4711"))]
    owner: String,
    /// ISO 4217.
    #[schema(min_length = 3, max_length = 3, examples("EUR"))]
    currency: String,
    status: AccountStatus,
    /// Sum of all entries.
    #[schema(examples(125_000))]
    balance: i64,
    /// Sum of the open holds.
    #[schema(examples(0))]
    held: i64,
    /// `balance - held`.
    #[schema(examples(125_000))]
    available: i64,
    /// Amount by which `available` may fall below 0.
    #[schema(examples(0))]
    overdraft_limit: i64,
    /// Number of movements of money, plus 1 for the opening.
    #[schema(minimum = 1, examples(7))]
    transaction_count: i64,
    /// Metadata of the opening.
    metadata: BTreeMap<String, String>,
    /// Time at which the opening was recorded, whatever its `effective_at`.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    opened_at: Timestamp,
    /// Time at which the newest event was recorded.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    last_activity: Timestamp,
    /// Version or position of the newest event in this view.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Version or position of the newest event in this view.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    /// Time at which the first event of the account was quarantined. Later events are missing from
    /// this view. Usually absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(
        value_type = Option<String>,
        format = DateTime,
        examples("2026-11-24T12:00:00.000000Z")
    )]
    quarantined_since: Option<Timestamp>,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        let state = account.state;
        Self {
            account_id: account.account_id,
            tenant: account.tenant,
            owner: account.owner,
            currency: account.currency,
            status: state.status,
            balance: state.balance,
            held: state.held,
            available: state.balance - state.held,
            overdraft_limit: state.overdraft_limit,
            transaction_count: state.transaction_count,
            metadata: parse_metadata(account.metadata.as_deref()),
            opened_at: account.opened_at,
            last_activity: account.last_activity,
            version: state.version,
            position: account.position,
            quarantined_since: account.quarantined_since,
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Params {
    /// State after the event with this version. If that event was discarded, the state before it.
    #[param(minimum = 1)]
    version: Option<i64>,
    /// State as recorded at this time. The answer never changes. Not together with `version`.
    #[param(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Wait until the view has reached this version.
    #[param(minimum = 1)]
    min_version: Option<i64>,
}

/// An account, now or in the past
///
/// With `min_version` the answer waits until the view has reached that version, for at most the
/// time in `Prefer: wait`, so that clients read their own writes. An account that the views have
/// not seen yet is 503 `view_behind`; it is 404 only if the log does not have it either.
#[utoipa::path(get, operation_id = "get_account", path = "/v1/accounts/{id}", tag = "accounts",
    security(("api_key" = ["accounts:read"])),
    params(
        ("id" = Uuid, Path, description = "The account"),
        Params,
        Wait,
        ("If-None-Match" = Option<String>, Header,
            description = "`\"7\"`: 304 if that is still the version"),
    ),
    responses(
        (status = 200, description = "The account", body = AccountView,
            headers(("ETag" = String, description = "The version, in quotes"))),
        (status = 304, description = "The client has the current version"),
        Problems,
    ))]
pub(super) async fn get(
    state: AppState,
    scope: Scope,
    Path(account_id): Path<Uuid>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if params.version.is_some() && params.as_of.is_some() {
        return Err(Problem::malformed("as_of", "cannot be combined with `version`"));
    }
    state.until_version(&headers, &scope, account_id, params.min_version).await?;
    state.until_recorded(&headers, account_id, params.as_of).await?;
    let account = find(&state, &scope, account_id, &params).await?;
    let tag = etag(account.state.version);
    // Quarantined events do not change the version, so their presence must be reported each time.
    if account.quarantined_since.is_none() && none_match(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    Ok(([(ETAG, tag)], axum::Json(AccountView::from(account))).into_response())
}

async fn find(
    state: &AppState,
    scope: &Scope,
    account_id: Uuid,
    params: &Params,
) -> Result<Account, Problem> {
    let views = &state.views;
    if let Some(version) = params.version {
        if version < 1 {
            return Err(Problem::malformed("version", "must be a version, at least 1"));
        }
        let found =
            views.read(|pool| history::at_version(pool, scope, account_id, version)).await?;
        return match found {
            Some(account) => Ok(account),
            None => Err(no_version(state, scope, account_id).await?),
        };
    }
    let found = match params.as_of {
        Some(moment) => views.read(|pool| history::as_of(pool, scope, account_id, moment)).await?,
        None => views.read(|pool| accounts::find(pool, scope, account_id)).await?,
    };
    match found {
        Some(account) => Ok(account),
        None => Err(state.no_account(scope, account_id).await?),
    }
}

impl AppState {
    /// Returns 404 for an account without a view. Its events may be quarantined, the opening
    /// included.
    pub(super) async fn no_account(
        &self,
        scope: &Scope,
        account_id: Uuid,
    ) -> Result<Problem, Problem> {
        let since = self.quarantined_since(scope, account_id).await?;
        let problem = Problem::account_not_found(account_id);
        Ok(problems::with_quarantine(problem, since))
    }

    /// Returns the time at which an account without a view was quarantined, for senders that may
    /// know of every account.
    pub(super) async fn quarantined_since(
        &self,
        scope: &Scope,
        account_id: Uuid,
    ) -> sqlx::Result<Option<Timestamp>> {
        if scope.reach().is_everything() {
            self.views.read(|pool| quarantine::since(pool, account_id)).await
        } else {
            Ok(None)
        }
    }
}

async fn no_version(state: &AppState, scope: &Scope, account_id: Uuid) -> Result<Problem, Problem> {
    let newest = state.views.read(|pool| accounts::version(pool, scope, account_id)).await?;
    match newest {
        Some(newest) => Ok(Problem::version_not_found(account_id, newest)),
        None => state.no_account(scope, account_id).await,
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        account_problems([Problem::version_not_found(ACCOUNT, 7), problems::log_unavailable()])
    }
}
