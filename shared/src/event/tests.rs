//! The JSON form of the payloads.

pub(crate) mod any;
mod facts;

use proptest::prelude::*;
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::*;
use crate::upcast::DecodeError;

const ID: Uuid = Uuid::from_u128(11);

/// Returns a payload of each type without any optional field, and its schema version.
fn shortest() -> [(&'static str, i16, Value); 15] {
    let leg = json!({
        "transfer_id": ID, "counterparty": ID, "counterparty_version": 3, "amount": 1,
    });
    let opened = json!({
        "owner": "o", "currency": "EUR", "initial_deposit": 0, "overdraft_limit": 0,
    });
    let expires_at = "2026-11-24T12:00:00.000000Z";
    [
        ("AccountOpened", 2, opened),
        ("MoneyDeposited", 1, json!({"amount": 1})),
        ("MoneyWithdrawn", 1, json!({"amount": 1})),
        ("MoneySent", 1, leg.clone()),
        ("MoneyReceived", 1, leg),
        ("HoldPlaced", 1, json!({"hold_id": ID, "amount": 1})),
        ("HoldCaptured", 1, json!({"hold_id": ID, "amount": 1, "released": 0})),
        ("HoldReleased", 1, json!({"hold_id": ID, "amount": 1})),
        ("HoldExpired", 1, json!({"hold_id": ID, "amount": 1, "expires_at": expires_at})),
        ("EntryReversed", 1, json!({"version": 2, "entry": "deposit", "amount": 1})),
        ("OverdraftLimitSet", 1, json!({"limit": 0})),
        ("OwnerChanged", 1, json!({"owner": "o"})),
        ("AccountFrozen", 1, json!({"block_credits": false})),
        ("AccountUnfrozen", 1, json!({})),
        ("AccountClosed", 1, json!({})),
    ]
}

fn decode(event_type: &str, version: i16, data: &Value) -> Result<AccountEvent, DecodeError> {
    AccountEvent::decode(event_type, version, &to_raw_value(data).unwrap())
}

fn payload(event: &AccountEvent) -> Map<String, Value> {
    serde_json::from_str(event.data().unwrap().get()).unwrap()
}

/// Returns the shortest event of a type with further fields.
fn with(event_type: &str, fields: Value) -> AccountEvent {
    let (_, version, mut data) =
        shortest().into_iter().find(|(name, ..)| *name == event_type).unwrap();
    data.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    decode(event_type, version, &data).unwrap()
}

proptest! {
    #[test]
    fn an_event_survives_a_round_trip(event in any::event()) {
        let data = event.data().unwrap();
        let read = AccountEvent::decode(event.event_type(), event.schema_version(), &data).unwrap();
        prop_assert_eq!(&read, &event);
        let again = read.data().unwrap();
        prop_assert_eq!(again.get(), data.get());
    }

    #[test]
    fn each_field_is_needed_or_makes_a_difference(event in any::event()) {
        let (name, version, whole) = (event.event_type(), event.schema_version(), payload(&event));
        for field in whole.keys() {
            let mut less = whole.clone();
            less.remove(field);
            if let Ok(other) = decode(name, version, &less.into()) {
                prop_assert_ne!(&other, &event, "{} without {}", name, field);
            }
        }
    }

    #[test]
    fn a_payload_of_a_newer_build_is_read_without_its_unknown_fields(event in any::event()) {
        let mut more = payload(&event);
        more.insert("from_the_future".to_owned(), json!({"nested": [1, 2]}));
        let read = decode(event.event_type(), event.schema_version(), &more.into()).unwrap();
        prop_assert_eq!(read, event);
    }

    #[test]
    fn no_payload_panics(data in any::json(), version in any::<i16>(), n in 0..15_usize) {
        let _ = decode(AccountEvent::TYPES[n], version, &data);
    }
}

#[test]
fn the_shortest_payload_has_no_optional_field() {
    for ((event_type, version, data), name) in shortest().into_iter().zip(AccountEvent::TYPES) {
        assert_eq!(event_type, *name);
        let event = decode(event_type, version, &data).unwrap();
        assert_eq!(Value::from(payload(&event)), data, "{event_type}");
        assert_eq!((event.event_type(), event.schema_version()), (event_type, version));
        assert_eq!(event.effective_at(), None, "{event_type}");
        for field in data.as_object().unwrap().keys() {
            let mut less = data.clone();
            less.as_object_mut().unwrap().remove(field);
            let error = decode(event_type, version, &less).unwrap_err().to_string();
            assert!(error.contains(&format!("missing field `{field}`")), "{event_type}: {error}");
        }
    }
}

#[test]
fn an_explicit_null_is_an_absent_field_and_false_is_not_written() {
    let nothing = json!({
        "reference": null, "effective_at": null, "metadata": {}, "allow_backdated_overdraft": false,
    });
    assert_eq!(payload(&with("MoneyDeposited", nothing)).len(), 1);
    assert_eq!(payload(&with("AccountClosed", json!({"reason": null}))).len(), 0);
    let empty = payload(&with("AccountClosed", json!({"reason": ""})));
    assert_eq!(empty["reason"], "", "an empty text is not an absent one");
}

#[test]
fn an_amount_out_of_bounds_is_refused_in_every_payload() {
    for (event_type, version, data) in shortest() {
        for (field, least) in [
            ("amount", 1),
            ("released", 0),
            ("initial_deposit", 0),
            ("overdraft_limit", 0),
            ("limit", 0),
        ] {
            if data.get(field).is_none() {
                continue;
            }
            for (value, is_valid) in [
                (json!(least), true),
                (json!(least - 1), false),
                (json!(9_007_199_254_740_991_i64), true),
                (json!(9_007_199_254_740_992_i64), false),
                (json!("1"), false),
                (json!(1.5), false),
            ] {
                let mut changed = data.clone();
                changed[field] = value.clone();
                let read = decode(event_type, version, &changed);
                assert_eq!(read.is_ok(), is_valid, "{event_type}.{field} = {value}");
            }
        }
    }
}

#[test]
fn the_schema_version_is_the_oldest_that_holds_the_payload() {
    let backdated = json!({"allow_backdated_overdraft": true});
    let effective = json!({"effective_at": "2026-11-23T08:00:00Z"});
    for (event_type, fields, version) in [
        ("AccountOpened", effective.clone(), 3),
        ("MoneyDeposited", effective.clone(), 1),
        ("MoneyDeposited", backdated.clone(), 1),
        ("MoneyWithdrawn", effective.clone(), 1),
        ("MoneyWithdrawn", backdated.clone(), 2),
        ("MoneySent", effective.clone(), 1),
        ("MoneySent", backdated.clone(), 2),
        ("MoneyReceived", backdated.clone(), 2),
        ("EntryReversed", effective, 2),
        ("EntryReversed", backdated, 2),
    ] {
        let event = with(event_type, fields.clone());
        assert_eq!(event.schema_version(), version, "{event_type} {fields}");
    }
}
