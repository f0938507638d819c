//! Value of a record in the topic: a self-contained CloudEvents 1.0.2 document in JSON, structured
//! mode.
//!
//! `position` and `version` are strings, because an integer attribute of CloudEvents has 32 bits.
//! The key of the record is the account id as text.

mod decode;
mod encode;

pub use self::decode::{Decoded, decode};
pub use self::encode::{encode, schema};

const SPEC_VERSION: &str = "1.0";

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use uuid::Uuid;

    use super::*;
    use crate::epoch;
    use crate::position::Position;
    use crate::recorded_event::{CommandContext, EventMetadata, RecordedEvent};

    #[test]
    fn a_document_survives_a_round_trip_and_cut_bytes_never_panic() {
        let event = RecordedEvent {
            event_id: Uuid::from_u128(1),
            account_id: Uuid::from_u128(2),
            event_type: "MoneyDeposited".to_owned(),
            version: 7,
            position: Position { partition: 3, number: 1042 },
            schema_version: 1,
            recorded_at: "2026-11-24T12:00:00.000001Z".parse().unwrap(),
            data: RawValue::from_string(r#"{"amount":25000}"#.to_owned()).unwrap(),
            metadata: EventMetadata {
                command_id: Uuid::from_u128(4),
                context: CommandContext {
                    actor: Some("ops".to_owned()),
                    ..CommandContext::default()
                },
            },
        };
        let mut document = Vec::new();
        encode(&event, Uuid::from_u128(9), 3, &mut document).unwrap();
        let read = decode(&document).unwrap();
        assert_eq!((read.store_id, read.epoch), (Uuid::from_u128(9), 3));
        assert_eq!(
            serde_json::to_value(&read.event).unwrap(),
            serde_json::to_value(&event).unwrap()
        );
        for cut in 0..document.len() {
            assert!(decode(&document[..cut]).is_err());
        }
        let with_epoch = |epoch: &str| {
            let text = String::from_utf8(document.clone()).unwrap();
            decode(text.replace("\"epoch\":3,", epoch).as_bytes()).map(|read| read.epoch)
        };
        assert_eq!(with_epoch(""), Ok(0));
        assert_eq!(with_epoch("\"epoch\":1000000,"), Ok(epoch::LARGEST));
        for wrong in ["-1", "1000001", "2147483648", "\"3\"", "null"] {
            assert!(with_epoch(&format!("\"epoch\":{wrong},")).is_err(), "{wrong}");
        }
    }
}
