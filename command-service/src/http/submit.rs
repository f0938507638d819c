//! The way of every command from its endpoint into a lane and back.

use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::answer::{Form, respond};
use super::command_headers::CommandHeaders;
use super::{AppState, problems};
use crate::domain::Command;
use crate::lanes::CommandRequest;

/// Has the command decided, and appended unless it is a dry run.
///
/// Whatever becomes of the request from here on (its client may go away), the command goes its way in the lane.
pub(super) async fn submit(state: &AppState, account_id: Uuid, headers: CommandHeaders, command: Command) -> Response {
    let CommandHeaders { expected_versions, dry_run, context } = headers;
    let form = Form::of(&command, dry_run);
    let command_id = Uuid::now_v7();
    let request = CommandRequest { account_id, command, expected_versions, dry_run, command_id, context };
    match state.lanes.submit(request).await {
        Ok(answer) => respond(account_id, &answer, form),
        Err(error) => problems::undecided(&error).into_response(),
    }
}
