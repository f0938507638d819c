//! `POST /v1/accounts/{id}/reversals`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::http::bounded::{BodyInt, LARGEST};
use passbook_shared::http::extract::{Json, Path};
use passbook_shared::http::problem::Problem;
use passbook_shared::text::{Metadata, Reference};
use passbook_shared::timestamp::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::command_headers::CommandHeaders;
use super::documented::{Responses, command_problems, made};
use super::movement::not_in_the_future;
use super::submit::submit;
use super::{AppState, examples, schemas};
use crate::domain::command::Reversal;
use crate::domain::effective::MOST_LATER_EVENTS;
use crate::domain::{Command, Refusal};

/// Reversal of an entry.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"version": 2, "reference": "booked twice"}))]
pub(super) struct ReversalRequest {
    #[schema(schema_with = schemas::version)]
    version: BodyInt<1, LARGEST>,
    #[schema(schema_with = schemas::optional_reversal_time)]
    effective_at: Option<Timestamp>,
    #[schema(schema_with = schemas::optional_reference)]
    reference: Option<Reference>,
    #[schema(schema_with = schemas::optional_metadata)]
    metadata: Option<Metadata>,
    #[schema(schema_with = schemas::allow_backdated_overdraft)]
    allow_backdated_overdraft: Option<bool>,
}

impl ReversalRequest {
    /// Validates the request into a command.
    ///
    /// # Errors
    /// 400 `malformed_request` if `effective_at` is in the future.
    pub(super) fn into_command(self, now: Timestamp) -> Result<Command, Problem> {
        let Self { version, effective_at, reference, metadata, allow_backdated_overdraft } = self;
        not_in_the_future(effective_at, now)?;
        let (version, metadata) = (version.get(), metadata.unwrap_or_default());
        let allow_backdated_overdraft = allow_backdated_overdraft.unwrap_or_default();
        Ok(Command::Reverse(Reversal {
            version,
            effective_at,
            reference,
            metadata,
            allow_backdated_overdraft,
        }))
    }
}

/// Reverse an entry
///
/// Reverses a deposit, a withdrawal, or a transfer (on both accounts, from either of them), once
/// and in full. The reversal takes the entry's effective time unless `effective_at` is given. Money
/// that goes out again must have been available at that time and ever since.
#[utoipa::path(post, operation_id = "create_reversal", path = "/v1/accounts/{id}/reversals",
    tag = "commands",
    security(("api_key" = ["money:reverse"])),
    params(("id" = Uuid, Path, description = "The account"), CommandHeaders),
    request_body = ReversalRequest, responses(Success, Problems))]
pub(super) async fn reverse(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    headers: CommandHeaders,
    Json(request): Json<ReversalRequest>,
) -> Result<Response, Problem> {
    let command = request.into_command(state.clock.now())?;
    Ok(submit(&state, account_id, headers, command).await)
}

struct Success;

impl utoipa::IntoResponses for Success {
    fn responses() -> Responses {
        made("CommandAnswer", "The entry was reversed", examples::reversal())
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([
            Refusal::AccountNotFound,
            Refusal::EntryNotFound { current_version: 7 },
            Refusal::NotReversible { event_type: "HoldPlaced".to_owned() },
            Refusal::AlreadyReversed { reversed_by: 6 },
            Refusal::InsufficientFunds { available: 300, overdraft_limit: 0 },
            Refusal::TooFarBack { most_later_events: MOST_LATER_EVENTS },
            Refusal::AccountClosed,
            Refusal::AccountFrozen,
            Refusal::AmountOverflow,
        ])
    }
}
