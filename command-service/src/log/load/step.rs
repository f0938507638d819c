//! Step of a load: one query for the snapshots of accounts and their events.

use futures_util::TryStreamExt;
use passbook_shared::upcast::DecodeError;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{LoadResult, Unreadable, Wanted, decode};
use crate::domain::account::STATE_VERSION;
use crate::domain::evolve;
use crate::log::loaded::Loaded;
use crate::log::snapshot_key::{ID_BYTES, Signed};
use crate::log::snapshots::Snapshots;
use crate::metrics;

/// Maximum number of events of an account in one query. More are folded in steps, each of which
/// leaves a snapshot: a load that is cut off continues there.
const STEP: usize = 20_000;

/// Account with more events than were read: its index, and the id of the last event read.
pub(super) type Open = (usize, Option<Uuid>);

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
pub(super) async fn step(
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
