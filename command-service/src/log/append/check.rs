//! Checks that appends are possible. The checks add nothing to the log.

use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::{CommandContext, EventMetadata};
use serde_json::value::RawValue;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{Append, NewEvent, call};

/// Appends an empty batch to a partition. This checks the privileges, the SQL function and the lock
/// of the head.
///
/// # Errors
/// As [`append`](super::append).
pub async fn try_nothing(
    connection: &mut PgConnection,
    partition: Partition,
) -> Result<(), sqlx::Error> {
    call(connection, &Append::default(), &[partition]).await.map(drop)
}

/// Size of the text of a tried event in bytes, and number of tried events. Their total size exceeds
/// a page of the table.
const TRIED: (usize, i32) = (1_800, 5);

/// Appends events and rolls the transaction back. This also checks that the disk has space.
///
/// # Errors
/// As [`append`](super::append).
pub async fn try_events(
    connection: &mut PgConnection,
    partition: Partition,
) -> Result<(), sqlx::Error> {
    let (bytes, count) = TRIED;
    let account_id = Uuid::new_v4();
    let event = |version: i32| NewEvent {
        event_id: Uuid::now_v7(),
        account_id,
        partition,
        version: version.into(),
        // Never committed, so no reader meets this type.
        event_type: "WriteCheck",
        schema_version: 1,
        data: incompressible(bytes),
        metadata: EventMetadata { command_id: account_id, context: CommandContext::default() },
    };
    let tried = Append { events: (1..=count).map(event).collect(), ..Append::default() };
    let mut transaction = connection.begin().await?;
    call(&mut transaction, &tried, &[partition]).await?;
    transaction.rollback().await
}

/// Returns a JSON string of random hexadecimal digits, which Postgres cannot compress.
fn incompressible(bytes: usize) -> Box<RawValue> {
    let ids: String =
        (0..bytes.div_ceil(32)).map(|_| Uuid::new_v4().simple().to_string()).collect();
    RawValue::from_string(format!("\"{ids}\"")).unwrap_or_default()
}
