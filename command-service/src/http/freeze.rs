//! `POST /v1/accounts/{id}/freeze`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::event::AccountFrozen;
use passbook_shared::http::extract::{Json, Path};
use passbook_shared::text::Reference;
use serde::Deserialize;
use uuid::Uuid;

use super::command_headers::CommandHeaders;
use super::documented::{Changed, Responses, command_problems};
use super::submit::submit;
use super::{AppState, schemas};
use crate::domain::{Command, Refusal};

/// Freeze of an account.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"reason": "court order", "block_credits": true}))]
pub(super) struct FreezeRequest {
    #[schema(schema_with = schemas::optional_reference)]
    reason: Option<Reference>,
    /// Blocks incoming money, too; false if absent.
    block_credits: Option<bool>,
}

impl FreezeRequest {
    pub(super) fn into_command(self) -> Command {
        let Self { reason, block_credits } = self;
        Command::Freeze(AccountFrozen { reason, block_credits: block_credits.unwrap_or(false) })
    }
}

/// Freeze an account
///
/// Blocks outgoing money and, with `block_credits`, incoming money. A further freeze replaces the
/// current one.
#[utoipa::path(post, operation_id = "freeze_account", path = "/v1/accounts/{id}/freeze",
    tag = "commands",
    security(("api_key" = ["accounts:manage"])),
    params(("id" = Uuid, Path, description = "The account"), CommandHeaders),
    request_body = Option<FreezeRequest>, responses(Changed, Problems))]
pub(super) async fn freeze(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    headers: CommandHeaders,
    Json(request): Json<Option<FreezeRequest>>,
) -> Response {
    submit(&state, account_id, headers, request.unwrap_or_default().into_command()).await
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([Refusal::AccountNotFound, Refusal::AccountClosed])
    }
}
