//! The schemas of many commands: those of the requests and answers for one, and what is beside them.

use std::borrow::Cow;

use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type,
};
use utoipa::openapi::{KnownFormat, Ref, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use super::MOST;
use super::command::CommandType;
use crate::http::capture::CaptureRequest;
use crate::http::command_headers::optional_key;
use crate::http::freeze::FreezeRequest;
use crate::http::hold::HoldRequest;
use crate::http::movement::{MovementRequest, WithdrawalRequest};
use crate::http::open_account::OpenAccountRequest;
use crate::http::overdraft_limit::OverdraftLimitRequest;
use crate::http::reason::ReasonRequest;
use crate::http::reverse::ReversalRequest;
use crate::http::transfer::TransferRequest;
use crate::http::{examples, schemas};

/// Many commands.
pub(in crate::http) struct BulkRequest;

impl ToSchema for BulkRequest {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("BulkRequest")
    }
}

impl PartialSchema for BulkRequest {
    fn schema() -> RefOr<Schema> {
        let account = ["account_id"].as_slice();
        let hold = ["account_id", "hold_id"].as_slice();
        let command = [
            of_type(CommandType::Open, OpenAccountRequest::schema(), &[]),
            of_type(CommandType::Deposit, MovementRequest::schema(), account),
            of_type(CommandType::Withdraw, WithdrawalRequest::schema(), account),
            of_type(CommandType::Transfer, TransferRequest::schema(), &[]),
            of_type(CommandType::Hold, HoldRequest::schema(), account),
            of_type(CommandType::Capture, CaptureRequest::schema(), hold),
            of_type(CommandType::Release, ReasonRequest::schema(), hold),
            of_type(CommandType::Reverse, ReversalRequest::schema(), account),
            of_type(CommandType::SetOverdraftLimit, OverdraftLimitRequest::schema(), account),
            of_type(CommandType::Freeze, FreezeRequest::schema(), account),
            of_type(CommandType::Unfreeze, ReasonRequest::schema(), account),
            of_type(CommandType::Close, ReasonRequest::schema(), account),
        ];
        let command = command.into_iter().flatten().fold(OneOfBuilder::new(), OneOfBuilder::item);
        let commands = ArrayBuilder::new().items(command);
        let atomic = ObjectBuilder::new().schema_type(Type::Boolean).default(Some(false.into()));
        let example = serde_json::json!({"commands": [
            {"type": "deposit", "account_id": examples::ACCOUNT, "amount": 25_000, "idempotency_key": "order-1"},
            {"type": "withdraw", "account_id": examples::ACCOUNT, "amount": 200_000, "idempotency_key": "order-2"},
        ]});
        ObjectBuilder::new()
            .description(Some("Many commands"))
            .property("atomic", atomic.description(Some("Whether all are to be done, or none")))
            .property("commands", commands.min_items(Some(1)).max_items(Some(MOST)))
            .required("commands")
            .additional_properties(Some(AdditionalProperties::FreeForm(false)))
            .examples([example])
            .into()
    }
}

/// The request for one command, as one of many: with its type, `ids` that are else in the path, and what is else in
/// headers.
fn of_type(command_type: CommandType, alone: RefOr<Schema>, ids: &[&str]) -> Option<RefOr<Schema>> {
    let RefOr::T(Schema::Object(mut object)) = alone else { return None };
    let name = serde_json::to_value(command_type).ok();
    let is_type = ObjectBuilder::new().schema_type(Type::String).enum_values(name.map(|name| [name])).build();
    own(&mut object, "type", is_type, true);
    for id in ids {
        own(&mut object, id, uuid(), true);
    }
    own(&mut object, "idempotency_key", optional_key(), false);
    own(&mut object, "expected_version", schemas::optional_expected_version(), false);
    object.example = None;
    Some(object.into())
}

fn own(object: &mut Object, name: &str, schema: Object, required: bool) {
    object.properties.insert(name.to_owned(), RefOr::T(Schema::Object(schema)));
    if required {
        object.required.push(name.to_owned());
    }
}

fn uuid() -> Object {
    let format = SchemaFormat::KnownFormat(KnownFormat::Uuid);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build()
}

/// What became of each of them.
pub(in crate::http) struct BulkAnswer;

impl ToSchema for BulkAnswer {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("BulkAnswer")
    }
}

impl PartialSchema for BulkAnswer {
    fn schema() -> RefOr<Schema> {
        let status = |least, most| {
            let description = "What the status of the answer to it alone would be";
            let status = ObjectBuilder::new().schema_type(Type::Integer).description(Some(description));
            status.minimum(Some(least)).maximum(Some(most))
        };
        let description = "There, and true, if this is the answer to an earlier command with the key";
        let replayed = ObjectBuilder::new().schema_type(Type::Boolean).description(Some(description)).build();
        let beside = |least, most| {
            let beside = ObjectBuilder::new().property("status", status(least, most)).required("status");
            beside.property("replayed", replayed.clone())
        };
        let result = |schema: &str, least, most| {
            AllOfBuilder::new().item(beside(least, most)).item(Ref::from_schema_name(schema)).build()
        };
        let results = AnyOfBuilder::new()
            .item(Schema::AllOf(result("CommandAnswer", 200, 201)))
            .item(Schema::AllOf(result("TransferAnswer", 200, 201)))
            .item(Schema::AllOf(result("Problem", 400, 599)))
            .description(Some("The answer to it alone (a hold's has its `hold`), or its problem"));
        ObjectBuilder::new()
            .description(Some("What became of each command, in their order"))
            .property("results", ArrayBuilder::new().items(results))
            .required("results")
            .into()
    }
}
