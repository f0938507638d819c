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
    /// What is asked for of a hold.
    pub(super) fn into_release(self, hold_id: Uuid) -> Command {
        let Reason { reason } = self.into();
        Command::Release(Release { hold_id, reason })
    }
}

/// Release a hold
///
/// The money of the hold is available again; the balance stays as it is.
#[utoipa::path(post, operation_id = "release_hold", path = "/v1/accounts/{id}/holds/{hold_id}/release", tag = "commands",
    params(
        ("id" = Uuid, Path, description = "The account"),
        ("hold_id" = Uuid, Path, description = "The hold"),
        CommandHeaders,
    ),
    request_body = Option<ReasonRequest>, responses(Done, Problems))]
pub(super) async fn release(
    State(state): State<AppState>,
    Path((account_id, hold_id)): Path<(Uuid, Uuid)>,
    headers: CommandHeaders,
    Json(request): Json<Option<ReasonRequest>>,
) -> Response {
    submit(&state, account_id, headers, request.unwrap_or_default().into_release(hold_id)).await
}

struct Done;

impl utoipa::IntoResponses for Done {
    fn responses() -> Responses {
        made("HoldAnswer", "The money is free", examples::release())
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
