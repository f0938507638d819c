//! `POST /v1/commands`

mod command;
mod parse;
mod problems;
mod results;
mod schema;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use passbook_shared::http::documented::responses;
use passbook_shared::http::extract::JsonText;
use passbook_shared::http::gate::Caller;
use passbook_shared::http::limits::{self, Bounds};
use passbook_shared::http::problem::Problem;
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use uuid::Uuid;

use self::command::operation_id;
use self::parse::Set;
pub(super) use self::schema::{BulkAnswer, BulkRequest};
use super::answer::Form;
use super::command_headers::BulkHeaders;
use super::documented::{Responses, any_command};
use super::{AppState, reach};
use crate::request::CommandRequest;

/// Typical size of one result, in bytes.
const RESULT: usize = 1024;

/// Account and form of one command's result.
#[derive(Debug, Clone, Copy)]
struct ResultForm {
    account_id: Uuid,
    form: Form,
}

impl ResultForm {
    fn of(request: &CommandRequest) -> Self {
        Self { account_id: request.account_id, form: Form::of(&request.command, request.dry_run) }
    }
}

/// Execute several commands
///
/// Executes up to 1,000 commands and returns one result for each, in request order. By default the
/// commands are independent. Commands on one account run in request order; all commands do if a
/// transfer or a reversal is among them.
///
/// With `atomic`, all commands are executed or none. Each command sees the effects of the ones
/// before it. The first refusal aborts the set and is returned as 422 with its `index`.
///
/// A command has the fields of its single request, and in addition `type`, `account_id`,
/// `idempotency_key` and `expected_version`. A reversal can only name an entry that was committed
/// by an earlier request. 503 means that no command was decided.
#[utoipa::path(post, operation_id = "execute_commands", path = "/v1/commands", tag = "commands",
    security(
        ("api_key" = ["accounts:open"]),
        ("api_key" = ["accounts:manage"]),
        ("api_key" = ["money:move"]),
        ("api_key" = ["money:hold"]),
        ("api_key" = ["money:reverse"]),
    ),
    params(BulkHeaders),
    request_body = BulkRequest, responses(Success, Problems))]
pub(super) async fn commands(
    State(state): State<AppState>,
    Extension(bounds): Extension<Arc<Bounds>>,
    Extension(caller): Extension<Caller>,
    headers: BulkHeaders,
    JsonText(body): JsonText,
) -> Result<Response, Problem> {
    let dry_run = headers.dry_run;
    let Set { atomic, mut requests } =
        parse::read(&body, &headers, state.require_idempotency_key && !dry_run, state.clock.now())?;
    permit(&caller, &requests)?;
    // The request itself was taken before its body was read.
    caller.charge_further(requests.len() - 1)?;
    // The requests own their parts: the body is not kept while the commands run.
    drop(body);
    // Committed commands must be answered, so the answer's memory is reserved before they run.
    let share =
        bounds.answers.take(requests.len() * RESULT).ok_or_else(limits::too_many_answers)?;
    state.keep_opened_ids(&mut requests).await?;
    state.check_quotas(&requests).await?.map_err(|exceeded| {
        super::problems::quota_exceeded(&exceeded).with("index", exceeded.index)
    })?;
    let forms: Vec<ResultForm> = requests.iter().map(ResultForm::of).collect();
    // Each command of a dry run must see the effects of the ones before it, too.
    let results = if atomic || dry_run {
        state.lanes.submit_together(requests, atomic).await
    } else {
        state.lanes.submit_each(requests).await
    };
    if atomic && let Some(problem) = problems::first_failure(&forms, &results) {
        return Err(problem);
    }
    if let Some(problem) = problems::none_decided(&results) {
        return Err(problem);
    }
    let body = results::write(&forms, &results)?;
    Ok(([(CONTENT_TYPE, "application/json")], Extension(share), body).into_response())
}

/// Checks that the caller may send each command alone. The first that is forbidden refuses all, as
/// a malformed one does.
fn permit(caller: &Caller, requests: &[CommandRequest]) -> Result<(), Problem> {
    requests.iter().enumerate().try_for_each(|(index, request)| {
        let permitted = caller.check_operation(operation_id(&request.command));
        let permitted = permitted.and_then(|()| reach::check(request));
        permitted.map_err(|problem| problem.with("index", index))
    })
}

struct Success;

impl utoipa::IntoResponses for Success {
    fn responses() -> Responses {
        let schema = Ref::from_schema_name("BulkAnswer");
        let content =
            ContentBuilder::new().schema(Some(schema)).example(results::example()).build();
        let description =
            "One result for each command, in request order; with `atomic`, all succeeded";
        let response = ResponseBuilder::new()
            .description(description)
            .content("application/json", content)
            .build();
        Responses::from([("200".to_owned(), response.into())])
    }
}

struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> Responses {
        responses(
            any_command("commands[3].amount", "commands[3].idempotency_key")
                .into_iter()
                .chain(problems::set_problems()),
        )
    }
}
