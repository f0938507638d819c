//! Outcomes of earlier commands, by idempotency key, or by command id after a connection broke.

use passbook_shared::partition::Partition;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::domain::Refusal;

/// An idempotency key to look up.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The account's partition.
    pub partition: Partition,
    /// The account that the key belongs to.
    pub account_id: Uuid,
    /// The key.
    pub key: &'a str,
}

/// An idempotency key that was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedKey {
    /// Fingerprint of the request that used the key.
    pub fingerprint: i64,
    /// Outcome of that request.
    pub outcome: KeptOutcome,
}

/// An outcome as it is kept. The events have the rest of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptOutcome {
    /// The command was accepted.
    Accepted(CausedEvents),
    /// The command was refused.
    Refused(Refusal),
    /// The command was refused, and this version of the program can't read why: the error.
    Unreadable(String),
}

/// The events that a command caused on an account, by their versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CausedEvents {
    /// The account's partition.
    pub partition: Partition,
    /// The account.
    pub account_id: Uuid,
    /// Version of the account after the command.
    pub version: i64,
    /// Number of events.
    pub count: i64,
}

impl CausedEvents {
    /// Returns the account's version before the command.
    pub(super) fn version_before(&self) -> i64 {
        self.version - self.count
    }
}

/// Looks up keys. The result has one element for each key, in their order.
///
/// # Errors
/// Errors of Postgres.
pub async fn by_key(
    connection: &mut PgConnection,
    keys: &[Key<'_>],
) -> Result<Vec<Option<UsedKey>>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT k.n, c.fingerprint, c.version, c.events, c.refusal::text
           FROM unnest($1, $2, $3) WITH ORDINALITY AS k (partition, account_id, key, n)
          CROSS JOIN LATERAL (
                SELECT c.fingerprint, c.version, c.events, c.refusal FROM passbook.commands AS c
                 WHERE c.partition = k.partition AND c.account_id = k.account_id
                   AND c.idempotency_key = k.key
                 LIMIT 1) AS c",
    )
    .bind(keys.iter().map(|key| key.partition).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.account_id).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.key).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut used = vec![None; keys.len()];
    for row in rows {
        let n = index(row.try_get(0)?);
        let Key { partition, account_id, .. } = keys[n];
        let outcome = match row.try_get::<Option<&str>, _>(4)? {
            Some(refusal) => serde_json::from_str(refusal).map_or_else(
                |error| KeptOutcome::Unreadable(error.to_string()),
                KeptOutcome::Refused,
            ),
            None => {
                let (version, count) = (row.try_get(2)?, row.try_get::<i16, _>(3)?.into());
                KeptOutcome::Accepted(CausedEvents { partition, account_id, version, count })
            }
        };
        used[n] = Some(UsedKey { fingerprint: row.try_get(1)?, outcome });
    }
    Ok(used)
}

/// Looks up events by command id among the events of accounts after a version each. The result has
/// one element for each command and account.
///
/// # Errors
/// Errors of Postgres.
pub async fn by_command(
    connection: &mut PgConnection,
    commands: &[Uuid],
    accounts: &[(Partition, Uuid, i64)],
) -> Result<Vec<(Uuid, CausedEvents)>, sqlx::Error> {
    let rows = sqlx::query(
        // The events of a command have consecutive versions: the last one and the count name them
        // all.
        "SELECT e.command_id, a.partition, a.account_id, max(e.version), count(*)
           FROM unnest($1, $2, $3) AS a (partition, account_id, after)
          CROSS JOIN LATERAL (
                SELECT e.version, e.command_id FROM passbook.events AS e
                 WHERE e.partition = a.partition AND e.account_id = a.account_id
                   AND e.version > a.after) AS e
           JOIN unnest($4) AS c (command_id) ON c.command_id = e.command_id
          GROUP BY e.command_id, a.partition, a.account_id",
    )
    .bind(accounts.iter().map(|account| account.0).collect::<Vec<_>>())
    .bind(accounts.iter().map(|account| account.1).collect::<Vec<_>>())
    .bind(accounts.iter().map(|account| account.2).collect::<Vec<_>>())
    .bind(commands)
    .fetch_all(connection)
    .await?;
    let caused = |row: &PgRow| {
        let (partition, account_id) = (row.try_get(1)?, row.try_get(2)?);
        let (version, count) = (row.try_get(3)?, row.try_get(4)?);
        Ok((row.try_get(0)?, CausedEvents { partition, account_id, version, count }))
    };
    rows.iter().map(caused).collect()
}

/// Returns the index of a row of an array, from its ordinality.
pub(super) fn index(ordinality: i64) -> usize {
    usize::try_from(ordinality - 1).unwrap_or_default()
}
