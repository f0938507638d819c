//! `POST /v1/accounts/{id}/unfreeze`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::http::extract::{Json, Path};
use uuid::Uuid;

use super::AppState;
use super::command_headers::CommandHeaders;
use super::documented::{Changed, Responses, command_problems};
use super::reason::ReasonRequest;
use super::submit::submit;
use crate::domain::{Command, Refusal};

/// Unfreeze an account
///
/// Ends a freeze. An account that is not frozen stays unchanged.
#[utoipa::path(post, operation_id = "unfreeze_account", path = "/v1/accounts/{id}/unfreeze",
    tag = "commands",
    security(("api_key" = ["accounts:manage"])),
    params(("id" = Uuid, Path, description = "The account"), CommandHeaders),
    request_body = Option<ReasonRequest>, responses(Changed, Problems))]
pub(super) async fn unfreeze(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    headers: CommandHeaders,
    Json(request): Json<Option<ReasonRequest>>,
) -> Response {
    submit(&state, account_id, headers, Command::Unfreeze(request.unwrap_or_default().into())).await
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([Refusal::AccountNotFound, Refusal::AccountClosed])
    }
}
