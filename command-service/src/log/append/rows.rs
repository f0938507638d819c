//! Rows of an append, encoded as the composite types that `passbook.append_batch` takes.

use passbook_shared::composite_type;
use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{EventMetadata, RecordedEvent};
use passbook_shared::timestamp::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::request::CommandRequest;

/// Event that is not yet in the log. The append assigns the position and the recording time.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Id of the event.
    pub event_id: Uuid,
    /// The account.
    pub account_id: Uuid,
    /// The account's partition.
    pub partition: Partition,
    /// Version of the account after the event.
    pub version: i64,
    /// Type of the event.
    pub event_type: &'static str,
    /// Shape of `data`.
    pub schema_version: i16,
    /// Payload.
    pub data: Box<RawValue>,
    /// The command that caused the event.
    pub metadata: EventMetadata,
}

impl NewEvent {
    /// Creates the event of an account at `version`, caused by `request`.
    ///
    /// # Errors
    /// The payload cannot be serialized as JSON.
    pub(crate) fn new(
        event: &AccountEvent,
        event_id: Uuid,
        (partition, account_id): (Partition, Uuid),
        version: i64,
        request: &CommandRequest,
    ) -> serde_json::Result<Self> {
        let CommandRequest { command_id, context, .. } = request;
        Ok(Self {
            event_id,
            account_id,
            partition,
            version,
            event_type: event.event_type(),
            schema_version: event.schema_version(),
            data: event.data()?,
            metadata: EventMetadata { command_id: *command_id, context: context.clone() },
        })
    }

    /// Returns the event as recorded at position `number` of its partition.
    pub fn recorded(self, number: i64, recorded_at: Timestamp) -> RecordedEvent {
        RecordedEvent {
            event_id: self.event_id,
            account_id: self.account_id,
            event_type: self.event_type.to_owned(),
            version: self.version,
            position: Position { partition: self.partition, number },
            schema_version: self.schema_version,
            recorded_at,
            data: self.data,
            metadata: self.metadata,
        }
    }
}

/// An idempotency key with the outcome of its command: a row of `passbook.new_key`.
#[derive(Debug, sqlx::Encode)]
pub struct NewKey {
    /// The account's partition.
    pub partition: Partition,
    /// The account that the key belongs to.
    pub account_id: Uuid,
    /// The key.
    pub key: String,
    /// Fingerprint of the request.
    pub fingerprint: i64,
    /// Version of the account after the command.
    pub version: i64,
    /// Number of events of the command.
    pub events: i16,
    /// Refusal as JSON; `None` if the command was accepted.
    pub refusal: Option<String>,
}

/// Version of an account that was the basis of a decision without events: a row of
/// `passbook.asserted_version`.
#[derive(Debug, sqlx::Encode)]
pub struct AssertedVersion {
    /// The account's partition.
    pub partition: Partition,
    /// The account.
    pub account_id: Uuid,
    /// Version of the account; 0 if it was never opened.
    pub version: i64,
}

/// A row of `passbook.new_event`.
#[derive(sqlx::Encode)]
pub(super) struct EventRow<'a> {
    /// Index of the event's partition among the partitions of the append, from 1.
    head: i32,
    /// Number of the event among the appended events of its partition, from 1.
    number: i32,
    account_id: Uuid,
    version: i64,
    event_id: Uuid,
    command_id: Uuid,
    event_type: &'static str,
    schema_version: i16,
    data: &'a str,
    metadata: Option<String>,
}

impl<'a> EventRow<'a> {
    pub(super) fn new(event: &'a NewEvent, head: usize, number: i32) -> Self {
        let EventMetadata { command_id, context } = &event.metadata;
        Self {
            // No array of SQL has an index 0: its partition would be NULL, which the table refuses.
            head: i32::try_from(head + 1).unwrap_or(0),
            number,
            account_id: event.account_id,
            version: event.version,
            event_id: event.event_id,
            command_id: *command_id,
            event_type: event.event_type,
            schema_version: event.schema_version,
            data: event.data.get(),
            metadata: (!context.is_empty())
                .then(|| serde_json::to_string(context).unwrap_or_default()),
        }
    }
}

composite_type!(EventRow<'_>, "passbook.new_event");
composite_type!(NewKey, "passbook.new_key");
composite_type!(AssertedVersion, "passbook.asserted_version");
