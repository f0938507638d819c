//! Event with its position in the log, as the command-service's feed and the topic carry it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::event::AccountEvent;
use crate::event::schema::EventData;
use crate::position::Position;
use crate::tenant::Tenant;
use crate::timestamp::Timestamp;
use crate::upcast::DecodeError;

/// Event of the log, as `GET /v1/events` returns it.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = Event)]
pub struct RecordedEvent {
    /// Id of the event, globally unique.
    pub event_id: Uuid,
    /// Account of the event.
    pub account_id: Uuid,
    /// Type of the event.
    #[serde(rename = "type")]
    #[schema(examples("MoneyDeposited"))]
    pub event_type: String,
    /// Place of the event in its account, from 1, without gaps.
    #[schema(minimum = 1)]
    pub version: i64,
    /// Position of the event in the log.
    #[schema(value_type = String, pattern = "^[0-9]+-[0-9]+$", examples("3-1042"))]
    pub position: Position,
    /// Schema version of `data`.
    #[schema(minimum = 1)]
    pub schema_version: i16,
    /// Time of the commit by the store's clock. Events are ordered by position, never by time.
    #[schema(value_type = String, format = DateTime)]
    pub recorded_at: Timestamp,
    /// Payload, as stored.
    #[schema(value_type = EventData)]
    pub data: Box<RawValue>,
    /// Origin of the event.
    pub metadata: EventMetadata,
}

/// Origin of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EventMetadata {
    /// Id of the command that caused the event; all events of a command share it.
    pub command_id: Uuid,
    /// Context that the sender gave.
    #[serde(flatten)]
    pub context: CommandContext,
}

/// Context of a command: the tenant of its account, and what the sender gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct CommandContext {
    /// Tenant of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    pub tenant: Option<Tenant>,
    /// `Idempotency-Key` of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// `X-Correlation-Id` of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// Id of the event or command that caused the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// Sender of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// `traceparent` of the request (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

impl CommandContext {
    /// Returns true if there is no context.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl RecordedEvent {
    /// Decodes the payload into the newest shape of its type.
    ///
    /// # Errors
    /// Returns the error of [`AccountEvent::decode`].
    pub fn decode(&self) -> Result<AccountEvent, DecodeError> {
        AccountEvent::decode(&self.event_type, self.schema_version, &self.data)
    }
}

#[cfg(test)]
pub(crate) mod tests;
