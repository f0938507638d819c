use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::event::tests::any;
use crate::partition::Partition;

fn context() -> impl Strategy<Value = CommandContext> {
    let text = || proptest::option::of(any::<String>());
    let tenant = proptest::option::of(any::tenant());
    (tenant, text(), text(), text(), text(), text()).prop_map(
        |(tenant, idempotency_key, correlation_id, causation_id, actor, traceparent)| {
            CommandContext {
                tenant,
                idempotency_key,
                correlation_id,
                causation_id,
                actor,
                traceparent,
            }
        },
    )
}

prop_compose! {
    /// Event of any type at any place, with any context.
    pub(crate) fn recorded()(
        event in any::event(), ids: [u128; 3], version in 1..=i64::MAX, partition in 0..1_000_i32,
        number in 1..=i64::MAX, recorded_at in any::time(), context in context(),
    ) -> RecordedEvent {
        let [event_id, account_id, command_id] = ids.map(Uuid::from_u128);
        RecordedEvent {
            event_id,
            account_id,
            event_type: event.event_type().to_owned(),
            version,
            position: Position { partition: partition.try_into().unwrap(), number },
            schema_version: event.schema_version(),
            recorded_at,
            data: event.data().unwrap(),
            metadata: EventMetadata { command_id, context },
        }
    }
}

proptest! {
    #[test]
    fn an_event_of_the_feed_survives_a_round_trip(event in recorded()) {
        let text = serde_json::to_string(&event).unwrap();
        let read: RecordedEvent = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(serde_json::to_string(&read).unwrap(), text);
        prop_assert_eq!(&read.metadata, &event.metadata);
        prop_assert_eq!(read.decode().unwrap(), event.decode().unwrap());
        prop_assert_eq!(read.data.get(), event.data.get(), "as stored");
    }

    #[test]
    fn each_field_of_an_event_is_required(event in recorded()) {
        let whole = serde_json::to_value(&event).unwrap();
        for field in whole.as_object().unwrap().keys() {
            let mut less = whole.clone();
            less.as_object_mut().unwrap().remove(field);
            let error = serde_json::from_str::<RecordedEvent>(&less.to_string()).unwrap_err();
            let words = format!("missing field `{field}`");
            prop_assert!(error.to_string().contains(&words), "{}", error);
        }
    }

    #[test]
    fn a_context_is_empty_if_nothing_was_given(context in context()) {
        let json = serde_json::to_value(&context).unwrap();
        prop_assert_eq!(context.is_empty(), json == json!({}));
    }
}

#[test]
fn an_event_of_the_feed_has_its_documented_names() {
    let event = RecordedEvent {
        event_id: Uuid::from_u128(1),
        account_id: Uuid::from_u128(2),
        event_type: "MoneyDeposited".to_owned(),
        version: 7,
        position: Position { partition: Partition::new(3), number: 1042 },
        schema_version: 1,
        recorded_at: Timestamp::EPOCH,
        data: RawValue::from_string(r#"{"amount":1}"#.to_owned()).unwrap(),
        metadata: EventMetadata {
            command_id: Uuid::from_u128(4),
            context: CommandContext {
                tenant: Some("acme".parse().unwrap()),
                idempotency_key: Some("key".to_owned()),
                correlation_id: Some("correlation".to_owned()),
                causation_id: Some("causation".to_owned()),
                actor: Some("ops".to_owned()),
                traceparent: Some("00-1-2-01".to_owned()),
            },
        },
    };
    let expected: Value = json!({
        "event_id": Uuid::from_u128(1), "account_id": Uuid::from_u128(2), "type": "MoneyDeposited",
        "version": 7, "position": "3-1042", "schema_version": 1,
        "recorded_at": "1970-01-01T00:00:00.000000Z", "data": {"amount": 1},
        "metadata": {
            "command_id": Uuid::from_u128(4), "tenant": "acme", "idempotency_key": "key",
            "correlation_id": "correlation", "causation_id": "causation", "actor": "ops",
            "traceparent": "00-1-2-01",
        },
    });
    assert_eq!(serde_json::to_value(&event).unwrap(), expected);
    let unknown = RecordedEvent { event_type: "MoneyBurnt".to_owned(), ..event };
    assert!(
        matches!(unknown.decode(), Err(DecodeError::UnknownType(name)) if name == "MoneyBurnt")
    );
}
