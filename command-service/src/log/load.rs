//! Accounts folded from their newest snapshot and the events after it.

use std::sync::Arc;

use futures_util::TryStreamExt;
use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::upcast::DecodeError;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use thiserror::Error;
use uuid::Uuid;

use super::loaded::Loaded;
use super::snapshot_key::{ID_BYTES, Signed};
use super::snapshots::{Snapshot, Snapshots};
use crate::domain::account::STATE_VERSION;
use crate::domain::evolve;
use crate::metrics;

/// An event in the log that this version of the program can't read.
#[derive(Debug, Clone, Error)]
#[error("version {version} of account {account_id} can't be read: {error}")]
pub struct Unreadable {
    account_id: Uuid,
    version: i64,
    error: Arc<DecodeError>,
}

impl Unreadable {
    pub(super) fn new(account_id: Uuid, version: i64, error: DecodeError) -> Self {
        Self { account_id, version, error: Arc::new(error) }
    }
}

/// Reasons for which an account can't be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Postgres does not answer.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// An event of the account can't be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// The result for one of many accounts.
pub type LoadResult = Result<Loaded, Unreadable>;

/// A state to load.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The account's partition.
    pub partition: Partition,
    /// The account.
    pub account_id: Uuid,
    /// The version; the newest one, if that is less.
    pub version: i64,
}

/// Maximum number of events of an account in one query. More are folded in steps, each of which
/// leaves a snapshot: a load that is cut off continues there.
const STEP: usize = 20_000;

/// Account with more events than were read: its index, and the id of the last event read.
type Open = (usize, Option<Uuid>);

/// Loads accounts, and returns them in their order. Very long ones leave states in `snapshots`.
///
/// # Errors
/// Errors of Postgres.
pub async fn load(
    connection: &mut PgConnection,
    wanted: &[Wanted],
    snapshots: &Snapshots,
) -> Result<Vec<LoadResult>, sqlx::Error> {
    load_from(connection, wanted, vec![Loaded::default(); wanted.len()], snapshots).await
}

/// Loads accounts like [`load`], each from a known state.
pub(super) async fn load_from(
    connection: &mut PgConnection,
    wanted: &[Wanted],
    known: Vec<Loaded>,
    snapshots: &Snapshots,
) -> Result<Vec<LoadResult>, sqlx::Error> {
    let mut open: Vec<Open> = (0..wanted.len())
        .filter(|n| known[*n].version < wanted[*n].version)
        .map(|n| (n, None))
        .collect();
    let mut results: Vec<LoadResult> = known.into_iter().map(Ok).collect();
    let mut state_version = STATE_VERSION;
    while !open.is_empty() {
        open = step(connection, wanted, &open, &mut results, state_version, snapshots).await?;
        // No snapshot has state version 0: after the first step each account goes on from where it
        // is.
        state_version = 0;
        for (index, event_id) in &open {
            if let (Ok(loaded), Some(event_id)) = (&results[*index], *event_id) {
                let Wanted { partition, account_id, .. } = wanted[*index];
                let loaded = loaded.clone();
                snapshots.keep(Snapshot { partition, account_id, loaded, event_id });
            }
        }
    }
    Ok(results)
}

/// Loads one account as it was at a version (at its newest, if that is less).
///
/// # Errors
/// See [`LoadError`].
pub async fn state_at(
    connection: &mut PgConnection,
    wanted: Wanted,
    snapshots: &Snapshots,
) -> Result<Loaded, LoadError> {
    Ok(load(connection, &[wanted], snapshots).await?.pop().transpose()?.unwrap_or_default())
}

/// An account with the events that follow on its state.
pub(super) fn followed_by(mut loaded: Loaded, events: &[Arc<RecordedEvent>]) -> LoadResult {
    for event in events {
        let unreadable = |error| Unreadable::new(event.account_id, event.version, error);
        loaded.account = evolve(loaded.account, &event.decode().map_err(unreadable)?);
        (loaded.version, loaded.position) = (event.version, event.position.number);
    }
    Ok(loaded)
}

/// Reads the newest snapshot of each account above the version it has reached, and events after it.
const SNAPSHOT_AND_EVENTS: &str =
    "SELECT a.n, s.version, s.position, s.state::text, e.version, e.position, e.type,
            e.schema_version, e.data::text, s.mac, e.event_id
       FROM unnest($1, $2, $3, $4) WITH ORDINALITY
            AS a (partition, account_id, reached, up_to, n)
       LEFT JOIN LATERAL (
            SELECT s.version, s.position, s.state, s.mac FROM passbook.snapshots AS s
             WHERE s.partition = a.partition AND s.account_id = a.account_id
               AND s.version > a.reached AND s.version <= a.up_to
               AND s.state_version = $5 AND substring(s.mac FOR $7) = $8
             ORDER BY s.version DESC LIMIT 1) AS s ON true
       LEFT JOIN LATERAL (
            SELECT e.version, e.position, e.type, e.schema_version, e.data, e.event_id
              FROM passbook.events AS e
             WHERE e.partition = a.partition AND e.account_id = a.account_id
               AND e.version > coalesce(s.version, a.reached) AND e.version <= a.up_to
             ORDER BY e.version LIMIT $6) AS e ON true
      ORDER BY a.n, e.version";

/// Takes the accounts that are `open` one step further. Returns those that have more events; an
/// account whose snapshot is not genuine starts in the next step.
async fn step(
    connection: &mut PgConnection,
    wanted: &[Wanted],
    open: &[Open],
    results: &mut [LoadResult],
    state_version: i16,
    snapshots: &Snapshots,
) -> Result<Vec<Open>, sqlx::Error> {
    let mut open: Vec<Open> = open.iter().map(|(index, _)| (*index, None)).collect();
    let column = |value: fn(&Wanted) -> i64| {
        open.iter().map(|(index, _)| value(&wanted[*index])).collect::<Vec<i64>>()
    };
    let reached = |(index, _): &Open| results[*index].as_ref().map_or(0, |loaded| loaded.version);
    let mut events = vec![0; open.len()];
    let mut untrusted = vec![false; open.len()];
    let mut rows = sqlx::query(SNAPSHOT_AND_EVENTS)
        .bind(open.iter().map(|(index, _)| wanted[*index].partition).collect::<Vec<_>>())
        .bind(open.iter().map(|(index, _)| wanted[*index].account_id).collect::<Vec<_>>())
        .bind(open.iter().map(reached).collect::<Vec<_>>())
        .bind(column(|wanted| wanted.version))
        .bind(state_version)
        .bind(i64::try_from(STEP).unwrap_or(i64::MAX))
        .bind(i32::try_from(ID_BYTES).unwrap_or(i32::MAX))
        .bind(snapshots.key.id())
        .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let place = usize::try_from(row.try_get::<i64, _>(0)? - 1).unwrap_or_default();
        let (index, newest) = &mut open[place];
        let result = &mut results[*index];
        let Ok(loaded) = result else { continue };
        if untrusted[place] {
            continue;
        }
        if row.try_get::<Option<i64>, _>(1)?.is_some_and(|version| loaded.version < version) {
            untrusted[place] = !start_from_snapshot(loaded, &wanted[*index], &row, snapshots)?;
            if untrusted[place] {
                continue;
            }
        }
        events[place] += 1;
        *newest = row.try_get(10)?;
        if let Err((version, error)) = apply(loaded, &row)? {
            *result = Err(Unreadable::new(wanted[*index].account_id, version, error));
        }
    }
    let has_more = |place: usize| {
        untrusted[place] || (events[place] == STEP && results[open[place].0].is_ok())
    };
    Ok((0..open.len()).filter(|place| has_more(*place)).map(|place| open[place]).collect())
}

/// Starts the account from the row's snapshot. Returns false if that can't be trusted or read.
fn start_from_snapshot(
    loaded: &mut Loaded,
    wanted: &Wanted,
    row: &PgRow,
    snapshots: &Snapshots,
) -> Result<bool, sqlx::Error> {
    let Wanted { partition, account_id, .. } = *wanted;
    let (version, position, state) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
    let state_version = STATE_VERSION;
    let signed = Signed { partition, account_id, version, position, state_version, state };
    if !snapshots.key.is_genuine(signed, row.try_get(9)?) {
        metrics::snapshot_refused();
        tracing::warn!(
            account.id = %account_id, version, "a snapshot of another service is skipped"
        );
        return Ok(false);
    }
    match serde_json::from_str(state) {
        Ok(account) => {
            *loaded = Loaded { account, version, position };
            Ok(true)
        }
        Err(error) => {
            tracing::warn!(
                account.id = %account_id, version, %error, "an unreadable snapshot is skipped"
            );
            Ok(false)
        }
    }
}

/// Applies the row's event, if it has one; the inner error is that the event can't be read.
fn apply(loaded: &mut Loaded, row: &PgRow) -> Result<Result<(), (i64, DecodeError)>, sqlx::Error> {
    let Some(version) = row.try_get::<Option<i64>, _>(4)? else { return Ok(Ok(())) };
    let event = match decode(row.try_get(6)?, row.try_get(7)?, row.try_get(8)?) {
        Ok(event) => event,
        Err(error) => return Ok(Err((version, error))),
    };
    loaded.account = evolve(std::mem::take(&mut loaded.account), &event);
    (loaded.version, loaded.position) = (version, row.try_get(5)?);
    Ok(Ok(()))
}

/// Decodes an event from its columns.
pub(crate) fn decode(
    event_type: &str,
    schema_version: i16,
    data: String,
) -> Result<AccountEvent, DecodeError> {
    let data = RawValue::from_string(data).map_err(DecodeError::Payload)?;
    AccountEvent::decode(event_type, schema_version, &data)
}
