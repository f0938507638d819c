//! `GET /v1/accounts/{id}/state`

use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use passbook_shared::http::bounded::{LARGEST, QueryInt};
use passbook_shared::http::extract::{Path, Query};
use passbook_shared::http::gate::{Caller, Holder};
use passbook_shared::http::headers::{etag, none_match};
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::partition_of;
use passbook_shared::position::Position;
use passbook_shared::tenant::Tenant;
use passbook_shared::text::Owner;
use passbook_shared::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::documented::{Responses, read_problems};
use super::{AppState, examples};
use crate::domain::AccountSummary;
use crate::log::load::LoadError;

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StateQuery {
    /// Returns the state at this version.
    #[param(value_type = i64, required = false, minimum = 1, maximum = 9_007_199_254_740_991_i64)]
    version: Option<QueryInt<1, LARGEST>>,
    /// Returns the state as recorded at this time. The answer never changes.
    #[param(value_type = String, required = false, format = DateTime)]
    as_of: Option<Timestamp>,
    /// Returns the state by effective time: entries count if they are effective at this time or
    /// earlier. `version` and `as_of` limit it to entries recorded by then.
    #[param(value_type = String, required = false, format = DateTime)]
    effective_at: Option<Timestamp>,
}

/// Account folded from its events.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = AccountState)]
pub(super) struct StateAnswer {
    account_id: Uuid,
    /// Version of the newest event included.
    #[schema(minimum = 1, examples(7))]
    version: i64,
    /// Position of that event in the log: partition and number.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    position: Position,
    account: AccountSummary,
}

/// Get an account's state
///
/// Folds the account from its events, now or in the past. The parameters select recorded or
/// effective time.
#[utoipa::path(get, operation_id = "get_account_state", path = "/v1/accounts/{id}/state",
    tag = "log",
    security(("api_key" = ["accounts:read"])),
    params(("id" = Uuid, Path, description = "The account"), StateQuery,
        ("If-None-Match" = Option<String>, Header, description = "`\"7\"`: 304 if the account is \
            still at that version")),
    responses(
        (status = 200, description = "The state of the account", body = StateAnswer,
            headers(("ETag" = String, description = "The version, in quotes")),
            example = json!(examples::state())),
        (status = 304, description = "The account is still at the client's version"),
        Problems,
    ))]
pub(super) async fn account_state(
    State(state): State<AppState>,
    holder: Holder,
    Extension(caller): Extension<Caller>,
    Path(account_id): Path<Uuid>,
    Query(query): Query<StateQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    state.check_reach(&caller, &holder, account_id).await?;
    let asked = query.version.map(QueryInt::get);
    let partition = partition_of(account_id, state.log.store().partitions);
    let up_to = match (asked, query.as_of) {
        (Some(_), Some(_)) => {
            return Err(Problem::malformed("as_of", "cannot be combined with `version`"));
        }
        (Some(version), None) => version,
        (None, Some(moment)) => {
            // Before the version is read: no event can be recorded by that time afterwards.
            let watermark = state
                .read_turns
                .wait_for(&holder, state.log.advance_watermark(partition, moment))
                .await??;
            watermark.map_err(|still| Problem::malformed("as_of", still.to_string()))?;
            state.log.version_at(account_id, moment).await?
        }
        (None, None) => i64::MAX,
    };
    let loading = async {
        match query.effective_at {
            Some(moment) => state.log.effective_at(account_id, up_to, moment).await,
            None => state.log.state(account_id, up_to).await,
        }
    };
    let loaded = state.read_turns.wait_for(&holder, loading).await?.map_err(unreadable)?;
    let account = loaded.account.summary().ok_or_else(|| Problem::account_not_found(account_id))?;
    // By effective time, the version is that of the last entry that counts.
    if query.effective_at.is_none() && asked.is_some_and(|asked| asked > loaded.version) {
        return Err(Problem::version_not_found(account_id, loaded.version));
    }
    let position = Position { partition, number: loaded.position };
    let tag = etag(loaded.version);
    if none_match(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    Ok((
        [(ETAG, tag)],
        Json(StateAnswer { account_id, version: loaded.version, position, account }),
    )
        .into_response())
}

impl AppState {
    /// Checks that an account is in the caller's reach. Callers without a restriction are not
    /// checked.
    ///
    /// # Errors
    /// 404 `account_not_found`, as if the account were missing.
    pub(super) async fn check_reach(
        &self,
        caller: &Caller,
        holder: &Holder,
        account_id: Uuid,
    ) -> Result<(), Problem> {
        let reach = caller.reach();
        if reach.is_everything() {
            return Ok(());
        }
        // Before the account is loaded: a long one would take more time than a missing one.
        let opening = self.log.tenant_of(account_id);
        let opened = self.read_turns.wait_for(holder, opening).await??;
        let not_found = || Problem::account_not_found(account_id);
        let tenant = opened.ok_or_else(not_found)?;
        if reach.tenant.is_some() && reach.tenant != tenant {
            return Err(not_found());
        }
        if reach.owner.is_none() {
            return Ok(());
        }
        let loading = self.log.state(account_id, i64::MAX);
        let loaded = self.read_turns.wait_for(holder, loading).await?.map_err(unreadable)?;
        let is_included =
            |(tenant, owner): (Option<&Tenant>, &Owner)| reach.includes(tenant, owner);
        if loaded.account.holder().is_some_and(is_included) { Ok(()) } else { Err(not_found()) }
    }
}

fn unreadable(error: LoadError) -> Problem {
    match error {
        LoadError::Store(error) => Problem::from_store(&error),
        error @ LoadError::Unreadable { .. } => {
            tracing::error!(%error, "an account cannot be loaded");
            Problem::internal()
        }
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        read_problems([
            Problem::account_not_found(examples::ACCOUNT),
            Problem::version_not_found(examples::ACCOUNT, 7),
        ])
    }
}
