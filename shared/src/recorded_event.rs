//! An event with its place in the log: what the command-service's feed gives and what the topic carries.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::event::AccountEvent;
use crate::event::schema::EventData;
use crate::position::Position;
use crate::timestamp::Timestamp;
use crate::upcast::DecodeError;

/// One event of the log, as `GET /v1/events` gives it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Event)]
pub struct RecordedEvent {
    /// Unique in the world.
    pub event_id: Uuid,
    /// The account it happened to.
    pub account_id: Uuid,
    /// The type of event.
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    pub event_type: String,
    /// Its place in its account, dense from 1.
    #[schema(minimum = 1)]
    pub version: i64,
    /// Its place in the log.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    pub position: Position,
    /// The shape of `data`.
    #[schema(minimum = 1)]
    pub schema_version: i16,
    /// When it was committed, by the store's clock. For people, never for ordering.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    /// The payload, as stored.
    #[schema(value_type = EventData)]
    pub data: Box<RawValue>,
    /// Where it came from.
    pub metadata: EventMetadata,
}

/// Where an event came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventMetadata {
    /// The command that caused it: one id for all events of one command.
    pub command_id: Uuid,
    /// The rest, where the sender gave it.
    #[serde(flatten)]
    pub context: CommandContext,
}

/// What the sender of a command said about it, beside the command itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommandContext {
    /// `Idempotency-Key` of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// `X-Correlation-Id` of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// What caused the command, if that was an event or another command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// Who sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// W3C trace context of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl CommandContext {
    /// Whether the sender said nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl RecordedEvent {
    /// The event itself, in its newest shape.
    ///
    /// # Errors
    /// As [`AccountEvent::decode`].
    pub fn decode(&self) -> Result<AccountEvent, DecodeError> {
        AccountEvent::decode(&self.event_type, self.schema_version, &self.data)
    }
}
