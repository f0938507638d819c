//! `POST /v1/transfers`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::http::extract::Json;
use passbook_shared::http::problem::Problem;
use passbook_shared::money::{Amount, Currency};
use passbook_shared::text::{Metadata, Reference};
use passbook_shared::timestamp::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::command_headers::CommandHeaders;
use super::derived_id::{SENT_BY_KEY, derived_id};
use super::documented::{Responses, command_problems, made};
use super::movement::not_in_the_future;
use super::submit::submit;
use super::{AppState, examples, schemas};
use crate::domain::command::Transfer;
use crate::domain::effective::MOST_LATER_EVENTS;
use crate::domain::{Command, Refusal};

/// Transfer between two accounts.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"from": examples::ACCOUNT, "to": examples::OTHER, "amount": 25_000,
    "reference": "rent 2026-12"}))]
pub(super) struct TransferRequest {
    /// Sending account. `If-Match` and `Idempotency-Key` refer to it.
    from: Uuid,
    /// Receiving account.
    to: Uuid,
    #[schema(schema_with = schemas::amount)]
    amount: Amount,
    #[schema(schema_with = schemas::optional_reference)]
    reference: Option<Reference>,
    /// Generated if absent: derived from `from` and the `Idempotency-Key`, if there is one.
    /// Globally unique.
    transfer_id: Option<Uuid>,
    #[schema(schema_with = schemas::optional_past_time)]
    effective_at: Option<Timestamp>,
    #[schema(schema_with = schemas::optional_metadata)]
    metadata: Option<Metadata>,
    #[schema(schema_with = schemas::allow_backdated_overdraft)]
    allow_backdated_overdraft: Option<bool>,
}

impl TransferRequest {
    /// Returns the sending account and the command.
    ///
    /// # Errors
    /// 400 `malformed_request` if `effective_at` is in the future.
    pub(super) fn into_command(
        self,
        key: Option<&str>,
        now: Timestamp,
    ) -> Result<(Uuid, Command), Problem> {
        let Self { from, to, amount, reference, transfer_id, effective_at, metadata, .. } = self;
        let allow_backdated_overdraft = self.allow_backdated_overdraft.unwrap_or_default();
        not_in_the_future(effective_at, now)?;
        let transfer_id = transfer_id.unwrap_or_else(|| derived_id(SENT_BY_KEY, from, key));
        let metadata = metadata.unwrap_or_default();
        let transfer = Transfer {
            transfer_id,
            to,
            amount,
            reference,
            effective_at,
            metadata,
            allow_backdated_overdraft,
        };
        Ok((from, Command::Transfer(transfer)))
    }
}

/// Transfer money
///
/// Changes both accounts atomically. A refusal that concerns the receiving account carries its
/// `account_id`.
#[utoipa::path(post, operation_id = "create_transfer", path = "/v1/transfers", tag = "commands",
    security(("api_key" = ["money:move"])),
    params(CommandHeaders),
    request_body = TransferRequest, responses(Success, Problems))]
pub(super) async fn transfer(
    State(state): State<AppState>,
    headers: CommandHeaders,
    Json(request): Json<TransferRequest>,
) -> Result<Response, Problem> {
    let key = headers.context.idempotency_key.as_deref();
    let (from, command) = request.into_command(key, state.clock.now())?;
    Ok(submit(&state, from, headers, command).await)
}

struct Success;

impl utoipa::IntoResponses for Success {
    fn responses() -> Responses {
        made(
            "TransferAnswer",
            "The money was transferred; the `ETag` is that of `from`",
            examples::transfer(),
        )
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        let of_receiver = |refusal| Refusal::Counterparty {
            account_id: examples::OTHER,
            refusal: Box::new(refusal),
        };
        let [from, to] = ["EUR", "JPY"].map(|code| code.parse::<Currency>().ok());
        let mismatch = from.zip(to).map(|(from, to)| Refusal::CurrencyMismatch { from, to });
        command_problems(mismatch.into_iter().chain([
            Refusal::AccountNotFound,
            Refusal::TransferExists,
            Refusal::SameAccount,
            Refusal::InsufficientFunds { available: 300, overdraft_limit: 0 },
            Refusal::TooFarBack { most_later_events: MOST_LATER_EVENTS },
            Refusal::AccountClosed,
            Refusal::AccountFrozen,
            of_receiver(Refusal::AmountOverflow),
        ]))
    }
}
