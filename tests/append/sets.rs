//! Several commands in one request.

mod atomic;
mod each;
mod keys;

use command_service::outcome::CommandResult;
use command_service::request::CommandRequest;
use uuid::Uuid;

use crate::requests::outcome;

/// Returns copies of the requests with new command ids.
fn again(requests: &[CommandRequest]) -> Vec<CommandRequest> {
    requests
        .iter()
        .map(|request| CommandRequest { command_id: Uuid::new_v4(), ..request.clone() })
        .collect()
}

#[track_caller]
/// Checks that both lists have the same outcomes.
fn assert_same_outcomes(first: &[CommandResult], second: &[CommandResult]) {
    let text = |results: &[CommandResult]| -> Vec<String> {
        results
            .iter()
            .map(|result| result.as_ref().map_or_else(|error| format!("{error:?}"), outcome))
            .collect()
    };
    assert_eq!(text(first), text(second));
}
