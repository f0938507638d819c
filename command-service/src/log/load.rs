//! Accounts folded from their newest snapshot and the events after it.

use futures_util::TryStreamExt;
use passbook_shared::event::AccountEvent;
use passbook_shared::partition::Partition;
use passbook_shared::upcast::DecodeError;
use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use thiserror::Error;
use uuid::Uuid;

use crate::domain::account::STATE_VERSION;
use crate::domain::{Account, evolve};

/// An account at one of its versions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Its state.
    pub account: Account,
    /// Its version; 0 if it was never opened.
    pub version: i64,
    /// The position number of the event with that version, in the account's partition.
    pub position: i64,
}

/// An event in the log that this version of the program can't read.
#[derive(Debug, Error)]
#[error("version {version} of account {account_id} can't be read: {error}")]
pub struct Unreadable {
    account_id: Uuid,
    version: i64,
    error: DecodeError,
}

/// Why an account could not be loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Postgres did not answer.
    #[error(transparent)]
    Store(#[from] sqlx::Error),
    /// One of its events can't be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// What came of loading one of many accounts.
pub type LoadResult = Result<Loaded, Unreadable>;

/// Loads accounts, in the order given. One that can't be read does not keep the others from being loaded.
///
/// # Errors
/// As any query.
pub async fn load(
    connection: &mut PgConnection,
    accounts: &[(Partition, Uuid)],
) -> Result<Vec<LoadResult>, sqlx::Error> {
    fold(connection, accounts, i64::MAX).await
}

/// Loads one account as it was at a version (at its newest, if that is less).
///
/// # Errors
/// See [`LoadError`].
pub async fn state_at(
    connection: &mut PgConnection,
    partition: Partition,
    account_id: Uuid,
    version: i64,
) -> Result<Loaded, LoadError> {
    let mut loaded = fold(connection, &[(partition, account_id)], version).await?;
    Ok(loaded.pop().transpose()?.unwrap_or_default())
}

async fn fold(
    connection: &mut PgConnection,
    accounts: &[(Partition, Uuid)],
    up_to: i64,
) -> Result<Vec<LoadResult>, sqlx::Error> {
    match fold_from(connection, accounts, up_to, STATE_VERSION).await? {
        Some(loaded) => Ok(loaded),
        // A snapshot that can't be read is only a cache that is of no use: no snapshot has state version 0.
        None => Ok(fold_from(connection, accounts, up_to, 0).await?.unwrap_or_default()),
    }
}

/// Folds from snapshots of the given state version; nothing if one of them can't be read.
async fn fold_from(
    connection: &mut PgConnection,
    accounts: &[(Partition, Uuid)],
    up_to: i64,
    state_version: i16,
) -> Result<Option<Vec<LoadResult>>, sqlx::Error> {
    let partitions: Vec<Partition> = accounts.iter().map(|(partition, _)| *partition).collect();
    let ids: Vec<Uuid> = accounts.iter().map(|(_, id)| *id).collect();
    let mut results: Vec<LoadResult> = accounts.iter().map(|_| Ok(Loaded::default())).collect();
    let mut rows = sqlx::query(
        "SELECT a.n, s.version, s.position, s.state::text, e.version, e.position, e.type, e.schema_version, \
                e.data::text
           FROM unnest($1, $2) WITH ORDINALITY AS a (partition, account_id, n)
           LEFT JOIN LATERAL (
                SELECT s.version, s.position, s.state FROM passbook.snapshots AS s
                 WHERE s.partition = a.partition AND s.account_id = a.account_id AND s.version <= $3
                   AND s.state_version = $4
                 ORDER BY s.version DESC LIMIT 1) AS s ON true
           LEFT JOIN LATERAL (
                SELECT e.version, e.position, e.type, e.schema_version, e.data FROM passbook.events AS e
                 WHERE e.partition = a.partition AND e.account_id = a.account_id
                   AND e.version > coalesce(s.version, 0) AND e.version <= $3
                 ORDER BY e.version) AS e ON true
          ORDER BY a.n, e.version",
    )
    .bind(partitions)
    .bind(ids)
    .bind(up_to)
    .bind(state_version)
    .fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let n: i64 = row.try_get(0)?;
        let index = usize::try_from(n - 1).unwrap_or_default();
        let Ok(loaded) = &mut results[index] else { continue };
        if loaded.version == 0 && !start_from_snapshot(loaded, &row)? {
            return Ok(None);
        }
        if let Err((version, error)) = apply(loaded, &row)? {
            results[index] = Err(Unreadable { account_id: accounts[index].1, version, error });
        }
    }
    Ok(Some(results))
}

fn start_from_snapshot(loaded: &mut Loaded, row: &PgRow) -> Result<bool, sqlx::Error> {
    let Some(version) = row.try_get::<Option<i64>, _>(1)? else { return Ok(true) };
    let position = row.try_get(2)?;
    match serde_json::from_str(row.try_get(3)?) {
        Ok(account) => {
            *loaded = Loaded { account, version, position };
            Ok(true)
        }
        Err(error) => {
            tracing::warn!(%error, "a snapshot can't be read and is passed over");
            Ok(false)
        }
    }
}

/// Applies the row's event, if it has one; the inner error is that the event can't be read.
fn apply(loaded: &mut Loaded, row: &PgRow) -> Result<Result<(), (i64, DecodeError)>, sqlx::Error> {
    let Some(version) = row.try_get::<Option<i64>, _>(4)? else { return Ok(Ok(())) };
    let (event_type, schema_version, data): (&str, _, String) = (row.try_get(6)?, row.try_get(7)?, row.try_get(8)?);
    let decoded = RawValue::from_string(data)
        .map_err(DecodeError::Payload)
        .and_then(|data| AccountEvent::decode(event_type, schema_version, &data));
    let event = match decoded {
        Ok(event) => event,
        Err(error) => return Ok(Err((version, error))),
    };
    loaded.account = evolve(std::mem::take(&mut loaded.account), &event);
    loaded.version = version;
    loaded.position = row.try_get(5)?;
    Ok(Ok(()))
}
