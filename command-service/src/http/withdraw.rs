//! `POST /v1/accounts/{id}/withdrawals`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::http::extract::{Json, Path};
use passbook_shared::http::problem::Problem;
use uuid::Uuid;

use super::AppState;
use super::command_headers::CommandHeaders;
use super::documented::{Entered, Responses, command_problems};
use super::movement::WithdrawalRequest;
use super::submit::submit;
use crate::domain::effective::MOST_LATER_EVENTS;
use crate::domain::{Command, Refusal};

/// Withdraw money
///
/// Decreases the balance. With a past `effective_at`, the amount must have been available at that
/// time and ever since.
#[utoipa::path(post, operation_id = "create_withdrawal", path = "/v1/accounts/{id}/withdrawals",
    tag = "commands",
    security(("api_key" = ["money:move"])),
    params(("id" = Uuid, Path, description = "The account"), CommandHeaders),
    request_body = WithdrawalRequest, responses(Entered, Problems))]
pub(super) async fn withdraw(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    headers: CommandHeaders,
    Json(request): Json<WithdrawalRequest>,
) -> Result<Response, Problem> {
    let command = Command::Withdraw(request.into_movement(state.clock.now())?);
    Ok(submit(&state, account_id, headers, command).await)
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([
            Refusal::AccountNotFound,
            Refusal::InsufficientFunds { available: 300, overdraft_limit: 0 },
            Refusal::TooFarBack { most_later_events: MOST_LATER_EVENTS },
            Refusal::AccountClosed,
            Refusal::AccountFrozen,
            Refusal::AmountOverflow,
        ])
    }
}
