//! `POST /v1/accounts/{id}/holds/{hold_id}/release`

use axum::extract::State;
use axum::response::Response;
use passbook_shared::event::{HoldStatus, Reason};
use passbook_shared::http::extract::{Json, Path};
use uuid::Uuid;

use super::command_headers::CommandHeaders;
use super::documented::{Responses, command_problems, made};
use super::reason::ReasonRequest;
use super::submit::submit;
use super::{AppState, examples};
use crate::domain::command::Release;
use crate::domain::{Command, Refusal};

impl ReasonRequest {
    /// Converts the request into the release of a hold.
    pub(super) fn into_release(self, hold_id: Uuid) -> Command {
        let Reason { reason } = self.into();
        Command::Release(Release { hold_id, reason })
    }
}

/// Release a hold
///
/// Makes the held money available again; the balance stays.
#[utoipa::path(post, operation_id = "release_hold",
    path = "/v1/accounts/{id}/holds/{hold_id}/release", tag = "commands",
    security(("api_key" = ["money:hold"])),
    params(
        ("id" = Uuid, Path, description = "The account"),
        ("hold_id" = Uuid, Path, description = "The hold"),
        CommandHeaders,
    ),
    request_body = Option<ReasonRequest>, responses(Success, Problems))]
pub(super) async fn release(
    State(state): State<AppState>,
    Path((account_id, hold_id)): Path<(Uuid, Uuid)>,
    headers: CommandHeaders,
    Json(request): Json<Option<ReasonRequest>>,
) -> Response {
    submit(&state, account_id, headers, request.unwrap_or_default().into_release(hold_id)).await
}

struct Success;

impl utoipa::IntoResponses for Success {
    fn responses() -> Responses {
        made("HoldAnswer", "The hold was released", examples::release())
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        command_problems([
            Refusal::AccountNotFound,
            Refusal::HoldNotFound,
            Refusal::HoldNotOpen { status: HoldStatus::Captured },
            Refusal::AccountClosed,
        ])
    }
}
