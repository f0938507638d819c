//! `POST /v1/accounts/{id}/owner`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::event::OwnerChanged;
use passbook_shared::http::extract::{Json, Path};
use passbook_shared::text::{Owner, Reference};
use serde::Deserialize;
use uuid::Uuid;

use super::command_headers::CommandHeaders;
use super::documented::{Responses, changed, command_problems};
use super::submit::submit;
use super::{AppState, examples, schemas};
use crate::domain::{Command, Refusal};

/// New owner of an account.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"owner": "customer-4712", "reason": "inherited"}))]
pub(super) struct OwnerRequest {
    #[schema(schema_with = schemas::owner)]
    owner: Owner,
    #[schema(schema_with = schemas::optional_reference)]
    reason: Option<Reference>,
}

impl OwnerRequest {
    pub(super) fn into_command(self) -> Command {
        let Self { owner, reason } = self;
        Command::ChangeOwner(OwnerChanged { owner, reason })
    }
}

/// Change the owner of an account
///
/// Applies to frozen accounts, too. The current owner as the new one changes nothing.
#[utoipa::path(post, operation_id = "change_owner", path = "/v1/accounts/{id}/owner",
    tag = "commands",
    security(("api_key" = ["accounts:manage"])),
    params(("id" = Uuid, Path, description = "The account"), CommandHeaders),
    request_body = OwnerRequest, responses(Success, Problems))]
pub(super) async fn change_owner(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    headers: CommandHeaders,
    Json(request): Json<OwnerRequest>,
) -> Response {
    submit(&state, account_id, headers, request.into_command()).await
}

struct Success;

impl utoipa::IntoResponses for Success {
    fn responses() -> Responses {
        changed(examples::owner())
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([Refusal::AccountNotFound, Refusal::AccountClosed])
    }
}
