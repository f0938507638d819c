//! Building blocks of the endpoints' OpenAPI documentation. The code that produces real problems
//! produces their examples.

use std::collections::BTreeMap;

use passbook_shared::http::body;
pub(super) use passbook_shared::http::documented::Responses;
use passbook_shared::http::documented::responses;
use passbook_shared::http::limits::{self, Limits};
use passbook_shared::http::problem::Problem;
use passbook_shared::partition::Partition;
use serde_json::Value;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Header, Ref, ResponseBuilder};

use super::{command_headers, examples, problems, reach};
use crate::domain::Refusal;
use crate::outcome::CommandError;
use crate::quotas::Exceeded;

/// Responses of an opening: 201, or 200 for a dry run.
#[derive(Debug)]
pub(super) struct Created;
/// Responses of an entry: 201, or 200 for a dry run.
#[derive(Debug)]
pub(super) struct Entered;
/// Responses of a change of the account's settings: 200.
#[derive(Debug)]
pub(super) struct Changed;

impl utoipa::IntoResponses for Created {
    fn responses() -> Responses {
        let location = text_header("Path of the account's state: `/v1/accounts/{id}/state`");
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

/// Schema of most answers.
const ACCOUNT: &str = "CommandAnswer";

/// Responses of a command that creates something: 201, or 200 for a dry run.
pub(super) fn made(schema: &str, description: &str, example: Option<Value>) -> Responses {
    let dry_run =
        answered(schema, "With `dry_run`: the answer that the command would get", example.clone());
    let made = answered(schema, description, example);
    BTreeMap::from([
        ("201".to_owned(), made.build().into()),
        ("200".to_owned(), dry_run.build().into()),
    ])
}

/// Response of a command that puts the account into a wanted state: 200.
pub(super) fn changed(example: Option<Value>) -> Responses {
    let description = "The account is in the requested state; with `dry_run`, it would be";
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

/// Problems of any command on an account, followed by the command's own `refusals`.
pub(super) fn command_problems(refusals: impl IntoIterator<Item = Refusal>) -> Responses {
    let mismatch = Refusal::VersionMismatch { current_version: 8 };
    let refusals = refusals
        .into_iter()
        .chain([mismatch])
        .map(|refusal| problems::refused(examples::ACCOUNT, &refusal));
    let reused = problems::undecided(&CommandError::KeyReused);
    responses(any_command("amount", "Idempotency-Key").into_iter().chain(refusals).chain([reused]))
}

/// Problems of any request that carries commands. `malformed` and `key` name the fields in the
/// examples.
pub(super) fn any_command(malformed: &str, key: &str) -> Vec<Problem> {
    let detail = "invalid value: integer `0`, expected an integer of minor units from 1";
    let undecided = [
        CommandError::Conflict,
        CommandError::Overloaded,
        CommandError::OutcomeUnknown,
        CommandError::StoreUnavailable(passbook_shared::store_error::EXAMPLE.into()),
        CommandError::LogIsBehind {
            partition: Partition::new(3),
            log_position: 1_042,
            topic_position: 1_057,
        },
        CommandError::Internal,
    ];
    let exceeded = Exceeded { index: 0, quota: "max_accounts", most: 1_000 };
    let before = [
        Problem::malformed(malformed, detail),
        command_headers::key_missing(key),
        reach::out_of_reach(&reach::example()),
        problems::quota_exceeded(&exceeded),
    ];
    before
        .into_iter()
        .chain(body_problems())
        .chain(undecided.iter().map(problems::undecided))
        .collect()
}

/// Problems of any request with a body.
pub(super) fn body_problems() -> [Problem; 3] {
    [
        limits::body_too_slow(Limits::default().body),
        body::too_large(),
        Problem::unsupported_media_type(),
    ]
}

/// Problems of any request that reads the log, followed by its own.
pub(super) fn read_problems(own: impl IntoIterator<Item = Problem>) -> Responses {
    let any = [
        Problem::malformed("limit", "must be a whole number from 1 to 1000"),
        Problem::store_unavailable(passbook_shared::store_error::EXAMPLE),
        Problem::internal(),
    ];
    responses(any.into_iter().chain(own))
}
