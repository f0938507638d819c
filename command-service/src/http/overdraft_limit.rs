//! `PUT /v1/accounts/{id}/overdraft-limit`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::event::OverdraftLimitSet;
use passbook_shared::http::extract::{Json, Path};
use passbook_shared::money::amount_or_zero;
use serde::Deserialize;
use uuid::Uuid;

use super::command_headers::CommandHeaders;
use super::documented::{Responses, changed, command_problems};
use super::submit::submit;
use super::{AppState, examples, schemas};
use crate::domain::{Command, Refusal};

/// Overdraft limit to set.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"limit": 50_000}))]
pub(super) struct OverdraftLimitRequest {
    #[serde(deserialize_with = "amount_or_zero")]
    #[schema(schema_with = schemas::amount_or_zero)]
    limit: i64,
}

impl OverdraftLimitRequest {
    pub(super) fn into_command(self) -> Command {
        Command::SetOverdraftLimit(OverdraftLimitSet { limit: self.limit })
    }
}

/// Set the overdraft limit
///
/// Sets how far below 0 the available amount may go. A limit below the overdraft in use is refused
/// with `overdraft_in_use`.
#[utoipa::path(put, operation_id = "set_overdraft_limit",
    path = "/v1/accounts/{id}/overdraft-limit", tag = "commands",
    security(("api_key" = ["accounts:manage"])),
    params(("id" = Uuid, Path, description = "The account"), CommandHeaders),
    request_body = OverdraftLimitRequest, responses(Success, Problems))]
pub(super) async fn set_overdraft_limit(
    State(state): State<AppState>,
    Path(account_id): Path<Uuid>,
    headers: CommandHeaders,
    Json(request): Json<OverdraftLimitRequest>,
) -> Response {
    submit(&state, account_id, headers, request.into_command()).await
}

struct Success;

impl utoipa::IntoResponses for Success {
    fn responses() -> Responses {
        changed(examples::overdraft_limit())
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([
            Refusal::AccountNotFound,
            Refusal::AccountClosed,
            Refusal::OverdraftInUse { available: -1_250 },
        ])
    }
}
