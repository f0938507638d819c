//! What came of earlier commands: by idempotency key, or by command id after a connection broke.

use std::sync::Arc;

use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::load::{LoadError, state_at};
use super::rows::{event_columns, recorded_event};
use crate::domain::Refusal;
use crate::lanes::request::{Accepted, Outcome};

/// An idempotency key to look up.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The account's partition.
    pub partition: Partition,
    /// The account it belongs to.
    pub account_id: Uuid,
    /// The key.
    pub key: &'a str,
}

/// What is kept under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// Of the request that used it.
    pub fingerprint: i64,
    /// What came of it.
    pub kept: Kept,
}

/// An outcome as it is kept: the rest of the answer is in the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It was done.
    Accepted {
        /// The account's version after it.
        version: i64,
        /// How many events it caused.
        events: i64,
    },
    /// It was refused.
    Refused(Refusal),
}

/// Looks up keys; the answer has one element each, in their order.
///
/// # Errors
/// As any query, or a refusal that can't be read.
pub async fn by_key(connection: &mut PgConnection, keys: &[Key<'_>]) -> Result<Vec<Option<KnownKey>>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT k.n, c.fingerprint, c.version, c.events, c.refusal::text
           FROM unnest($1, $2, $3) WITH ORDINALITY AS k (partition, account_id, key, n)
          CROSS JOIN LATERAL (
                SELECT c.fingerprint, c.version, c.events, c.refusal FROM passbook.commands AS c
                 WHERE c.partition = k.partition AND c.account_id = k.account_id AND c.idempotency_key = k.key
                 LIMIT 1) AS c",
    )
    .bind(keys.iter().map(|key| key.partition).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.account_id).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.key).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut known = vec![None; keys.len()];
    for row in rows {
        let refusal: Option<&str> = row.try_get(4)?;
        let kept = match refusal {
            Some(refusal) => Kept::Refused(serde_json::from_str(refusal).map_err(|e| sqlx::Error::Decode(e.into()))?),
            None => Kept::Accepted { version: row.try_get(2)?, events: row.try_get::<i16, _>(3)?.into() },
        };
        known[index(row.try_get(0)?)] = Some(KnownKey { fingerprint: row.try_get(1)?, kept });
    }
    Ok(known)
}

/// Looks for the events of commands, by account and command id; one element each, in their order.
///
/// # Errors
/// As any query.
pub async fn by_command(
    connection: &mut PgConnection,
    commands: &[(Partition, Uuid, Uuid)],
) -> Result<Vec<Option<Kept>>, sqlx::Error> {
    // The newest events of the account are enough: a command that is looked for was sent a moment ago.
    let rows = sqlx::query(
        "SELECT c.n, max(e.version), count(*)
           FROM unnest($1, $2, $3) WITH ORDINALITY AS c (partition, account_id, command_id, n)
          CROSS JOIN LATERAL (
                SELECT e.version, e.command_id FROM passbook.events AS e
                 WHERE e.partition = c.partition AND e.account_id = c.account_id
                 ORDER BY e.version DESC LIMIT 10000) AS e
          WHERE e.command_id = c.command_id
          GROUP BY c.n",
    )
    .bind(commands.iter().map(|command| command.0).collect::<Vec<_>>())
    .bind(commands.iter().map(|command| command.1).collect::<Vec<_>>())
    .bind(commands.iter().map(|command| command.2).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut known = vec![None; commands.len()];
    for row in rows {
        let kept = Kept::Accepted { version: row.try_get(1)?, events: row.try_get(2)? };
        known[index(row.try_get(0)?)] = Some(kept);
    }
    Ok(known)
}

fn index(ordinality: i64) -> usize {
    usize::try_from(ordinality - 1).unwrap_or_default()
}

/// The whole outcome, rebuilt from what is kept and the events: the same as it was the first time.
///
/// # Errors
/// See [`LoadError`].
pub async fn rebuild(
    connection: &mut PgConnection,
    partition: Partition,
    account_id: Uuid,
    kept: Kept,
) -> Result<Outcome, LoadError> {
    let (version, events) = match kept {
        Kept::Refused(refusal) => return Ok(Outcome::Refused(refusal)),
        Kept::Accepted { version, events } => (version, events),
    };
    let loaded = state_at(connection, partition, account_id, version).await?;
    let account = loaded.account.summary().filter(|_| loaded.version == version).ok_or(sqlx::Error::RowNotFound)?;
    let rows = sqlx::query(concat!(
        "SELECT ",
        event_columns!(),
        " FROM passbook.events AS e
          WHERE e.partition = $1 AND e.account_id = $2 AND e.version > $3 AND e.version <= $4 ORDER BY e.version"
    ))
    .bind(partition)
    .bind(account_id)
    .bind(version - events)
    .bind(version)
    .fetch_all(connection)
    .await?;
    let events = rows.iter().map(|row| recorded_event(row).map(Arc::new)).collect::<Result<_, _>>()?;
    let position = Position { partition, number: loaded.position };
    Ok(Outcome::Accepted(Accepted { account_id, version, position, account, events }))
}
