//! Schemas of bulk requests and answers, derived from the schemas of the single ones.

use std::borrow::Cow;

use passbook_shared::http::problem::Problem;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, Discriminator, Object, ObjectBuilder, OneOfBuilder, Schema,
    Type,
};
use utoipa::openapi::{KnownFormat, Ref, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use super::command::CommandType;
use super::parse::MOST;
use super::results::Kind;
use crate::http::answer::{CommandAnswer, HoldAnswer, TransferAnswer};
use crate::http::capture::CaptureRequest;
use crate::http::command_headers::optional_key;
use crate::http::freeze::FreezeRequest;
use crate::http::hold::HoldRequest;
use crate::http::movement::{MovementRequest, WithdrawalRequest};
use crate::http::open_account::OpenAccountRequest;
use crate::http::overdraft_limit::OverdraftLimitRequest;
use crate::http::owner::OwnerRequest;
use crate::http::reason::ReasonRequest;
use crate::http::reverse::ReversalRequest;
use crate::http::transfer::TransferRequest;
use crate::http::{examples, schemas};

/// Schema of the request body.
pub(in crate::http) struct BulkRequest;

type Schemas = Vec<(String, RefOr<Schema>)>;

impl ToSchema for BulkRequest {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("BulkRequest")
    }

    fn schemas(schemas: &mut Schemas) {
        let commands: Vec<_> = commands().collect();
        let by_type =
            one_of("type", commands.iter().map(|(tag, name, _)| (tag.as_str(), name.as_str())));
        schemas.push((
            "BulkCommand".to_owned(),
            by_type.description(Some("One command of a bulk request")).into(),
        ));
        schemas.extend(commands.into_iter().map(|(_, name, schema)| (name, schema.into())));
    }
}

impl PartialSchema for BulkRequest {
    fn schema() -> RefOr<Schema> {
        let commands = ArrayBuilder::new().items(Ref::from_schema_name("BulkCommand"));
        let atomic = ObjectBuilder::new().schema_type(Type::Boolean);
        let atomic = atomic.description(Some(
            "Executes all commands or none; if absent, each command is independent",
        ));
        let example = serde_json::json!({"commands": [
            {"type": "deposit", "account_id": examples::ACCOUNT, "amount": 25_000,
             "idempotency_key": "order-1"},
            {"type": "transfer", "from": examples::ACCOUNT, "to": examples::OTHER, "amount": 2_000,
             "idempotency_key": "order-2"},
            {"type": "hold", "account_id": examples::ACCOUNT, "amount": 5_000,
             "idempotency_key": "order-3"},
        ]});
        ObjectBuilder::new()
            .description(Some("At most 1,000 commands, in a body of at most 2 MiB"))
            .property("atomic", atomic)
            .property("commands", commands.min_items(Some(1)).max_items(Some(MOST)))
            .required("commands")
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .examples([example])
            .into()
    }
}

/// Returns the type, the schema name and the schema of each command.
fn commands() -> impl Iterator<Item = (String, String, Object)> {
    let account = ["account_id"].as_slice();
    let hold = ["account_id", "hold_id"].as_slice();
    let commands = [
        (CommandType::Open, OpenAccountRequest::schema(), [].as_slice()),
        (CommandType::Deposit, MovementRequest::schema(), account),
        (CommandType::Withdraw, WithdrawalRequest::schema(), account),
        (CommandType::Transfer, TransferRequest::schema(), &[]),
        (CommandType::Hold, HoldRequest::schema(), account),
        (CommandType::Capture, CaptureRequest::schema(), hold),
        (CommandType::Release, ReasonRequest::schema(), hold),
        (CommandType::Reverse, ReversalRequest::schema(), account),
        (CommandType::SetOverdraftLimit, OverdraftLimitRequest::schema(), account),
        (CommandType::ChangeOwner, OwnerRequest::schema(), account),
        (CommandType::Freeze, FreezeRequest::schema(), account),
        (CommandType::Unfreeze, ReasonRequest::schema(), account),
        (CommandType::Close, ReasonRequest::schema(), account),
    ];
    commands.into_iter().filter_map(|(command_type, alone, ids)| {
        let tag = serde_json::to_value(command_type).ok()?.as_str()?.to_owned();
        Some((tag.clone(), format!("{command_type:?}Command"), of_type(&tag, alone, ids)?))
    })
}

/// Turns the schema of a single command into that of a bulk element. Adds the type, the path's
/// `ids` and the fields that replace headers.
fn of_type(tag: &str, alone: RefOr<Schema>, ids: &[&str]) -> Option<Object> {
    let RefOr::T(Schema::Object(mut object)) = alone else { return None };
    own(&mut object, "type", only(tag), true);
    for id in ids {
        own(&mut object, id, uuid(), true);
    }
    own(&mut object, "idempotency_key", optional_key(), false);
    own(&mut object, "expected_version", schemas::optional_expected_version(), false);
    object.example = None;
    object.examples.clear();
    Some(object)
}

/// Builds a `oneOf` of the named schemas, discriminated by the property `tag`.
fn one_of<'a>(tag: &str, schemas: impl Iterator<Item = (&'a str, &'a str)>) -> OneOfBuilder {
    let mut one_of = OneOfBuilder::new();
    let mut mapping = Vec::new();
    for (value, name) in schemas {
        let schema = Ref::from_schema_name(name);
        mapping.push((value.to_owned(), schema.ref_location.clone()));
        one_of = one_of.item(schema);
    }
    one_of.discriminator(Some(Discriminator::with_mapping(tag, mapping)))
}

fn own(object: &mut Object, name: &str, schema: Object, required: bool) {
    object.properties.insert(name.to_owned(), RefOr::T(Schema::Object(schema)));
    if required {
        object.required.push(name.to_owned());
    }
}

/// Schema of a constant string.
fn only(text: &str) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some([text])).build()
}

fn uuid() -> Object {
    let format = SchemaFormat::KnownFormat(KnownFormat::Uuid);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build()
}

/// Schema of the answer.
pub(in crate::http) struct BulkAnswer;

type SchemaOf = fn() -> RefOr<Schema>;

/// Results by discriminator: schema name, schema of the single answer, and range of statuses.
const RESULTS: [(Kind, &str, SchemaOf, [u16; 2]); 4] = [
    (Kind::Account, "AccountResult", CommandAnswer::schema, [200, 201]),
    (Kind::Hold, "HoldResult", HoldAnswer::schema, [200, 201]),
    (Kind::Transfer, "TransferResult", TransferAnswer::schema, [200, 201]),
    (Kind::Problem, "ProblemResult", Problem::schema, [400, 599]),
];

impl ToSchema for BulkAnswer {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("BulkAnswer")
    }

    fn schemas(schemas: &mut Schemas) {
        let tags = RESULTS.map(|(result, name, ..)| (result.as_str(), name));
        let by_result = one_of("result", tags.into_iter());
        schemas.push((
            "BulkResult".to_owned(),
            by_result.description(Some("Result of one command")).into(),
        ));
        let results = RESULTS.iter().filter_map(|(result, name, alone, statuses)| {
            Some(((*name).to_owned(), with_result(*result, flat(alone())?, *statuses).into()))
        });
        schemas.extend(results);
    }
}

impl PartialSchema for BulkAnswer {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some("One result for each command, in request order"))
            .property("results", ArrayBuilder::new().items(Ref::from_schema_name("BulkResult")))
            .required("results")
            .into()
    }
}

/// Turns the schema of a single answer into that of a bulk result.
fn with_result(result: Kind, mut answer: Object, [least, most]: [u16; 2]) -> Object {
    own(&mut answer, "result", only(result.as_str()), true);
    let description = "Status that a single request would have got";
    let status = ObjectBuilder::new().schema_type(Type::Integer).description(Some(description));
    answer.required.retain(|name| name != "status");
    own(&mut answer, "status", status.minimum(Some(least)).maximum(Some(most)).build(), true);
    let description =
        "True if the answer was replayed from an earlier command with the same key; else absent";
    own(
        &mut answer,
        "replayed",
        ObjectBuilder::new().schema_type(Type::Boolean).description(Some(description)).build(),
        false,
    );
    answer
}

/// Merges the parts of an `allOf` schema into one object.
fn flat(schema: RefOr<Schema>) -> Option<Object> {
    match schema {
        RefOr::T(Schema::Object(object)) => Some(object),
        RefOr::T(Schema::AllOf(all)) => all.items.into_iter().map(flat).reduce(|a, b| {
            let (mut a, b) = (a?, b?);
            a.properties.extend(b.properties);
            a.required.extend(b.required);
            Some(a)
        })?,
        RefOr::Ref(reference) if reference.ref_location.ends_with("/CommandAnswer") => {
            flat(CommandAnswer::schema())
        }
        RefOr::T(_) | RefOr::Ref(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_every_result_has_a_schema() {
        let mut schemas = Schemas::new();
        BulkRequest::schemas(&mut schemas);
        BulkAnswer::schemas(&mut schemas);
        let names: Vec<&str> = schemas.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), 2 + 13 + RESULTS.len(), "{names:?}");
        let hold =
            serde_json::to_value(&schemas.iter().find(|(name, _)| name == "HoldResult").unwrap().1)
                .unwrap();
        for field in ["result", "status", "hold", "version", "events"] {
            assert!(
                hold["properties"][field].is_object()
                    && hold["required"].as_array().unwrap().contains(&field.into()),
                "{hold}"
            );
        }
    }
}
