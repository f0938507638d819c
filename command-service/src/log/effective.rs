//! Accounts by effective time, instead of by the time of recording.

use futures_util::TryStreamExt;
use passbook_shared::event::AccountEvent;
use passbook_shared::timestamp::Timestamp;
use sqlx::{PgConnection, Row};

use super::load::{LoadError, Unreadable, Wanted, decode, state_at};
use super::loaded::Loaded;
use super::snapshots::Snapshots;
use crate::domain::effective::Timeline;
use crate::domain::{Account, evolve};

/// Loads the account's timeline by effective time from `from` on, up to its newest version. An
/// account with more than `most` events since then gets a cut timeline.
///
/// # Errors
/// See [`LoadError`].
pub async fn timeline(
    connection: &mut PgConnection,
    wanted: Wanted,
    from: Timestamp,
    most: usize,
    snapshots: &Snapshots,
) -> Result<Timeline, LoadError> {
    let Wanted { partition, account_id, .. } = wanted;
    let sql = "SELECT passbook.last_version_before($1, $2, $3)";
    let recorded: i64 = sqlx::query_scalar(sql)
        .bind(partition)
        .bind(account_id)
        .bind(from)
        .fetch_one(&mut *connection)
        .await?;
    let account = match recorded {
        0 => Account::default(),
        version => state_at(connection, Wanted { version, ..wanted }, snapshots).await?.account,
    };
    let mut timeline = Timeline::new(from, recorded, &account);
    follow(connection, &mut timeline, wanted, most).await?;
    Ok(timeline)
}

/// Adds the account's events up to `wanted.version` to its timeline. Cuts the timeline if there are
/// more than `most`.
///
/// # Errors
/// See [`LoadError`].
pub async fn follow(
    connection: &mut PgConnection,
    timeline: &mut Timeline,
    wanted: Wanted,
    most: usize,
) -> Result<(), LoadError> {
    let Wanted { partition, account_id, version } = wanted;
    let mut rows = sqlx::query(
        "SELECT e.version, e.type, e.schema_version, e.data::text, e.recorded_at FROM
         passbook.events AS e
          WHERE e.partition = $1 AND e.account_id = $2 AND e.version > $3 AND e.version <= $4
          ORDER BY e.version LIMIT $5",
    )
    .bind(partition)
    .bind(account_id)
    .bind(timeline.version())
    .bind(version)
    // One more than permitted shows that the timeline is to be cut.
    .bind(i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1))
    .fetch(connection);
    let mut taken = 0;
    while let Some(row) = rows.try_next().await? {
        let event = decode(row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let version = row.try_get(0)?;
        let event = event.map_err(|error| Unreadable::new(account_id, version, error))?;
        timeline.take(&event, row.try_get(4)?);
        taken += 1;
        if taken > most {
            timeline.cut();
        }
    }
    Ok(())
}

/// Loads the account by effective time at `moment`, from the events up to `wanted.version`.
/// `recorded` is its version by recording time. Entries are never effective after their recording.
/// The state is therefore that of `recorded`, plus the later entries that are effective by
/// `moment`.
///
/// If the opening is effective later but entries are effective earlier, the account counts as
/// opened without an initial deposit.
///
/// # Errors
/// See [`LoadError`].
pub async fn effective_at(
    connection: &mut PgConnection,
    wanted: Wanted,
    recorded: i64,
    moment: Timestamp,
    snapshots: &Snapshots,
) -> Result<Loaded, LoadError> {
    let Wanted { partition, account_id, version } = wanted;
    let recorded = recorded.min(version);
    let mut loaded = match recorded {
        0 => Loaded::default(),
        version => state_at(connection, Wanted { version, ..wanted }, snapshots).await?,
    };
    let mut rows = sqlx::query(
        "SELECT e.version, e.position, e.type, e.schema_version, e.data::text FROM
         passbook.events AS e
          WHERE e.partition = $1 AND e.account_id = $2 AND e.version > $3 AND e.version <= $4
            AND (e.version = 1 OR (e.data ->> 'effective_at')::timestamptz <= $5)
          ORDER BY e.version",
    )
    .bind(partition)
    .bind(account_id)
    .bind(recorded)
    .bind(version)
    .bind(moment)
    .fetch(connection);
    let mut entries = 0;
    while let Some(row) = rows.try_next().await? {
        let version = row.try_get(0)?;
        let event = decode(row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        let mut event = event.map_err(|error| Unreadable::new(account_id, version, error))?;
        match &mut event {
            AccountEvent::AccountOpened(opened)
                if opened.effective_at.is_none_or(|at| at > moment) =>
            {
                opened.initial_deposit = 0;
            }
            _ => entries += 1,
        }
        loaded =
            Loaded { account: evolve(loaded.account, &event), version, position: row.try_get(1)? };
    }
    Ok(if recorded == 0 && entries == 0 { Loaded::default() } else { loaded })
}
