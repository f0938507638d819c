//! Encoding of an event, and the schema of the document.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::PartialSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use uuid::Uuid;

use super::SPEC_VERSION;
use crate::epoch::Epoch;
use crate::partition::Partition;
use crate::recorded_event::RecordedEvent;
use crate::timestamp::Timestamp;

const CONTENT_TYPE: &str = "application/json";

/// Appends the document of an event to `buffer`.
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
        &Document {
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
            tenant: context.tenant.as_deref(),
            idempotencykey: context.idempotency_key.as_deref(),
            correlationid: context.correlation_id.as_deref(),
            causationid: context.causation_id.as_deref(),
            actor: context.actor.as_deref(),
            traceparent: context.traceparent.as_deref(),
            data: &event.data,
        },
    )
}

/// CloudEvents 1.0.2 document in JSON.
#[derive(Serialize, utoipa::ToSchema)]
struct Document<'a> {
    /// CloudEvents version.
    #[schema(examples("1.0"))]
    specversion: &'a str,
    /// Id of the event, unique in the store.
    id: Uuid,
    /// Type of the event. Later versions may add types.
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    event_type: &'a str,
    /// `/passbook/` followed by the id of the store.
    #[serde(serialize_with = "as_source")]
    #[schema(value_type = String, examples("/passbook/6f1f6f0e-6d9c-4b8e-9a55-64d6f9b2f5a1"))]
    source: Uuid,
    /// Id of the account.
    subject: Uuid,
    /// Time at which the log recorded the event.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    /// Media type of `data`.
    #[schema(examples("application/json"))]
    datacontenttype: &'a str,
    /// Id of the store.
    storeid: Uuid,
    /// Epoch of the store, raised by each accepted restore.
    #[schema(value_type = i32, minimum = 0, maximum = 1_000_000)]
    epoch: Epoch,
    /// Partition of the log, and of the topic.
    #[schema(value_type = i32, minimum = 0, maximum = 999)]
    partition: Partition,
    /// Position of the event in its partition, from 1, without gaps.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, pattern = "^[1-9][0-9]*$")]
    position: i64,
    /// Place of the event in its account, from 1, without gaps.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = String, pattern = "^[1-9][0-9]*$")]
    version: i64,
    /// Schema version of `data`.
    #[schema(minimum = 1)]
    schemaversion: i16,
    /// Id of the command that caused the event; all events of a command share it.
    commandid: Uuid,
    /// Tenant of the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    tenant: Option<&'a str>,
    /// `Idempotency-Key` of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    idempotencykey: Option<&'a str>,
    /// `X-Correlation-Id` of the command.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    correlationid: Option<&'a str>,
    /// Id of the cause of the command. No version writes it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    causationid: Option<&'a str>,
    /// Sender of the command. No version writes it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    actor: Option<&'a str>,
    /// `traceparent` of the command (W3C Trace Context).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    traceparent: Option<&'a str>,
    /// Payload of the event; its shape depends on `type`.
    #[schema(value_type = Object)]
    data: &'a RawValue,
}

/// Returns the OpenAPI schema of the document.
pub fn schema() -> RefOr<Schema> {
    Document::schema()
}

// CloudEvents requires `source` and `id` to be unique together, so the source names the store.
fn as_source<S: serde::Serializer>(store_id: &Uuid, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("/passbook/{store_id}"))
}

fn as_text<S: serde::Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(number)
}
