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
use super::derived_id::derived_id;
use super::documented::{Responses, command_problems, made};
use super::submit::submit;
use super::{AppState, examples, schemas};
use crate::domain::{Command, Refusal};

/// UUIDv5 namespace of holds without a client-supplied id. Must never change.
const PLACED_BY_KEY: Uuid = Uuid::from_u128(0x8f0b_77c1_2d5a_4e96_b3f4_1a6c_e05d_9278);

/// Hold to place.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"amount": 5_000, "reference": "room 12"}))]
pub(super) struct HoldRequest {
    #[schema(schema_with = schemas::amount)]
    amount: Amount,
    #[schema(schema_with = schemas::optional_reference)]
    reference: Option<Reference>,
    /// Generated if absent: derived from the account and the `Idempotency-Key`, if there is one.
    /// Unique in the account, also among ended holds.
    hold_id: Option<Uuid>,
    #[schema(schema_with = schemas::optional_expiry)]
    expires_at: Option<Timestamp>,
    #[schema(schema_with = schemas::optional_metadata)]
    metadata: Option<Metadata>,
}

impl HoldRequest {
    pub(super) fn into_command(self, account_id: Uuid, key: Option<&str>) -> Command {
        let Self { amount, reference, hold_id, expires_at, metadata } = self;
        let hold_id = hold_id.unwrap_or_else(|| derived_id(PLACED_BY_KEY, account_id, key));
        let metadata = metadata.unwrap_or_default();
        Command::Hold(HoldPlaced { hold_id, amount, expires_at, reference, metadata })
    }
}

/// Place a hold
///
/// Reserves money: the available amount falls, the balance stays. A hold ends once: by capture,
/// release or expiry.
#[utoipa::path(post, operation_id = "place_hold", path = "/v1/accounts/{id}/holds",
    tag = "commands",
    security(("api_key" = ["money:hold"])),
    params(("id" = Uuid, Path, description = "The account"), CommandHeaders),
    request_body = HoldRequest, responses(Success, Problems))]
pub(super) async fn hold(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    headers: CommandHeaders,
    Json(request): Json<HoldRequest>,
) -> Response {
    let command = request.into_command(account_id, headers.context.idempotency_key.as_deref());
    submit(&state, account_id, headers, command).await
}

struct Success;

impl utoipa::IntoResponses for Success {
    fn responses() -> Responses {
        made("HoldAnswer", "The hold was placed", examples::hold())
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
