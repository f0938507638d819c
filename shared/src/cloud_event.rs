//! The value of a record in the topic: a CloudEvents 1.0 document in JSON (structured mode) that stands alone.
//!
//! `position` and `version` are written as strings: an integer attribute of CloudEvents has 32 bits. The key of the
//! record is the account id as text. Specification: CloudEvents 1.0.2 with its JSON event format.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::PartialSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use uuid::Uuid;

use crate::epoch::{self, Epoch};
use crate::partition::Partition;
use crate::position::Position;
use crate::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use crate::timestamp::Timestamp;

const SPEC_VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/json";

/// A CloudEvents 1.0.2 document in JSON.
#[derive(Serialize, utoipa::ToSchema)]
struct Writing<'a> {
    /// Version of CloudEvents.
    #[schema(examples("1.0"))]
    specversion: &'a str,
    /// The event's id, unique for good.
    id: Uuid,
    /// The event's type. Later versions may add types.
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    event_type: &'a str,
    /// `/passbook/` and the store's id.
    #[serde(serialize_with = "as_source")]
    #[schema(value_type = String, examples("/passbook/6f1f6f0e-6d9c-4b8e-9a55-64d6f9b2f5a1"))]
    source: Uuid,
    /// The account's id.
    subject: Uuid,
    /// Time at which the log recorded the event.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// Media type of `data`.
    #[schema(examples("application/json"))]
    datacontenttype: &'a str,
    /// The store's id.
    storeid: Uuid,
    /// The store's epoch, raised by each accepted restore.
    #[schema(value_type = i32, minimum = 0, maximum = 1_000_000)]
    epoch: Epoch,
    /// Partition of the log, and of the topic.
    #[schema(value_type = i32, minimum = 0, maximum = 999)]
    partition: Partition,
    /// The event's position in its partition, from 1, without gaps.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, pattern = "^[1-9][0-9]*$")]
    position: i64,
    /// The event's position in its account, from 1, without gaps.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, pattern = "^[1-9][0-9]*$")]
    version: i64,
    /// Version of the schema of `data`.
    #[schema(minimum = 1)]
    schemaversion: i16,
    /// The id of the command that caused the event; events of one command share it.
    commandid: Uuid,
    /// The command's `Idempotency-Key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    idempotencykey: Option<&'a str>,
    /// The sender's `X-Correlation-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    correlationid: Option<&'a str>,
    /// The id of what caused the command. No version writes it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    causationid: Option<&'a str>,
    /// The sender of the command. No version writes it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    actor: Option<&'a str>,
    /// The sender's `traceparent` (W3C Trace Context).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    traceparent: Option<&'a str>,
    /// Data of the event, by its type.
    #[schema(value_type = Object)]
    data: &'a RawValue,
}

/// Schema of the document.
pub fn schema() -> RefOr<Schema> {
    Writing::schema()
}

#[derive(Deserialize)]
struct Reading<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    id: Uuid,
    #[serde(rename = "type")]
    event_type: String,
    subject: Uuid,
    time: Timestamp,
    storeid: Uuid,
    /// Absent in the records of programs that did not know epochs.
    #[serde(default)]
    epoch: Epoch,
    partition: Partition,
    #[serde(borrow)]
    position: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    schemaversion: i16,
    commandid: Uuid,
    idempotencykey: Option<String>,
    correlationid: Option<String>,
    causationid: Option<String>,
    actor: Option<String>,
    traceparent: Option<String>,
    data: Box<RawValue>,
}

/// `/passbook/` and the store's id: with it, ids of events are unique among all stores (CloudEvents, section "source & id").
fn as_source<S: serde::Serializer>(store_id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("/passbook/{store_id}"))
}

fn as_text<S: serde::Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}

/// An event as the topic carries it.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The event, with its place in the log.
    pub event: RecordedEvent,
    /// The store it is of.
    pub store_id: Uuid,
    /// The epoch of that store in which it was published.
    pub epoch: Epoch,
}

/// Appends the document for an event of the store `store_id`, in its epoch, to `buffer`.
///
/// # Errors
/// None in practice: an event is plain data.
pub fn encode(
    event: &RecordedEvent,
    store_id: Uuid,
    epoch: Epoch,
    buffer: &mut Vec<u8>,
) -> serde_json::Result<()> {
    let context = &event.metadata.context;
    serde_json::to_writer(
        buffer,
        &Writing {
            specversion: SPEC_VERSION,
            id: event.event_id,
            event_type: &event.event_type,
            source: store_id,
            subject: event.account_id,
            time: event.recorded_at,
            datacontenttype: CONTENT_TYPE,
            storeid: store_id,
            epoch,
            partition: event.position.partition,
            position: event.position.number,
            version: event.version,
            schemaversion: event.schema_version,
            commandid: event.metadata.command_id,
            idempotencykey: context.idempotency_key.as_deref(),
            correlationid: context.correlation_id.as_deref(),
            causationid: context.causation_id.as_deref(),
            actor: context.actor.as_deref(),
            traceparent: context.traceparent.as_deref(),
            data: &event.data,
        },
    )
}

/// Reads a document. Attributes this program does not know are passed over.
///
/// # Errors
/// What is wrong with the document, for people.
pub fn decode(document: &[u8]) -> Result<Decoded, String> {
    let read: Reading<'_> =
        serde_json::from_slice(document).map_err(|error| format!("not our CloudEvent: {error}"))?;
    if read.specversion != SPEC_VERSION {
        return Err(format!("specversion is `{}`, not {SPEC_VERSION}", read.specversion));
    }
    if !(0..=epoch::LARGEST).contains(&read.epoch) {
        return Err(format!("epoch `{}` is not a number from 0 to {}", read.epoch, epoch::LARGEST));
    }
    let number = |name: &str, text: &str| {
        text.parse()
            .ok()
            .filter(|n: &i64| *n >= 1)
            .ok_or_else(|| format!("{name} `{text}` is not a number from 1"))
    };
    let event = RecordedEvent {
        event_id: read.id,
        account_id: read.subject,
        event_type: read.event_type,
        version: number("version", &read.version)?,
        position: Position {
            partition: read.partition,
            number: number("position", &read.position)?,
        },
        schema_version: read.schemaversion,
        recorded_at: read.time,
        data: read.data,
        metadata: EventMetadata {
            command_id: read.commandid,
            context: CommandContext {
                idempotency_key: read.idempotencykey,
                correlation_id: read.correlationid,
                causation_id: read.causationid,
                actor: read.actor,
                traceparent: read.traceparent,
            },
        },
    };
    Ok(Decoded { event, store_id: read.storeid, epoch: read.epoch })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_comes_back_as_it_was_and_bytes_never_panic() {
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
