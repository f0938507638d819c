//! `POST /v1/accounts`

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use passbook_shared::access::Reach;
use passbook_shared::event::AccountOpened;
use passbook_shared::http::extract::Json;
use passbook_shared::http::problem::Problem;
use passbook_shared::money::{Currency, amount_or_zero};
use passbook_shared::tenant::Tenant;
use passbook_shared::text::{Metadata, Owner};
use passbook_shared::timestamp::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::command_headers::CommandHeaders;
use super::documented::{Created, Responses, command_problems};
use super::movement::not_in_the_future;
use super::opened_id::opened_id;
use super::submit::submit_request;
use super::{AppState, schemas};
use crate::domain::{Command, Refusal};

/// Account to open.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"owner": "customer-4711", "currency": "EUR",
    "initial_deposit": 100_000}))]
pub(super) struct OpenAccountRequest {
    /// Generated if absent: derived from the tenant, `owner` and the `Idempotency-Key`, if there is
    /// one, so that a repeat finds the same account.
    account_id: Option<Uuid>,
    /// Tenant of the account. A key that is restricted to a tenant gives its own, if absent.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 64,
        pattern = "^[A-Za-z0-9._-]+$")]
    tenant: Option<Tenant>,
    #[schema(schema_with = schemas::owner)]
    owner: Owner,
    currency: Currency,
    #[schema(schema_with = schemas::optional_amount_or_zero)]
    initial_deposit: Option<AmountOrZero>,
    #[schema(schema_with = schemas::optional_amount_or_zero)]
    overdraft_limit: Option<AmountOrZero>,
    #[schema(schema_with = schemas::optional_past_time)]
    effective_at: Option<Timestamp>,
    #[schema(schema_with = schemas::optional_metadata)]
    metadata: Option<Metadata>,
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
struct AmountOrZero(#[serde(deserialize_with = "amount_or_zero")] i64);

impl OpenAccountRequest {
    /// Returns the id of the account and the command to open it.
    ///
    /// # Errors
    /// 400 `malformed_request` if `effective_at` is in the future.
    pub(super) fn into_command(
        self,
        key: Option<&str>,
        now: Timestamp,
        reach: &Reach,
    ) -> Result<(Uuid, Command), Problem> {
        not_in_the_future(self.effective_at, now)?;
        let tenant = self.tenant.or_else(|| reach.tenant.clone());
        let of_key = |key| opened_id(tenant.as_ref(), &self.owner, key);
        let derived = key.map_or_else(Uuid::new_v4, of_key);
        let opening = AccountOpened {
            owner: self.owner,
            currency: self.currency,
            initial_deposit: self.initial_deposit.map_or(0, |amount| amount.0),
            overdraft_limit: self.overdraft_limit.map_or(0, |amount| amount.0),
            effective_at: self.effective_at,
            metadata: self.metadata.unwrap_or_default(),
            tenant,
        };
        Ok((self.account_id.unwrap_or(derived), Command::Open(opening)))
    }
}

/// Open an account
///
/// Opens an account for one owner in one permanent currency. Without an `account_id`, the
/// service generates one.
///
/// For an account migrated from another system, a past `effective_at` dates the `initial_deposit`.
/// The `overdraft_limit` then also applies to any earlier time.
#[utoipa::path(post, operation_id = "open_account", path = "/v1/accounts", tag = "commands",
    security(("api_key" = ["accounts:open"])),
    params(CommandHeaders),
    request_body = OpenAccountRequest, responses(Created, Problems))]
pub(super) async fn open_account(
    State(state): State<AppState>,
    headers: CommandHeaders,
    Json(request): Json<OpenAccountRequest>,
) -> Result<Response, Problem> {
    let key = headers.context.idempotency_key.as_deref();
    let (account_id, command) = request.into_command(key, state.clock.now(), &headers.reach)?;
    let mut request = [headers.request(account_id, command)];
    // A repeat may have to find an account whose id an older release derived.
    state.keep_opened_ids(&mut request).await?;
    let [request] = request;
    let account_id = request.account_id;
    let mut response = submit_request(&state, request).await;
    // A dry run has 200 and no account to point at.
    if response.status() == StatusCode::CREATED
        && let Ok(location) = HeaderValue::try_from(format!("/v1/accounts/{account_id}/state"))
    {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([Refusal::AccountExists])
    }
}
