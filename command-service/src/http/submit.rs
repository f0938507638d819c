//! Submission of commands to the lanes.

use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::answer::{Form, respond};
use super::command_headers::CommandHeaders;
use super::{AppState, problems, reach};
use crate::domain::Command;
use crate::request::CommandRequest;

/// Submits a command and answers with its outcome.
///
/// Once a lane has taken the command, it completes even if the client disconnects.
pub(super) async fn submit(
    state: &AppState,
    account_id: Uuid,
    headers: CommandHeaders,
    command: Command,
) -> Response {
    submit_request(state, headers.request(account_id, command)).await
}

/// Submits a complete request.
pub(super) async fn submit_request(state: &AppState, request: CommandRequest) -> Response {
    let (account_id, form) = (request.account_id, Form::of(&request.command, request.dry_run));
    if let Err(problem) = reach::check(&request) {
        return problem.into_response();
    }
    match state.check_quotas(std::slice::from_ref(&request)).await {
        Ok(Ok(())) => {}
        Ok(Err(exceeded)) => return problems::quota_exceeded(&exceeded).into_response(),
        Err(problem) => return problem.into_response(),
    }
    match state.lanes.submit(request).await {
        Ok(outcome) => respond(account_id, &outcome, form),
        Err(error) => problems::undecided(&error).into_response(),
    }
}

impl CommandHeaders {
    /// Combines a command with its headers.
    pub(super) fn request(self, account_id: Uuid, command: Command) -> CommandRequest {
        let Self { reach, expected_versions, dry_run, context } = self;
        CommandRequest {
            account_id,
            command,
            reach,
            expected_versions,
            dry_run,
            // Time-ordered, so that new ids stay close together in the index.
            command_id: Uuid::now_v7(),
            context,
        }
    }
}
