//! `POST /v1/commands`

mod command;
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
pub(super) use self::results::example;
pub(super) use self::schema::{BulkAnswer, BulkRequest};
use super::answer::Form;
use super::command_headers::{BulkHeaders, key_missing};
use super::documented::{Responses, any_command};
use super::{AppState, examples};
use crate::request::CommandRequest;

/// How many commands a request may have.
const MOST: usize = 1_000;
/// Maximum number of malformed commands that are named.
const NAMED: usize = 20;
const COUNT: &str = "must be 1 to 1000 commands";
/// Bytes of the result of one command, as a rule.
const RESULT: usize = 1024;

/// The body, its commands not read yet.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Bulk<'a> {
    atomic: Option<bool>,
    #[serde(borrow)]
    commands: Elements<'a>,
}

/// As many commands as a request may have, not read yet: reading stops at the next.
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

/// The same, read: a request to the lanes for each command.
#[derive(Debug)]
struct Set {
    atomic: bool,
    requests: Vec<CommandRequest>,
}

/// How the result of one of the commands is told.
#[derive(Debug, Clone, Copy)]
struct Asked {
    account_id: Uuid,
    form: Form,
}

impl Asked {
    fn of(request: &CommandRequest) -> Self {
        Self { account_id: request.account_id, form: Form::of(&request.command, request.dry_run) }
    }
}

/// Many commands at once
///
/// Each by itself, with a result each, in their order; or, with `atomic`, all or none: one after the other on what the
/// ones before it left, and if one is refused (422, with its `index`), nothing is done. Without it, commands on one account
/// are done in their order; all are, if a transfer or a reversal is among them. A command has the fields of the request
/// for it alone, and its `type`, `account_id`, and keys of its own. An entry can be reversed once it was answered. 503: none of
/// the commands was decided.
#[utoipa::path(post, operation_id = "execute_commands", path = "/v1/commands", tag = "commands", params(BulkHeaders),
    request_body = BulkRequest, responses(Done, Problems))]
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
    // What is done has to be answered, so the memory for that comes first.
    let share =
        bounds.answers.take(requests.len() * RESULT).ok_or_else(limits::too_many_answers)?;
    state.keep_opened_ids(&mut requests).await?;
    let asked: Vec<Asked> = requests.iter().map(Asked::of).collect();
    // Dry runs, too, are to see what the ones before them would have left.
    let results = if atomic || dry_run {
        state.lanes.submit_together(requests, atomic).await
    } else {
        state.lanes.submit_each(requests).await
    };
    if atomic && let Some(problem) = results::first_not_done(&asked, &results) {
        return Err(problem);
    }
    if let Some(problem) = results::none_decided(&results) {
        return Err(problem);
    }
    let body = results::write(&asked, &results)?;
    Ok(([(CONTENT_TYPE, "application/json")], Extension(share), body).into_response())
}

/// What is asked of the lanes.
///
/// # Errors
/// 400 that names the field.
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

/// Of two with one key the second would be a repeat, which does nothing: no set of which all is done.
fn no_key_twice(requests: &[CommandRequest]) -> Result<(), Problem> {
    let mut keys = HashSet::new();
    for (index, request) in requests.iter().enumerate() {
        let of_account =
            request.context.idempotency_key.as_deref().map(|key| (request.account_id, key));
        if of_account.is_some_and(|of_account| !keys.insert(of_account)) {
            let detail = "is that of another command of the set on this account";
            return Err(Problem::malformed(format!("commands[{index}].idempotency_key"), detail));
        }
    }
    Ok(())
}

struct Done;

impl utoipa::IntoResponses for Done {
    fn responses() -> Responses {
        let schema = Ref::from_schema_name("BulkAnswer");
        let content = ContentBuilder::new().schema(Some(schema)).example(examples::bulk()).build();
        let description =
            "What became of each command, in their order; with `atomic`, all are done";
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
                .chain(results::not_done()),
        )
    }
}
