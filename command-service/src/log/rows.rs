//! Mapping of `passbook.events` rows to recorded events.

use passbook_shared::position::Position;
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use serde_json::value::RawValue;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// Columns that [`recorded_event`] reads, in its order. A macro, so that queries remain literals.
macro_rules! event_columns {
    () => {
        "e.event_id, e.account_id, e.type, e.version, e.partition, e.position, e.schema_version, \
         e.recorded_at, \
         e.data::text, e.command_id, e.metadata::text"
    };
}
pub(crate) use event_columns;

/// Converts a row of `event_columns!`. Unreadable metadata is dropped: the event is valid without
/// it.
///
/// # Errors
/// A column does not have the type of the table's definition.
pub fn recorded_event(row: &PgRow) -> Result<RecordedEvent, sqlx::Error> {
    let data: String = row.try_get(8)?;
    let event_id = row.try_get(0)?;
    Ok(RecordedEvent {
        event_id,
        account_id: row.try_get(1)?,
        event_type: row.try_get(2)?,
        version: row.try_get(3)?,
        position: Position { partition: row.try_get(4)?, number: row.try_get(5)? },
        schema_version: row.try_get(6)?,
        recorded_at: row.try_get(7)?,
        data: RawValue::from_string(data).map_err(|error| sqlx::Error::Decode(error.into()))?,
        metadata: EventMetadata {
            command_id: row.try_get(9)?,
            context: context(event_id, row.try_get(10)?),
        },
    })
}

fn context(event_id: Uuid, metadata: Option<&str>) -> CommandContext {
    metadata.map_or(Ok(CommandContext::default()), serde_json::from_str).unwrap_or_else(|error| {
        tracing::error!(%error, event.id = %event_id, "the metadata of an event cannot be decoded \
            and is dropped");
        CommandContext::default()
    })
}
