//! The append: one call of `passbook.append_batch` makes many commands durable, all or nothing.

use std::sync::Arc;

use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::{CommandContext, EventMetadata, RecordedEvent};
use passbook_shared::timestamp::Timestamp;
use serde_json::value::RawValue;
use sqlx::postgres::{PgHasArrayType, PgTypeInfo};
use sqlx::{Connection, PgConnection, Postgres, Row};
use tokio::time::Instant;
use uuid::Uuid;

use crate::request::CommandRequest;

/// Events that were appended, on a connection that was made at a moment: whoever reads the log by a
/// connection that has answered since then reads the same log.
#[derive(Debug)]
pub struct Appended {
    /// The events, oldest first.
    pub events: Vec<Arc<RecordedEvent>>,
    /// When the connection was made.
    pub connected: Instant,
}

/// Rows that one append writes and checks.
#[derive(Debug, Default)]
pub struct Append {
    /// Events, oldest first.
    pub events: Vec<NewEvent>,
    /// Idempotency keys to keep.
    pub keys: Vec<NewKey>,
    /// Versions that accounts must have for a command without events to be right.
    pub asserted: Vec<AssertedVersion>,
}

/// An event that is not in the log yet: the append gives it its position and its time.
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
    /// Creates the event of an account in a partition, which takes it to a version.
    ///
    /// # Errors
    /// The event can't be written as JSON.
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

    /// Returns the event with its position and its time.
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

/// An account, and the version on which a command without events relies: a row of
/// `passbook.asserted_version`.
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
struct EventRow<'a> {
    /// Index of the event's partition among those of the append, from 1.
    head: i32,
    /// Number of the event within its partition of the append, from 1.
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
    fn new(event: &'a NewEvent, head: usize, number: i32) -> Self {
        let EventMetadata { command_id, context } = &event.metadata;
        Self {
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

composite_type!(EventRow<'_>, "passbook.new_event");
composite_type!(NewKey, "passbook.new_key");
composite_type!(AssertedVersion, "passbook.asserted_version");

impl Append {
    /// Returns true if there is nothing to write or check.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.keys.is_empty() && self.asserted.is_empty()
    }

    /// Returns the partitions to write to, in ascending order.
    fn partitions(&self) -> Vec<Partition> {
        let events = self.events.iter().map(|event| event.partition);
        let mut partitions: Vec<Partition> =
            events.chain(self.keys.iter().map(|key| key.partition)).collect();
        partitions.sort_unstable();
        partitions.dedup();
        partitions
    }
}

fn index_of(partitions: &[Partition], partition: Partition) -> usize {
    partitions.partition_point(|p| *p < partition)
}

/// The types of events of which a row of `transfers`, `reversals` or `holds` is made, too.
const INDEXED: [&str; 6] =
    ["MoneySent", "EntryReversed", "HoldPlaced", "HoldCaptured", "HoldReleased", "HoldExpired"];

/// Appends in one round trip and one transaction, or within the transaction that is open. Returns
/// the events with their positions and times.
///
/// # Errors
/// A violated constraint means that a state decided on was stale, and nothing was appended. After
/// any other error the append may or may not have happened.
pub async fn append(
    connection: &mut PgConnection,
    append: Append,
) -> Result<Vec<Arc<RecordedEvent>>, sqlx::Error> {
    let partitions = append.partitions();
    let rows = call(connection, &append, &partitions).await?;
    let mut next: Vec<(i64, Timestamp)> = rows
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect::<Result<_, sqlx::Error>>()?;
    if next.len() != partitions.len() {
        let (wanted, found) = (partitions.len(), next.len());
        let reason = format!("an append to {wanted} partitions was answered for {found}");
        return Err(sqlx::Error::Protocol(reason));
    }
    let recorded = append.events.into_iter().map(|event| {
        let (last, recorded_at) = &mut next[index_of(&partitions, event.partition)];
        *last += 1;
        Arc::new(event.recorded(*last, *recorded_at))
    });
    Ok(recorded.collect())
}

async fn call(
    connection: &mut PgConnection,
    append: &Append,
    partitions: &[Partition],
) -> Result<Vec<sqlx::postgres::PgRow>, sqlx::Error> {
    let Append { events, keys, asserted } = append;
    let mut counts = vec![0; partitions.len()];
    let rows: Vec<EventRow<'_>> = events
        .iter()
        .map(|event| {
            let head = index_of(partitions, event.partition);
            counts[head] += 1;
            EventRow::new(event, head, counts[head])
        })
        .collect();
    let indexed: Vec<&str> = INDEXED
        .into_iter()
        .filter(|indexed| events.iter().any(|event| event.event_type == *indexed))
        .collect();
    sqlx::query("SELECT base, recorded FROM passbook.append_batch($1, $2, $3, $4, $5, $6)")
        .bind(partitions)
        .bind(counts)
        .bind(rows)
        .bind(indexed)
        .bind(keys)
        .bind(asserted)
        .fetch_all(connection)
        .await
}

/// Calls the append with nothing to append to a partition: its rights, its function and the lock of
/// the head are tried.
///
/// # Errors
/// As [`append`].
pub async fn try_nothing(
    connection: &mut PgConnection,
    partition: Partition,
) -> Result<(), sqlx::Error> {
    call(connection, &Append::default(), &[partition]).await.map(drop)
}

/// Bytes of text in an event that is tried, and how many there are: together more than a page of
/// the table has.
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
    let event = |version: i32| NewEvent {
        event_id: Uuid::now_v7(),
        account_id,
        partition,
        version: version.into(),
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

/// A JSON text of random digits, which are as long in the table.
fn incompressible(bytes: usize) -> Box<RawValue> {
    let ids: String =
        (0..bytes.div_ceil(32)).map(|_| Uuid::new_v4().simple().to_string()).collect();
    RawValue::from_string(format!("\"{ids}\"")).unwrap_or_default()
}

/// Locks the heads of partitions until the transaction ends: nothing else is appended to them
/// meanwhile.
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
