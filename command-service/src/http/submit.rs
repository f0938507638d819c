//! The way of every command from its endpoint into a lane and back.

use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::answer::{Form, respond};
use super::command_headers::CommandHeaders;
use super::{AppState, problems};
use crate::domain::Command;
use crate::request::CommandRequest;

/// Has the command decided, and appended unless it is a dry run.
///
/// Whatever becomes of the request from here on (its client may go away), the command goes its way in the lane.
pub(super) async fn submit(
    state: &AppState,
    account_id: Uuid,
    headers: CommandHeaders,
    command: Command,
) -> Response {
    submit_request(state, headers.request(account_id, command)).await
}

/// The same, of a request that was made of its headers already.
pub(super) async fn submit_request(state: &AppState, request: CommandRequest) -> Response {
    let (account_id, form) = (request.account_id, Form::of(&request.command, request.dry_run));
    match state.lanes.submit(request).await {
        Ok(answer) => respond(account_id, &answer, form),
        Err(error) => problems::undecided(&error).into_response(),
    }
}

impl CommandHeaders {
    /// The request for a command that came with these headers.
    pub(super) fn request(self, account_id: Uuid, command: Command) -> CommandRequest {
        let Self { expected_versions, dry_run, context } = self;
        CommandRequest {
            account_id,
            command,
            expected_versions,
            dry_run,
            command_id: Uuid::now_v7(),
            context,
        }
    }
}
