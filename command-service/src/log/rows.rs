//! Rows of `passbook.events` as recorded events.

use passbook_shared::position::Position;
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use serde_json::value::RawValue;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// The columns [`recorded_event`] reads, in its order. A macro, so that queries stay literals.
macro_rules! event_columns {
    () => {
        "e.event_id, e.account_id, e.type, e.version, e.partition, e.position, e.schema_version, e.recorded_at, \
         e.data::text, e.command_id, e.metadata::text"
    };
}
pub(crate) use event_columns;

/// The event of a row of `event_columns!`. What its sender said beside the command is left out if it can't be read: an
/// event without it is still an event.
///
/// # Errors
/// A column is not what the table's definition says.
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
        tracing::error!(%error, event.id = %event_id, "an event's metadata can't be read and is left out");
        CommandContext::default()
    })
}
