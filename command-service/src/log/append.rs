//! The append: one call of `passbook.append_batch` makes many commands durable, all or nothing.

use std::sync::Arc;

use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use passbook_shared::timestamp::Timestamp;
use serde_json::value::RawValue;
use sqlx::postgres::{PgHasArrayType, PgTypeInfo};
use sqlx::{Connection, PgConnection, Postgres, Row};
use tokio::time::Instant;
use uuid::Uuid;

/// Events that were appended, on a connection that was made at a moment: whoever reads the log by a connection that has
/// answered since then reads the same log.
#[derive(Debug)]
pub struct Appended {
    /// The events, oldest first.
    pub events: Vec<Arc<RecordedEvent>>,
    /// When the connection was made.
    pub connected: Instant,
}

/// What one append is to make durable.
#[derive(Debug, Default)]
pub struct Append {
    /// The events, oldest first. Until they are appended, a position's number is the event's place among those of
    /// its partition in this append, from 1, and `recorded_at` means nothing.
    pub events: Vec<RecordedEvent>,
    /// Idempotency keys to remember.
    pub keys: Vec<NewKey>,
    /// Accounts that must be at a version for a command without events to be right.
    pub asserted: Vec<AssertedVersion>,
}

/// An idempotency key, and what came of its command: a row of `passbook.new_key`.
#[derive(Debug, sqlx::Encode)]
pub struct NewKey {
    /// The account's partition.
    pub partition: Partition,
    /// The account it belongs to.
    pub account_id: Uuid,
    /// The key.
    pub key: String,
    /// Of the request.
    pub fingerprint: i64,
    /// The account's version after the command.
    pub version: i64,
    /// How many events it caused.
    pub events: i16,
    /// Why it was refused, as JSON, if it was.
    pub refusal: Option<String>,
}

/// An account, and the version on which a command without events relies: a row of `passbook.asserted_version`.
#[derive(Debug, sqlx::Encode)]
pub struct AssertedVersion {
    /// The account's partition.
    pub partition: Partition,
    /// The account.
    pub account_id: Uuid,
    /// The version; 0 if it was never opened.
    pub version: i64,
}

/// A row of `passbook.new_event`.
#[derive(sqlx::Encode)]
struct NewEvent<'a> {
    head: i32,
    number: i32,
    account_id: Uuid,
    version: i64,
    event_id: Uuid,
    command_id: Uuid,
    event_type: &'a str,
    schema_version: i16,
    data: &'a str,
    metadata: Option<String>,
}

impl<'a> NewEvent<'a> {
    fn new(event: &'a RecordedEvent, partitions: &[Partition]) -> Self {
        let EventMetadata { command_id, context } = &event.metadata;
        Self {
            head: i32::try_from(index_of(partitions, event.position.partition) + 1).unwrap_or(0),
            number: i32::try_from(event.position.number).unwrap_or(0),
            account_id: event.account_id,
            version: event.version,
            event_id: event.event_id,
            command_id: *command_id,
            event_type: &event.event_type,
            schema_version: event.schema_version,
            data: event.data.get(),
            metadata: (!context.is_empty())
                .then(|| serde_json::to_string(context).unwrap_or_default()),
        }
    }
}

/// The type in Postgres that a struct's fields are those of, in their order.
macro_rules! composite_type {
    ($of:ty, $name:literal) => {
        impl sqlx::Type<Postgres> for $of {
            fn type_info() -> PgTypeInfo {
                PgTypeInfo::with_name($name)
            }
        }

        impl PgHasArrayType for $of {
            fn array_type_info() -> PgTypeInfo {
                PgTypeInfo::array_of($name)
            }
        }
    };
}

composite_type!(NewEvent<'_>, "passbook.new_event");
composite_type!(NewKey, "passbook.new_key");
composite_type!(AssertedVersion, "passbook.asserted_version");

impl Append {
    /// Whether there is nothing to write or check.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.keys.is_empty() && self.asserted.is_empty()
    }

    /// The partitions it touches, ascending, and how many events go to each.
    fn heads(&self) -> (Vec<Partition>, Vec<i32>) {
        let touched = self.events.iter().map(|event| event.position.partition);
        let mut partitions: Vec<Partition> =
            touched.chain(self.keys.iter().map(|key| key.partition)).collect();
        partitions.sort_unstable();
        partitions.dedup();
        let mut counts = vec![0; partitions.len()];
        for event in &self.events {
            counts[index_of(&partitions, event.position.partition)] += 1;
        }
        (partitions, counts)
    }
}

fn index_of(partitions: &[Partition], partition: Partition) -> usize {
    partitions.partition_point(|p| *p < partition)
}

/// The types of events of which a row of `transfers`, `reversals` or `holds` is made, too.
const INDEXED: [&str; 6] =
    ["MoneySent", "EntryReversed", "HoldPlaced", "HoldCaptured", "HoldReleased", "HoldExpired"];

/// Appends, in one round trip and one transaction (or within the one that is open), and gives the events their
/// positions and times.
///
/// # Errors
/// A violated constraint means that a state decided on was not current, and nothing has happened; after any other
/// error the append may or may not have happened.
pub async fn append(connection: &mut PgConnection, append: &mut Append) -> Result<(), sqlx::Error> {
    let (partitions, counts) = append.heads();
    let rows = call(connection, append, &partitions, &counts).await?;
    let bases: Vec<(i64, Timestamp)> = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, sqlx::Error>>()?;
    if bases.len() != partitions.len() {
        return Err(sqlx::Error::Protocol(format!(
            "{} partitions answered {}",
            partitions.len(),
            bases.len()
        )));
    }
    for event in &mut append.events {
        let (base, at) = bases[index_of(&partitions, event.position.partition)];
        event.position.number += base;
        event.recorded_at = at;
    }
    Ok(())
}

async fn call(
    connection: &mut PgConnection,
    append: &Append,
    partitions: &[Partition],
    counts: &[i32],
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    let Append { events, keys, asserted } = append;
    let indexed: Vec<&str> = INDEXED
        .into_iter()
        .filter(|indexed| events.iter().any(|event| event.event_type == *indexed))
        .collect();
    sqlx::query("SELECT base, recorded FROM passbook.append_batch($1, $2, $3, $4, $5, $6)")
        .bind(partitions)
        .bind(counts)
        .bind(events.iter().map(|event| NewEvent::new(event, partitions)).collect::<Vec<_>>())
        .bind(indexed)
        .bind(keys)
        .bind(asserted)
        .fetch_all(connection)
        .await
}

/// Calls the append with nothing to append to a partition: its rights, its function and the lock of the head are tried.
///
/// # Errors
/// As [`append`].
pub async fn try_nothing(
    connection: &mut PgConnection,
    partition: Partition,
) -> Result<(), sqlx::Error> {
    call(connection, &Append::default(), &[partition], &[0]).await.map(drop)
}

/// Bytes of text in an event that is tried, and how many there are: together more than a page of the table has.
const TRIED: (usize, i32) = (1_800, 5);

/// Appends events to a partition and rolls them back: space on the disk is tried as well.
///
/// # Errors
/// As [`append`].
pub async fn try_events(
    connection: &mut PgConnection,
    partition: Partition,
) -> Result<(), sqlx::Error> {
    let (bytes, count) = TRIED;
    let account_id = Uuid::new_v4();
    let event = |number: i32| RecordedEvent {
        position: Position { partition, number: number.into() },
        account_id,
        version: number.into(),
        event_id: Uuid::now_v7(),
        event_type: "WriteCheck".to_owned(),
        schema_version: 1,
        data: incompressible(bytes),
        metadata: EventMetadata { command_id: account_id, context: CommandContext::default() },
        recorded_at: Timestamp::now(),
    };
    let tried = Append { events: (1..=count).map(event).collect(), ..Append::default() };
    let mut transaction = connection.begin().await?;
    call(&mut transaction, &tried, &[partition], &[count]).await?;
    transaction.rollback().await
}

/// A JSON text of random digits, which are as long in the table.
fn incompressible(bytes: usize) -> Box<RawValue> {
    let ids: String =
        (0..bytes.div_ceil(32)).map(|_| Uuid::new_v4().simple().to_string()).collect();
    RawValue::from_string(format!("\"{ids}\"")).unwrap_or_default()
}

/// Locks the heads of partitions until the transaction ends: nothing else is appended to them meanwhile.
///
/// # Errors
/// As any query.
pub async fn lock_heads(
    connection: &mut PgConnection,
    partitions: &[Partition],
) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT passbook.lock_heads($1)").bind(partitions).execute(connection).await?;
    Ok(())
}
