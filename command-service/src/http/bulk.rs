//! `POST /v1/commands`

mod command;
mod problems;
mod results;
mod schema;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use passbook_shared::http::documented::responses;
use passbook_shared::http::extract::{JsonText, from_json};
use passbook_shared::http::limits::{self, Bounds};
use passbook_shared::http::problem::Problem;
use passbook_shared::recorded_event::CommandContext;
use passbook_shared::timestamp::Timestamp;
use serde::de::{self, Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use uuid::Uuid;

use self::command::Read;
pub(super) use self::schema::{BulkAnswer, BulkRequest};
use super::AppState;
use super::answer::Form;
use super::command_headers::{BulkHeaders, key_missing};
use super::documented::{Responses, any_command};
use crate::request::CommandRequest;

/// Maximum number of commands in a request.
const MOST: usize = 1_000;
/// Maximum number of malformed commands that a problem lists.
const NAMED: usize = 20;
const COUNT: &str = "must be 1 to 1000 commands";
/// Typical size of one result, in bytes.
const RESULT: usize = 1024;

/// Body of the request; its commands are still raw JSON.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Bulk<'a> {
    atomic: Option<bool>,
    #[serde(borrow)]
    commands: Elements<'a>,
}

/// Raw commands. Deserialization stops at the first one beyond [`MOST`].
#[derive(Debug)]
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

struct ElementsVisitor;

impl<'de> de::Visitor<'de> for ElementsVisitor {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of commands")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut elements: A) -> Result<Elements<'de>, A::Error> {
        let mut commands = Vec::new();
        while let Some(command) = elements.next_element()? {
            if commands.len() == MOST {
                return Err(de::Error::custom(COUNT));
            }
            commands.push(command);
        }
        Ok(Elements(commands))
    }
}

/// Parsed request: one [`CommandRequest`] for each command.
#[derive(Debug)]
struct Set {
    atomic: bool,
    requests: Vec<CommandRequest>,
}

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
    params(BulkHeaders),
    request_body = BulkRequest, responses(Success, Problems))]
pub(super) async fn commands(
    State(state): State<AppState>,
    Extension(bounds): Extension<Arc<Bounds>>,
    headers: BulkHeaders,
    JsonText(body): JsonText,
) -> Result<Response, Problem> {
    let dry_run = headers.dry_run;
    let Set { atomic, mut requests } =
        read(&body, &headers, state.require_idempotency_key && !dry_run, state.clock.now())?;
    drop(body);
    // Committed commands must be answered, so the answer's memory is reserved before they run.
    let share =
        bounds.answers.take(requests.len() * RESULT).ok_or_else(limits::too_many_answers)?;
    state.keep_opened_ids(&mut requests).await?;
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

/// Parses the body into requests for the lanes.
///
/// # Errors
/// 400 `malformed_request` that names the field.
fn read(
    body: &[u8],
    headers: &BulkHeaders,
    key_required: bool,
    now: Timestamp,
) -> Result<Set, Problem> {
    let Bulk { atomic, commands: Elements(commands) } = from_json(body)?;
    let (atomic, most) = (atomic.unwrap_or(false), commands.len());
    if commands.is_empty() {
        return Err(Problem::malformed("commands", COUNT));
    }
    let mut set = Set { atomic, requests: Vec::with_capacity(most) };
    let mut malformed = Vec::new();
    for (index, text) in commands.into_iter().enumerate() {
        let place = || format!("commands[{index}]");
        let read = if text.get().starts_with('{') {
            read_command(text, key_required, now).map_err(|problem| problem.within(&place()))
        } else {
            Err(Problem::malformed(place(), "must be an object"))
        };
        let Read { account_id, command, idempotency_key, expected_version } = match read {
            Ok(read) => read,
            Err(problem) => {
                malformed.push(problem);
                if malformed.len() == NAMED { break } else { continue }
            }
        };
        let BulkHeaders { dry_run, context } = headers;
        let (dry_run, command_id) = (*dry_run, Uuid::now_v7());
        let context = CommandContext { idempotency_key, ..context.clone() };
        let expected_versions = expected_version.map(|version| vec![version]);
        set.requests.push(CommandRequest {
            account_id,
            command,
            expected_versions,
            dry_run,
            command_id,
            context,
        });
    }
    if let Some(problem) = Problem::all_malformed(malformed) {
        return Err(problem);
    }
    if atomic {
        no_key_twice(&set.requests)?;
    }
    Ok(set)
}

fn read_command(text: &RawValue, key_required: bool, now: Timestamp) -> Result<Read, Problem> {
    let read = command::read(from_json(text.get().as_bytes())?, now)?;
    match &read.idempotency_key {
        None if key_required => Err(key_missing("idempotency_key")),
        Some(_) | None => Ok(read),
    }
}

/// Refuses a key that occurs twice on an account: the second use would be a replay, which an atomic
/// set must not contain.
fn no_key_twice(requests: &[CommandRequest]) -> Result<(), Problem> {
    let mut keys = HashSet::new();
    for (index, request) in requests.iter().enumerate() {
        let of_account =
            request.context.idempotency_key.as_deref().map(|key| (request.account_id, key));
        if of_account.is_some_and(|of_account| !keys.insert(of_account)) {
            let detail = "is already used by another command of this set on the same account";
            return Err(Problem::malformed(format!("commands[{index}].idempotency_key"), detail));
        }
    }
    Ok(())
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
