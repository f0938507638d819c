//! What the endpoints' documentation shares. The examples of problems are made by the code that answers with them.

use std::collections::BTreeMap;

use passbook_shared::http::body;
pub(super) use passbook_shared::http::documented::Responses;
use passbook_shared::http::documented::responses;
use passbook_shared::http::limits::{self, Limits};
use passbook_shared::http::problem::{FieldError, Problem};
use serde_json::Value;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, Ref, ResponseBuilder};

use super::answer::{AnsweredEvent, AnsweredHold, CommandAnswer, HoldAnswer, TransferAnswer};
use super::bulk::BulkAnswer;
use super::{command_headers, examples, problems};
use crate::domain::Refusal;
use crate::outcome::CommandError;

/// What the document says of the whole.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Passbook command-service",
        version = env!("CARGO_PKG_VERSION"),
        description = "Changes money accounts, and shows the log of what happened to them.\n\n\
            Amounts are integers in minor units (`1250` is 12.50 EUR). Every change may carry an `Idempotency-Key`: a \
            repeat with it has no second effect and gets the first answer again. What goes wrong is answered as \
            `application/problem+json` with a stable `code`. Every response carries `X-Request-Id`.",
        contact(name = "Passbook"),
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    tags(
        (name = "commands", description = "Change an account"),
        (name = "log", description = "Read what happened, as it was recorded"),
        (name = "operations", description = "Run the service"),
    ),
    components(schemas(
        FieldError,
        CommandAnswer,
        AnsweredEvent,
        HoldAnswer,
        AnsweredHold,
        TransferAnswer,
        BulkAnswer,
    ))
)]
pub(super) struct Document;

/// For `responses(…)`: the account was made (201), or would have been (200, dry run).
#[derive(Debug)]
pub(super) struct Created;
/// For `responses(…)`: the account was changed by an entry (201), or would have been (200, dry run).
#[derive(Debug)]
pub(super) struct Entered;
/// For `responses(…)`: the account is as was asked for.
#[derive(Debug)]
pub(super) struct Changed;

impl utoipa::IntoResponses for Created {
    fn responses() -> Responses {
        let location = text_header("The account as this service has it: `/v1/accounts/{id}/state`");
        let created = answered(ACCOUNT, "The account is open", examples::opening())
            .header("Location", location);
        let mut responses = made(ACCOUNT, "", examples::opening());
        responses.insert("201".to_owned(), created.build().into());
        responses
    }
}

impl utoipa::IntoResponses for Entered {
    fn responses() -> Responses {
        made(ACCOUNT, "The money has moved", examples::deposit())
    }
}

impl utoipa::IntoResponses for Changed {
    fn responses() -> Responses {
        changed(examples::freeze())
    }
}

/// The schema of most answers.
const ACCOUNT: &str = "CommandAnswer";

/// The answer, of a schema, to a command that has made something (201), or would have (200, dry run).
pub(super) fn made(schema: &str, description: &str, example: Option<Value>) -> Responses {
    let dry_run = answered(schema, "With `dry_run`: it would have been done", example.clone());
    let made = answered(schema, description, example);
    BTreeMap::from([
        ("201".to_owned(), made.build().into()),
        ("200".to_owned(), dry_run.build().into()),
    ])
}

/// The answer to a command after which the account is as was asked for.
pub(super) fn changed(example: Option<Value>) -> Responses {
    let description = "The account is so, now or already; with `dry_run`, it would be";
    BTreeMap::from([("200".to_owned(), answered(ACCOUNT, description, example).build().into())])
}

fn answered(schema: &str, description: &str, example: Option<Value>) -> ResponseBuilder {
    let schema = Ref::from_schema_name(schema);
    ResponseBuilder::new()
        .description(description)
        .content(
            "application/json",
            ContentBuilder::new().schema(Some(schema)).example(example).build(),
        )
        .header("ETag", text_header("The account's version, in quotes"))
        .header(
            "Idempotency-Replayed",
            text_header("`true` if this is the answer to an earlier request with the key"),
        )
}

fn text_header(description: &str) -> Header {
    let text = ObjectBuilder::new().schema_type(Type::String);
    HeaderBuilder::new().schema(Some(text)).description(Some(description)).build()
}

/// What any command on an account may be answered with instead, beside the refusals of its own.
pub(super) fn command_problems(refusals: impl IntoIterator<Item = Refusal>) -> Responses {
    let mismatch = Refusal::VersionMismatch { current_version: 8 };
    let refusals = refusals
        .into_iter()
        .chain([mismatch])
        .map(|refusal| problems::refused(examples::ACCOUNT, &refusal));
    let reused = problems::undecided(&CommandError::KeyReused);
    responses(any_command("amount", "Idempotency-Key").into_iter().chain(refusals).chain([reused]))
}

/// What any request with commands may be answered with: one whose `malformed` field is no amount, for example, or that
/// lacks its `key`.
pub(super) fn any_command(malformed: &str, key: &str) -> Vec<Problem> {
    let detail = "invalid value: integer `0`, expected an integer of minor units from 1";
    let undecided = [
        CommandError::Conflict,
        CommandError::Overloaded,
        CommandError::OutcomeUnknown,
        CommandError::StoreUnavailable(passbook_shared::store_error::EXAMPLE.into()),
        CommandError::LogIsBehind { partition: 3, log_position: 1_042, topic_position: 1_057 },
        CommandError::Internal,
    ];
    let before = [Problem::malformed(malformed, detail), command_headers::key_missing(key)];
    before
        .into_iter()
        .chain(body_problems())
        .chain(undecided.iter().map(problems::undecided))
        .collect()
}

/// What any request with a body may be answered with instead.
pub(super) fn body_problems() -> [Problem; 3] {
    [
        limits::body_too_slow(Limits::default().body),
        body::too_large(),
        Problem::unsupported_media_type(),
    ]
}

/// What any request that reads the log may be answered with instead, beside problems of its own.
pub(super) fn read_problems(own: impl IntoIterator<Item = Problem>) -> Responses {
    let any = [
        Problem::malformed("limit", "must be a whole number from 1 to 1000"),
        Problem::store_unavailable(passbook_shared::store_error::EXAMPLE),
        Problem::internal(),
    ];
    responses(any.into_iter().chain(own))
}
