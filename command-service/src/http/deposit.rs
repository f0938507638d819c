//! `POST /v1/accounts/{id}/deposits`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::http::extract::{Json, Path};
use passbook_shared::http::problem::Problem;
use uuid::Uuid;

use super::AppState;
use super::command_headers::CommandHeaders;
use super::documented::{Entered, Responses, command_problems};
use super::movement::MovementRequest;
use super::submit::submit;
use crate::domain::{Command, Refusal};

/// Deposit money
///
/// Increases the balance. A frozen account accepts deposits unless the freeze blocks credits.
#[utoipa::path(post, operation_id = "create_deposit", path = "/v1/accounts/{id}/deposits",
    tag = "commands",
    security(("api_key" = ["money:move"])),
    params(("id" = Uuid, Path, description = "The account"), CommandHeaders),
    request_body = MovementRequest, responses(Entered, Problems))]
pub(super) async fn deposit(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    headers: CommandHeaders,
    Json(request): Json<MovementRequest>,
) -> Result<Response, Problem> {
    let command = Command::Deposit(request.into_movement(state.clock.now())?);
    Ok(submit(&state, account_id, headers, command).await)
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([
            Refusal::AccountNotFound,
            Refusal::AccountClosed,
            Refusal::AccountFrozen,
            Refusal::AmountOverflow,
        ])
    }
}
