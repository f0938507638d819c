//! `POST /v1/accounts/{id}/holds/{hold_id}/capture`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::event::HoldStatus;
use passbook_shared::http::extract::{Json, Path};
use passbook_shared::money::Amount;
use passbook_shared::text::{Metadata, Reference};
use serde::Deserialize;
use uuid::Uuid;

use super::command_headers::CommandHeaders;
use super::documented::{Responses, command_problems, made};
use super::submit::submit;
use super::{AppState, examples, schemas};
use crate::domain::command::Capture;
use crate::domain::{Command, Refusal};

/// Capture of a hold.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[schema(example = json!({"amount": 3_000, "reference": "room 12, two nights"}))]
pub(super) struct CaptureRequest {
    #[schema(schema_with = schemas::optional_amount)]
    amount: Option<Amount>,
    #[schema(schema_with = schemas::optional_reference)]
    reference: Option<Reference>,
    #[schema(schema_with = schemas::optional_metadata)]
    metadata: Option<Metadata>,
}

impl CaptureRequest {
    pub(super) fn into_command(self, hold_id: Uuid) -> Command {
        let Self { amount, reference, metadata } = self;
        Command::Capture(Capture {
            hold_id,
            amount,
            reference,
            metadata: metadata.unwrap_or_default(),
        })
    }
}

/// Capture a hold
///
/// Pays out `amount`, or the whole hold if absent. Ends the hold and releases the rest.
#[utoipa::path(post, operation_id = "capture_hold",
    path = "/v1/accounts/{id}/holds/{hold_id}/capture", tag = "commands",
    security(("api_key" = ["money:hold"])),
    params(
        ("id" = Uuid, Path, description = "The account"),
        ("hold_id" = Uuid, Path, description = "The hold"),
        CommandHeaders,
    ),
    request_body = Option<CaptureRequest>, responses(Success, Problems))]
pub(super) async fn capture(
    State(state): State<AppState>,
    Path((account_id, hold_id)): Path<(Uuid, Uuid)>,
    headers: CommandHeaders,
    Json(request): Json<Option<CaptureRequest>>,
) -> Response {
    submit(&state, account_id, headers, request.unwrap_or_default().into_command(hold_id)).await
}

struct Success;

impl utoipa::IntoResponses for Success {
    fn responses() -> Responses {
        made("HoldAnswer", "The money was paid out", examples::capture())
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([
            Refusal::AccountNotFound,
            Refusal::HoldNotFound,
            Refusal::HoldNotOpen { status: HoldStatus::Released },
            Refusal::HoldExceeded { amount: 5_000 },
            Refusal::AccountClosed,
            Refusal::AccountFrozen,
        ])
    }
}
