use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::epoch;
use crate::recorded_event::RecordedEvent;
use crate::recorded_event::tests::recorded;
use crate::upcast::DecodeError;

const STORE: Uuid = Uuid::from_u128(9);

fn encoded(event: &RecordedEvent, epoch: epoch::Epoch) -> Vec<u8> {
    let mut document = Vec::new();
    encode(event, STORE, epoch, &mut document).unwrap();
    document
}

/// Returns a document with the least number of attributes, changed by `change`.
fn document(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut document = json!({
        "specversion": "1.0", "id": Uuid::from_u128(1), "type": "MoneyDeposited",
        "subject": Uuid::from_u128(2), "time": "2026-11-24T12:00:00.000001Z", "storeid": STORE,
        "partition": 3, "position": "1042", "version": "7", "schemaversion": 1,
        "commandid": Uuid::from_u128(4), "data": {"amount": 25_000},
    });
    change(&mut document);
    serde_json::to_vec(&document).unwrap()
}

proptest! {
    #[test]
    fn a_document_survives_a_round_trip(event in recorded(), epoch in 0..=epoch::LARGEST) {
        let document = encoded(&event, epoch);
        let read = decode(&document).unwrap();
        prop_assert_eq!((read.store_id, read.epoch), (STORE, epoch));
        prop_assert_eq!(
            serde_json::to_string(&read.event).unwrap(),
            serde_json::to_string(&event).unwrap()
        );
        prop_assert_eq!(encoded(&read.event, epoch), document, "byte for byte");
    }

    #[test]
    fn a_document_says_what_the_event_is(event in recorded(), epoch in 0..=epoch::LARGEST) {
        let document: Value = serde_json::from_slice(&encoded(&event, epoch)).unwrap();
        let context = &event.metadata.context;
        let mut expected = json!({
            "specversion": "1.0", "id": event.event_id, "type": event.event_type,
            "source": format!("/passbook/{STORE}"), "subject": event.account_id,
            "time": event.recorded_at, "datacontenttype": "application/json", "storeid": STORE,
            "epoch": epoch, "partition": event.position.partition,
            "position": event.position.number.to_string(), "version": event.version.to_string(),
            "schemaversion": event.schema_version, "commandid": event.metadata.command_id,
            "data": serde_json::from_str::<Value>(event.data.get()).unwrap(),
        });
        if let Some(tenant) = &context.tenant {
            expected["tenant"] = tenant.to_string().into();
        }
        for (name, value) in [
            ("idempotencykey", &context.idempotency_key),
            ("correlationid", &context.correlation_id),
            ("causationid", &context.causation_id),
            ("actor", &context.actor),
            ("traceparent", &context.traceparent),
        ] {
            if let Some(value) = value {
                expected[name] = value.as_str().into();
            }
        }
        prop_assert_eq!(document, expected);
    }

    #[test]
    fn a_damaged_document_never_panics(
        event in recorded(), place: prop::sample::Index, byte: u8,
    ) {
        let mut document = encoded(&event, 3);
        let place = place.index(document.len());
        prop_assert!(decode(&document[..place]).is_err(), "cut at {}", place);
        document[place] = byte;
        if let Ok(read) = decode(&document) {
            prop_assert!(read.event.version >= 1 && read.event.position.number >= 1);
            prop_assert!((0..=epoch::LARGEST).contains(&read.epoch));
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        prop_assert!(decode(&bytes).is_err());
    }
}

#[test]
fn the_least_document_lacks_epoch_and_context() {
    let read = decode(&document(|_| {})).unwrap();
    assert_eq!((read.store_id, read.epoch), (STORE, 0));
    assert!(read.event.metadata.context.is_empty());
    assert_eq!((read.event.version, read.event.position.to_string().as_str()), (7, "3-1042"));
    assert_eq!(read.event.data.get(), r#"{"amount":25000}"#);
    let whole: Value = serde_json::from_slice(&document(|_| {})).unwrap();
    for name in whole.as_object().unwrap().keys() {
        let less = document(|document| drop(document.as_object_mut().unwrap().remove(name)));
        let error = decode(&less).unwrap_err();
        assert!(
            error.starts_with("not a CloudEvent of Passbook: missing field"),
            "{name}: {error}"
        );
        assert!(error.contains(&format!("`{name}`")), "{error}");
    }
}

#[test]
fn an_attribute_out_of_bounds_is_named() {
    let largest = i64::MAX.to_string();
    for (name, good) in [
        ("version", json!(largest)),
        ("position", json!(largest)),
        ("epoch", json!(1_000_000)),
        ("partition", json!(32_767)),
        ("schemaversion", json!(-1)),
        ("actor", Value::Null),
        ("attribute_of_a_later_version", json!({"nested": true})),
    ] {
        assert!(decode(&document(|document| document[name] = good)).is_ok(), "{name}");
    }
    let above = "9223372036854775808";
    for (name, bad, words) in [
        ("specversion", json!("1.1"), "specversion is `1.1`, not 1.0"),
        ("epoch", json!(-1), "epoch `-1` is not a number from 0 to 1000000"),
        ("epoch", json!(1_000_001), "epoch `1000001` is not a number from 0 to 1000000"),
        ("version", json!("0"), "version `0` is not a number from 1"),
        ("version", json!("-1"), "version `-1` is not a number from 1"),
        ("version", json!(""), "version `` is not a number from 1"),
        ("version", json!("7 "), "version `7 ` is not a number from 1"),
        ("version", json!(above), "is not a number from 1"),
        ("position", json!("0"), "position `0` is not a number from 1"),
        ("position", json!("1e3"), "position `1e3` is not a number from 1"),
    ] {
        let error = decode(&document(|document| document[name] = bad)).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn an_attribute_of_another_type_is_refused() {
    for (name, bad) in [
        ("specversion", json!(1.0)),
        ("id", json!("1")),
        ("type", json!(7)),
        ("subject", Value::Null),
        ("time", json!("yesterday")),
        ("time", json!(1_795_521_600)),
        ("storeid", json!({})),
        ("epoch", json!("3")),
        ("epoch", Value::Null),
        ("epoch", json!(2_147_483_648_i64)),
        ("partition", json!("3")),
        ("partition", json!(32_768)),
        ("partition", json!(3.5)),
        ("position", json!(1042)),
        ("version", json!(7)),
        ("schemaversion", json!("1")),
        ("commandid", json!("4")),
        ("idempotencykey", json!(7)),
        ("actor", json!(["ops"])),
    ] {
        let error = decode(&document(|document| document[name] = bad.clone())).unwrap_err();
        assert!(error.starts_with("not a CloudEvent of Passbook: "), "{name} {bad}: {error}");
    }
    for document in ["", "null", "[]", "7", "{}", "\"text\"", "{\"specversion\":\"1.0\"}"] {
        assert!(decode(document.as_bytes()).is_err(), "{document}");
    }
}

#[test]
fn text_tricks_of_a_document_are_read_or_refused() {
    let text = String::from_utf8(document(|_| {})).unwrap();
    let read = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        decode(text.replace(from, to).as_bytes())
    };
    let escaped = read(r#""version":"7""#, r#""version":"\u0037""#).unwrap();
    assert_eq!(escaped.event.version, 7);
    assert!(read(r#""specversion":"1.0""#, r#""specversion":"1\u002e0""#).is_ok());
    assert!(read(r#""version":"7""#, r#""version":"7","version":"8""#).is_err(), "repeated");
    assert!(decode(format!("{text} \n").as_bytes()).is_ok());
    assert!(decode(format!("{text} {{}}").as_bytes()).is_err(), "something behind the document");
    assert!(read("25000", "25000.00").unwrap().event.data.get().contains("25000.00"));
    let nul = read("MoneyDeposited", "Money\\u0000").unwrap();
    assert_eq!(nul.event.event_type, "Money\0");
}

#[test]
fn a_deeply_nested_payload_is_an_error_of_the_payload() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for (event_type, version, payload) in [
        ("AccountOpened", 1, format!("{{\"owner\":{deep}}}")),
        ("MoneyDeposited", 1, format!("{{\"amount\":{deep}}}")),
        ("MoneyDeposited", 1, deep),
    ] {
        let document = String::from_utf8(document(|document| {
            document["type"] = event_type.into();
            document["schemaversion"] = version.into();
        }));
        let document = document.unwrap().replace(r#"{"amount":25000}"#, &payload);
        let event = decode(document.as_bytes()).unwrap().event;
        assert!(matches!(event.decode(), Err(DecodeError::Payload(_))), "{event_type}");
    }
}
