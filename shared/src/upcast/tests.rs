use serde_json::json;

use super::*;
use crate::event::AccountEvent;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// Newest schema version of each type, in the order of [`AccountEvent::TYPES`].
const NEWEST: [i16; 14] = [4, 1, 2, 2, 2, 1, 1, 1, 1, 2, 1, 1, 1, 1];

#[test]
fn every_type_has_a_chain_from_version_1_to_its_newest() {
    for (event_type, newest) in AccountEvent::TYPES.iter().zip(NEWEST) {
        for version in [i16::MIN, -1, 0, newest + 1, i16::MAX] {
            let error = to_newest(event_type, version, &raw("{}")).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("schema version {version} of `{event_type}` is not known to this build")
            );
        }
        for version in 1..=newest {
            assert!(to_newest(event_type, version, &raw("{}")).is_ok(), "{event_type}.{version}");
        }
    }
}

#[test]
fn an_unknown_type_is_named_whatever_its_version() {
    for (event_type, version) in [("MoneyBurnt", 1), ("", 0), ("accountopened", 2)] {
        let error = to_newest(event_type, version, &raw("{}")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("event type `{event_type}` is not known to this build")
        );
    }
}

#[test]
fn a_payload_that_needs_no_conversion_is_borrowed_byte_for_byte() {
    for (event_type, version) in
        [("AccountOpened", 2), ("AccountOpened", 3), ("MoneySent", 1), ("AccountClosed", 1)]
    {
        let data = raw(" {\"b\": 1,\n \"a\": 2.50, \"a\": []} ");
        let newest = to_newest(event_type, version, &data).unwrap();
        assert!(matches!(newest, Cow::Borrowed(same) if same.get() == data.get()), "{event_type}");
    }
}

#[test]
fn an_old_opening_gets_the_zeros_that_it_meant() {
    let old = raw(r#"{"owner":"o","currency":"EUR","metadata":{"a":"b"}}"#);
    let newest = to_newest("AccountOpened", 1, &old).unwrap();
    assert_eq!(
        serde_json::from_str::<Value>(newest.get()).unwrap(),
        json!({
            "owner": "o", "currency": "EUR", "metadata": {"a": "b"}, "initial_deposit": 0,
            "overdraft_limit": 0,
        })
    );
    for bad in ["[]", "null", "7", "\"text\""] {
        let error = to_newest("AccountOpened", 1, &raw(bad)).unwrap_err();
        assert!(error.to_string().starts_with("payload cannot be read: invalid type"), "{error}");
    }
}
