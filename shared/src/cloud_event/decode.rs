//! Decoding of a document into an event.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::SPEC_VERSION;
use crate::epoch::{self, Epoch};
use crate::partition::Partition;
use crate::position::Position;
use crate::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use crate::tenant::Tenant;
use crate::timestamp::Timestamp;

/// Event read from the topic.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// Event with its position in the log.
    pub event: RecordedEvent,
    /// Id of the store that published the event.
    pub store_id: Uuid,
    /// Epoch of the store at publishing.
    pub epoch: Epoch,
}

/// Reads a document. Unknown attributes are ignored.
///
/// # Errors
/// Returns a description of the fault if the bytes are not a document that a relay could have
/// written.
pub fn decode(document: &[u8]) -> Result<Decoded, String> {
    let read: Document<'_> = serde_json::from_slice(document)
        .map_err(|error| format!("not a CloudEvent of Passbook: {error}"))?;
    if read.specversion != SPEC_VERSION {
        return Err(format!("specversion is `{}`, not {SPEC_VERSION}", read.specversion));
    }
    if !(0..=epoch::LARGEST).contains(&read.epoch) {
        return Err(format!("epoch `{}` is not a number from 0 to {}", read.epoch, epoch::LARGEST));
    }
    let event = RecordedEvent {
        event_id: read.id,
        account_id: read.subject,
        event_type: read.event_type,
        version: positive("version", &read.version)?,
        position: Position {
            partition: read.partition,
            number: positive("position", &read.position)?,
        },
        schema_version: read.schemaversion,
        recorded_at: read.time,
        data: read.data,
        metadata: EventMetadata {
            command_id: read.commandid,
            context: CommandContext {
                tenant: read.tenant,
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

fn positive(name: &str, text: &str) -> Result<i64, String> {
    let number = text.parse().ok().filter(|number: &i64| *number >= 1);
    number.ok_or_else(|| format!("{name} `{text}` is not a number from 1"))
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    id: Uuid,
    #[serde(rename = "type")]
    event_type: String,
    subject: Uuid,
    time: Timestamp,
    storeid: Uuid,
    // Builds before epochs wrote records without one.
    #[serde(default)]
    epoch: Epoch,
    partition: Partition,
    #[serde(borrow)]
    position: Cow<'a, str>,
    #[serde(borrow)]
    version: Cow<'a, str>,
    schemaversion: i16,
    commandid: Uuid,
    tenant: Option<Tenant>,
    idempotencykey: Option<String>,
    correlationid: Option<String>,
    causationid: Option<String>,
    actor: Option<String>,
    traceparent: Option<String>,
    data: Box<RawValue>,
}
