//! OpenAPI schemas of the payloads.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::{
    AccountFrozen, AccountOpened, EntryReversed, HoldCaptured, HoldExpired, HoldPlaced,
    HoldReleased, MoneyMoved, OverdraftLimitSet, OwnerChanged, Reason, ReversedTransfer,
    ReversibleEntry, TransferLeg,
};
use crate::money::Currency;

/// Payload of any event type, as a schema that admits types of later versions.
#[derive(Debug)]
pub struct EventData;

/// Returns the schema of each event type's payload.
fn by_type() -> [(&'static str, RefOr<Schema>); 15] {
    [
        ("AccountOpened", AccountOpened::schema()),
        ("MoneyDeposited", MoneyMoved::schema()),
        ("MoneyWithdrawn", MoneyMoved::schema()),
        ("MoneySent", TransferLeg::schema()),
        ("MoneyReceived", TransferLeg::schema()),
        ("HoldPlaced", HoldPlaced::schema()),
        ("HoldCaptured", HoldCaptured::schema()),
        ("HoldReleased", HoldReleased::schema()),
        ("HoldExpired", HoldExpired::schema()),
        ("EntryReversed", EntryReversed::schema()),
        ("OverdraftLimitSet", OverdraftLimitSet::schema()),
        ("OwnerChanged", OwnerChanged::schema()),
        ("AccountFrozen", AccountFrozen::schema()),
        ("AccountUnfrozen", Reason::schema()),
        ("AccountClosed", Reason::schema()),
    ]
}

impl ToSchema for EventData {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("EventData")
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        for (event_type, data) in by_type() {
            let RefOr::T(Schema::Object(mut data)) = data else { continue };
            data.description = Some(format!("Payload of an event of type `{event_type}`"));
            schemas.push((format!("{event_type}Data"), data.into()));
        }
        schemas.push(("Currency".to_owned(), Currency::schema()));
        schemas.push(("ReversibleEntry".to_owned(), ReversibleEntry::schema()));
        schemas.push(("ReversedTransfer".to_owned(), ReversedTransfer::schema()));
    }
}

impl PartialSchema for EventData {
    fn schema() -> RefOr<Schema> {
        let names: Vec<String> =
            by_type().iter().map(|(event_type, _)| format!("`{event_type}Data`")).collect();
        let references = by_type().map(|(event_type, _)| {
            (
                event_type,
                serde_json::json!({"$ref": format!("#/components/schemas/{event_type}Data")}),
            )
        });
        let schemas =
            Extensions::from_iter([("x-data-by-type", serde_json::Value::from_iter(references))]);
        let description = format!(
            "Payload by the `type` of the event: {}. Later versions may add types",
            names.join(", ")
        );
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some(description))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)))
            .extensions(Some(schemas))
            .examples([serde_json::json!({"amount": 25_000})])
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::AccountEvent;

    #[test]
    fn every_type_of_event_has_a_schema() {
        let mut schemas = Vec::new();
        EventData::schemas(&mut schemas);
        for event_type in AccountEvent::TYPES {
            assert!(
                schemas.iter().any(|(name, _)| *name == format!("{event_type}Data")),
                "{event_type}"
            );
        }
        assert_eq!(by_type().len(), AccountEvent::TYPES.len());
    }
}
