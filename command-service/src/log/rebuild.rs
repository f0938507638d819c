//! Answers of accepted commands, rebuilt from the log: each is the same as the first time.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use passbook_shared::event::{AccountEvent, TransferLeg};
use passbook_shared::partition::partition_of;
use passbook_shared::position::Position;
use passbook_shared::recorded_event::RecordedEvent;
use sqlx::{PgConnection, Row};
use thiserror::Error;
use uuid::Uuid;

use super::access::LogAccess;
use super::load::{LoadResult, Unreadable, Wanted, followed_by, load_from};
use super::loaded::Loaded;
use super::outcomes::{CausedEvents, index};
use super::rows::{event_columns, recorded_event};
use super::state_cache::Kind;
use crate::outcome::AccountChange;

/// Maximum number of answers in one query, so that no query takes long.
const AT_ONCE: usize = 64;

/// Reasons for which an answer can't be rebuilt.
#[derive(Debug, Error)]
pub(crate) enum RebuildError {
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    #[error(
        "the log lacks version {} of account {}, which a kept outcome names",
        .0.version, .0.account_id
    )]
    Missing(CausedEvents),
}

/// Changes of a command's own account, and of the account that received if it is a transfer.
type Rebuilt = Result<(AccountChange, Option<AccountChange>), RebuildError>;

impl LogAccess<'_> {
    /// Rebuilds answers, with both legs of transfers. The result has one element for each command,
    /// in their order.
    pub(crate) async fn rebuilt(
        &mut self,
        commands: &[CausedEvents],
    ) -> Result<Vec<Rebuilt>, sqlx::Error> {
        let own = self.changes(commands).await?;
        let received: Vec<Option<CausedEvents>> = own
            .iter()
            .map(|own| {
                let leg = sent_leg(own.as_ref().ok()?)?;
                Some(self.one_event(leg.counterparty, leg.counterparty_version))
            })
            .collect();
        let wanted: Vec<CausedEvents> = received.iter().copied().flatten().collect();
        let mut legs = self.changes(&wanted).await?.into_iter();
        let rebuilt = own.into_iter().zip(received).map(|(own, received)| {
            let to = received.and_then(|_| legs.next()).transpose();
            own.and_then(|own| Ok((own, to?)))
        });
        Ok(rebuilt.collect())
    }

    /// Returns the event of a version as that of a command without others.
    pub(crate) fn one_event(&self, account_id: Uuid, version: i64) -> CausedEvents {
        let partition = partition_of(account_id, self.partitions);
        CausedEvents { partition, account_id, version, count: 1 }
    }

    async fn changes(
        &mut self,
        commands: &[CausedEvents],
    ) -> Result<Vec<Result<AccountChange, RebuildError>>, sqlx::Error> {
        let mut changes = Vec::with_capacity(commands.len());
        for some in commands.chunks(AT_ONCE) {
            changes.extend(self.some_changes(some).await?);
        }
        Ok(changes)
    }

    async fn some_changes(
        &mut self,
        commands: &[CausedEvents],
    ) -> Result<Vec<Result<AccountChange, RebuildError>>, sqlx::Error> {
        let mut in_order: Vec<usize> = (0..commands.len()).collect();
        in_order.sort_unstable_by_key(|n| (commands[*n].account_id, commands[*n].version));
        // The state after a command is the one before the next command of the account.
        let chains: Vec<&[usize]> =
            in_order.chunk_by(|a, b| follows(&commands[*a], &commands[*b])).collect();
        let states = self.states_before(chains.iter().map(|chain| &commands[chain[0]])).await?;
        let mut events = events(self.connection, commands).await?;
        let mut changes = Vec::with_capacity(commands.len());
        for (chain, mut state) in chains.into_iter().zip(states) {
            for n in chain {
                let events = std::mem::take(&mut events[*n]);
                state = state.and_then(|state| followed_by(state, &events));
                let state = state.as_ref().map_err(|error| error.clone().into());
                changes.push((*n, state.and_then(|state| change(commands[*n], state, events))));
            }
            if let Ok(state) = state {
                let CausedEvents { partition, account_id, .. } = commands[chain[0]];
                self.caches.keep(Kind::Replayed, account_id, partition, state);
            }
        }
        changes.sort_unstable_by_key(|(n, _)| *n);
        Ok(changes.into_iter().map(|(_, change)| change).collect())
    }

    async fn states_before(
        &mut self,
        commands: impl Iterator<Item = &CausedEvents>,
    ) -> Result<Vec<LoadResult>, sqlx::Error> {
        let (mut wanted, mut known) = (Vec::new(), Vec::new());
        for command in commands {
            let CausedEvents { partition, account_id, .. } = *command;
            let version = command.version_before();
            // Commands are mostly replayed in their order.
            let reached = self.caches.get(Kind::Replayed, account_id, partition);
            known.push(
                reached.filter(|state| state.version <= version).cloned().unwrap_or_default(),
            );
            wanted.push(Wanted { partition, account_id, version });
        }
        load_from(self.connection, &wanted, known, self.snapshots).await
    }
}

/// Returns the leg that a transfer took from its account. Expiries of holds may be before it.
pub(crate) fn sent_leg(change: &AccountChange) -> Option<TransferLeg> {
    match change.events.last()?.decode() {
        Ok(AccountEvent::MoneySent(leg)) => Some(leg),
        Ok(_) | Err(_) => None,
    }
}

fn follows(before: &CausedEvents, after: &CausedEvents) -> bool {
    before.account_id == after.account_id && before.version == after.version_before()
}

fn change(
    command: CausedEvents,
    state: &Loaded,
    events: Vec<Arc<RecordedEvent>>,
) -> Result<AccountChange, RebuildError> {
    let CausedEvents { partition, account_id, .. } = command;
    let Loaded { account, version, position } = state;
    let account = account.summary().filter(|_| *version == command.version);
    let account = account.ok_or(RebuildError::Missing(command))?;
    let position = Position { partition, number: *position };
    Ok(AccountChange { account_id, version: *version, position, account, events })
}

/// Reads the events of commands, oldest first.
async fn events(
    connection: &mut PgConnection,
    commands: &[CausedEvents],
) -> Result<Vec<Vec<Arc<RecordedEvent>>>, sqlx::Error> {
    let mut events = vec![Vec::new(); commands.len()];
    if commands.is_empty() {
        return Ok(events);
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
    .bind(commands.iter().map(|command| command.partition).collect::<Vec<_>>())
    .bind(commands.iter().map(|command| command.account_id).collect::<Vec<_>>())
    .bind(commands.iter().map(|command| command.version).collect::<Vec<_>>())
    .bind(commands.iter().map(|command| command.count).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    for row in &rows {
        events[index(row.try_get("n")?)].push(Arc::new(recorded_event(row)?));
    }
    Ok(events)
}
