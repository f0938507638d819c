//! `GET /v1/accounts/{id}`: an account now, at a version, or at a time.

use std::collections::BTreeMap;

use axum::extract::State;
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
use super::labels::labels;
use super::{AppState, log};
use crate::store::accounts::{self, Account};
use crate::store::{history, quarantine};

/// An account. Amounts in minor units of its currency.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Account)]
pub(super) struct AccountView {
    account_id: Uuid,
    /// An opaque reference.
    #[schema(examples("customer-4711"))]
    owner: String,
    /// ISO 4217.
    #[schema(min_length = 3, max_length = 3, examples("EUR"))]
    currency: String,
    status: AccountStatus,
    /// What is on it.
    #[schema(examples(125_000))]
    balance: i64,
    /// The sum of the open holds.
    #[schema(examples(0))]
    held: i64,
    /// `balance - held`.
    #[schema(examples(125_000))]
    available: i64,
    /// How far below 0 `available` may go.
    #[schema(examples(0))]
    overdraft_limit: i64,
    /// Opening (1) and every movement of money.
    #[schema(minimum = 1, examples(7))]
    transaction_count: i64,
    /// The opener's labels.
    metadata: BTreeMap<String, String>,
    /// The time at which the opening was recorded, whatever its `effective_at`.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    opened_at: Timestamp,
    /// The time of the newest event.
    #[schema(value_type = String, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    last_activity: Timestamp,
    /// Of the newest event in this view.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Of the newest event in this view.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    /// Since when later events of it are set aside, which could not be applied; absent as a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, examples("2026-11-24T12:00:00.000000Z"))]
    quarantined_since: Option<Timestamp>,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        let state = account.state;
        Self {
            account_id: account.account_id,
            owner: account.owner,
            currency: account.currency,
            status: state.status,
            balance: state.balance,
            held: state.held,
            available: state.balance - state.held,
            overdraft_limit: state.overdraft_limit,
            transaction_count: state.transaction_count,
            metadata: labels(account.metadata.as_deref()),
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
pub(super) struct Asked {
    /// As it was after the event with this version; as the one before it left it, if that event was discarded.
    #[param(minimum = 1)]
    version: Option<i64>,
    /// As recorded at this time: the same whenever it is asked for. Not together with `version`.
    #[param(value_type = Option<String>, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Wait until the view has got to this version.
    #[param(minimum = 1)]
    min_version: Option<i64>,
}

/// An account, now or in the past
///
/// With `min_version` the answer waits until the view is there (as long as `Prefer: wait` says), so a client sees what its own
/// command did. An account that the views have not seen yet is 503 `view_behind`, and 404 only if the log has none either.
#[utoipa::path(get, operation_id = "get_account", path = "/v1/accounts/{id}", tag = "accounts",
    params(
        ("id" = Uuid, Path, description = "The account"),
        Asked,
        Wait,
        ("If-None-Match" = Option<String>, Header, description = "`\"7\"`: 304 if that is the version still"),
    ),
    responses(
        (status = 200, description = "The account", body = AccountView,
            headers(("ETag" = String, description = "The version, in quotes"))),
        (status = 304, description = "It is at the version the client has"),
        Problems,
    ))]
pub(super) async fn get(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if asked.version.is_some() && asked.as_of.is_some() {
        return Err(Problem::malformed("as_of", "can't be combined with `version`"));
    }
    state.until_version(&headers, account_id, asked.min_version).await?;
    state.until_recorded(&headers, account_id, asked.as_of).await?;
    let account = find(&state, account_id, &asked).await?;
    let tag = etag(account.state.version);
    // That there are events it does not show is no part of its version: who asks is told each time.
    if account.quarantined_since.is_none() && none_match(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    Ok(([(ETAG, tag)], axum::Json(AccountView::from(account))).into_response())
}

async fn find(state: &AppState, account_id: Uuid, asked: &Asked) -> Result<Account, Problem> {
    let pool = state.views.pool()?;
    if let Some(version) = asked.version {
        if version < 1 {
            return Err(Problem::malformed("version", "must be a version, from 1"));
        }
        let found = state.views.read(history::at_version(pool, account_id, version)).await?;
        return match found {
            Some(account) => Ok(account),
            None => Err(no_version(state, account_id).await?),
        };
    }
    let found = match asked.as_of {
        Some(moment) => state.views.read(history::as_of(pool, account_id, moment)).await?,
        None => state.views.read(accounts::find(pool, account_id)).await?,
    };
    match found {
        Some(account) => Ok(account),
        None => Err(state.no_account(account_id).await?),
    }
}

impl AppState {
    /// 404: there is no view of an account. Its events may be set aside, the opening among them.
    pub(super) async fn no_account(&self, account_id: Uuid) -> Result<Problem, Problem> {
        let since = self.views.read(quarantine::since(self.views.pool()?, account_id)).await?;
        let problem = Problem::account_not_found(account_id);
        Ok(with_quarantine(problem, since))
    }
}

/// The problem, with the moment since when events of the account are set aside, if any are.
pub(super) fn with_quarantine(problem: Problem, since: Option<Timestamp>) -> Problem {
    match since {
        Some(since) => problem.with("quarantined_since", since.to_string()),
        None => problem,
    }
}

async fn no_version(state: &AppState, account_id: Uuid) -> Result<Problem, Problem> {
    let newest = state.views.read(accounts::version(state.views.pool()?, account_id)).await?;
    match newest {
        Some(newest) => Ok(Problem::version_not_found(account_id, newest)),
        None => state.no_account(account_id).await,
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        account_problems([Problem::version_not_found(ACCOUNT, 7), log::log_unavailable()])
    }
}
