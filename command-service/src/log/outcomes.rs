//! What came of earlier commands: by idempotency key, or by command id after a connection broke.

use std::collections::HashMap;
use std::sync::Arc;

use passbook_shared::partition::Partition;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use thiserror::Error;
use uuid::Uuid;

use super::load::{LoadResult, Loaded, Unreadable, Wanted, followed_by, load_from};
use super::rows::{event_columns, recorded_event};
use super::snapshots::Snapshots;
use crate::domain::Refusal;
use crate::outcome::AccountChange;

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
    Accepted(Done),
    /// It was refused.
    Refused(Refusal),
    /// A refusal that this version of the program can't read; why not.
    Unreadable(String),
}

/// A command that was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// The account's partition.
    pub partition: Partition,
    /// The account.
    pub account_id: Uuid,
    /// Its version after the command.
    pub version: i64,
    /// How many events the command caused.
    pub events: i64,
}

impl Done {
    /// The account's version before the command.
    fn before(&self) -> i64 {
        self.version - self.events
    }
}

/// Why the answer to a command that was done can't be given again.
#[derive(Debug, Error)]
pub enum Unanswerable {
    /// An event of the account can't be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The log does not have what is kept.
    #[error("the log has no version {} of account {}, at which a command is said to have left it", .0.version, .0.account_id)]
    Missing(Done),
}

/// Looks up keys; the answer has one element each, in their order.
///
/// # Errors
/// As any query.
pub async fn by_key(
    connection: &mut PgConnection,
    keys: &[Key<'_>],
) -> Result<Vec<Option<KnownKey>>, sqlx::Error> {
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
        let n = index(row.try_get(0)?);
        let Key { partition, account_id, .. } = keys[n];
        let kept = match row.try_get::<Option<&str>, _>(4)? {
            Some(refusal) => serde_json::from_str(refusal)
                .map_or_else(|error| Kept::Unreadable(error.to_string()), Kept::Refused),
            None => {
                let (version, events) = (row.try_get(2)?, row.try_get::<i16, _>(3)?.into());
                Kept::Accepted(Done { partition, account_id, version, events })
            }
        };
        known[n] = Some(KnownKey { fingerprint: row.try_get(1)?, kept });
    }
    Ok(known)
}

/// Which of these commands have caused events, among those of accounts after a version each: command ids, with each account
/// that has events of it.
///
/// # Errors
/// As any query.
pub async fn by_command(
    connection: &mut PgConnection,
    commands: &[Uuid],
    accounts: &[(Partition, Uuid, i64)],
) -> Result<Vec<(Uuid, Done)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT e.command_id, a.partition, a.account_id, max(e.version), count(*)
           FROM unnest($1, $2, $3) AS a (partition, account_id, after)
          CROSS JOIN LATERAL (
                SELECT e.version, e.command_id FROM passbook.events AS e
                 WHERE e.partition = a.partition AND e.account_id = a.account_id AND e.version > a.after) AS e
           JOIN unnest($4) AS c (command_id) ON c.command_id = e.command_id
          GROUP BY e.command_id, a.partition, a.account_id",
    )
    .bind(accounts.iter().map(|account| account.0).collect::<Vec<_>>())
    .bind(accounts.iter().map(|account| account.1).collect::<Vec<_>>())
    .bind(accounts.iter().map(|account| account.2).collect::<Vec<_>>())
    .bind(commands)
    .fetch_all(connection)
    .await?;
    let done = |row: &PgRow| {
        let (partition, account_id) = (row.try_get(1)?, row.try_get(2)?);
        Ok((
            row.try_get(0)?,
            Done { partition, account_id, version: row.try_get(3)?, events: row.try_get(4)? },
        ))
    };
    rows.iter().map(done).collect()
}

fn index(ordinality: i64) -> usize {
    usize::try_from(ordinality - 1).unwrap_or_default()
}

/// The whole answers, rebuilt from what is kept and the events: the same as they were the first time. One element each,
/// in their order. `reached` holds states of accounts to start from, and receives the states after the commands: commands
/// are mostly repeated in their order.
///
/// # Errors
/// As any query.
pub async fn rebuild(
    connection: &mut PgConnection,
    done: &[Done],
    reached: &mut HashMap<Uuid, Loaded>,
    snapshots: &Snapshots,
) -> Result<Vec<Result<AccountChange, Unanswerable>>, sqlx::Error> {
    let mut in_order: Vec<usize> = (0..done.len()).collect();
    in_order.sort_unstable_by_key(|index| (done[*index].account_id, done[*index].version));
    // What was done next on the same account: its state is the one before it with its own events.
    let follows = |before: &Done, after: &Done| {
        before.account_id == after.account_id && before.version == after.before()
    };
    let chains: Vec<&[usize]> = in_order.chunk_by(|a, b| follows(&done[*a], &done[*b])).collect();
    let states =
        before(connection, chains.iter().map(|chain| &done[chain[0]]), reached, snapshots).await?;
    let mut events = caused(connection, done).await?;
    let mut changes: Vec<(usize, Result<AccountChange, Unanswerable>)> =
        Vec::with_capacity(done.len());
    for (chain, mut state) in chains.into_iter().zip(states) {
        for index in chain {
            let events = std::mem::take(&mut events[*index]);
            state = state.and_then(|state| followed_by(state, &events));
            let state = state.as_ref().map_err(|error| error.clone().into());
            changes.push((*index, state.and_then(|state| change(done[*index], state, events))));
        }
        if let Ok(state) = state {
            reached.insert(done[chain[0]].account_id, state);
        }
    }
    changes.sort_unstable_by_key(|change| change.0);
    Ok(changes.into_iter().map(|change| change.1).collect())
}

/// States of accounts before commands.
async fn before(
    connection: &mut PgConnection,
    done: impl Iterator<Item = &Done>,
    reached: &HashMap<Uuid, Loaded>,
    snapshots: &Snapshots,
) -> Result<Vec<LoadResult>, sqlx::Error> {
    let (wanted, known): (Vec<Wanted>, Vec<Loaded>) = done
        .map(|done| {
            let wanted = Wanted {
                partition: done.partition,
                account_id: done.account_id,
                version: done.before(),
            };
            let from =
                reached.get(&wanted.account_id).filter(|state| state.version <= wanted.version);
            (wanted, from.cloned().unwrap_or_default())
        })
        .unzip();
    load_from(connection, &wanted, known, snapshots).await
}

/// The account as a command has left it, with the events it caused.
fn change(
    done: Done,
    state: &Loaded,
    events: Vec<Arc<RecordedEvent>>,
) -> Result<AccountChange, Unanswerable> {
    let Loaded { account, version, position } = state;
    let account = account
        .summary()
        .filter(|_| *version == done.version)
        .ok_or(Unanswerable::Missing(done))?;
    let position = Position { partition: done.partition, number: *position };
    Ok(AccountChange { account_id: done.account_id, version: *version, position, account, events })
}

/// The events that commands caused, oldest first.
async fn caused(
    connection: &mut PgConnection,
    done: &[Done],
) -> Result<Vec<Vec<Arc<RecordedEvent>>>, sqlx::Error> {
    let mut caused = vec![Vec::new(); done.len()];
    if done.is_empty() {
        return Ok(caused);
    }
    let rows = sqlx::query(concat!(
        "SELECT ",
        event_columns!(),
        ", d.n
           FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS d (partition, account_id, last, count, n)
           JOIN passbook.events AS e ON e.partition = d.partition AND e.account_id = d.account_id
                AND e.version > d.last - d.count AND e.version <= d.last
          ORDER BY e.version"
    ))
    .bind(done.iter().map(|done| done.partition).collect::<Vec<_>>())
    .bind(done.iter().map(|done| done.account_id).collect::<Vec<_>>())
    .bind(done.iter().map(|done| done.version).collect::<Vec<_>>())
    .bind(done.iter().map(|done| done.events).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    for row in &rows {
        caused[index(row.try_get("n")?)].push(Arc::new(recorded_event(row)?));
    }
    Ok(caused)
}
