//! `POST /v1/accounts/{id}/holds`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::event::HoldPlaced;
use passbook_shared::http::extract::{Json, Path};
use passbook_shared::money::Amount;
use passbook_shared::text::{Metadata, Reference};
use passbook_shared::timestamp::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::command_headers::CommandHeaders;
use super::documented::{Responses, command_problems, made};
use super::made_id::made_id;
use super::submit::submit;
use super::{AppState, examples, schemas};
use crate::domain::{Command, Refusal};

/// Of holds that were placed with a key and no id. Never to be changed.
const PLACED_BY_KEY: Uuid = Uuid::from_u128(0x8f0b_77c1_2d5a_4e96_b3f4_1a6c_e05d_9278);

/// Money to be held.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"amount": 5_000, "reference": "room 12"}))]
pub(super) struct HoldRequest {
    #[schema(schema_with = schemas::amount)]
    amount: Amount,
    #[schema(schema_with = schemas::optional_reference)]
    reference: Option<Reference>,
    /// Made if absent: from the account and the `Idempotency-Key` if there is one. The account can't have another hold
    /// with it, ever.
    hold_id: Option<Uuid>,
    #[schema(schema_with = schemas::optional_expiry)]
    expires_at: Option<Timestamp>,
    #[schema(schema_with = schemas::optional_metadata)]
    metadata: Option<Metadata>,
}

impl HoldRequest {
    /// What is asked for.
    pub(super) fn into_command(self, account_id: Uuid, key: Option<&str>) -> Command {
        let Self { amount, reference, hold_id, expires_at, metadata } = self;
        let hold_id = hold_id.unwrap_or_else(|| made_id(PLACED_BY_KEY, account_id, key));
        let metadata = metadata.unwrap_or_default();
        Command::Hold(HoldPlaced { hold_id, amount, expires_at, reference, metadata })
    }
}

/// Set money aside
///
/// What is available falls, the balance does not. A hold ends once: captured, released, or at its time.
#[utoipa::path(post, operation_id = "place_hold", path = "/v1/accounts/{id}/holds", tag = "commands",
    params(("id" = Uuid, Path, description = "The account"), CommandHeaders),
    request_body = HoldRequest, responses(Done, Problems))]
pub(super) async fn hold(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    headers: CommandHeaders,
    Json(request): Json<HoldRequest>,
) -> Response {
    let command = request.into_command(account_id, headers.context.idempotency_key.as_deref());
    submit(&state, account_id, headers, command).await
}

struct Done;

impl utoipa::IntoResponses for Done {
    fn responses() -> Responses {
        made("HoldAnswer", "The money is held", examples::hold())
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([
            Refusal::AccountNotFound,
            Refusal::HoldExists,
            Refusal::TooManyHolds { most: 10_000 },
            Refusal::InsufficientFunds { available: 300, overdraft_limit: 0 },
            Refusal::ExpiryPassed,
            Refusal::AccountClosed,
            Refusal::AccountFrozen,
            Refusal::AmountOverflow,
        ])
    }
}
