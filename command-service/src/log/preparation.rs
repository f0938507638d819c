//! Preparation of commands before they queue for a lane: facts of the log that never change, read
//! without a lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use passbook_shared::fault::Fault;
use passbook_shared::partition::{PartitionCount, partition_of};
use passbook_shared::shares::Shares;
use passbook_shared::store_error;
use passbook_shared::timestamp::Timestamp;
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::effective::timeline;
use super::in_time;
use super::load::{LoadError, Wanted, state_at};
use super::past::{self, EntryId};
use super::prepared_command::{PreparedCommand, Timelines};
use super::snapshots::Snapshots;
use crate::domain;
use crate::domain::effective::{MOST_LATER_EVENTS, MOST_OF_REQUEST, Timeline};
use crate::outcome::CommandError;
use crate::request::CommandRequest;

static UNREACHED: Fault = Fault::new("accounts of restricted senders can't be read");
static UNREAD: Fault = Fault::new("entries to be reversed can't be read");

/// Maximum number of requests with backdated debits at once: each holds up to [`MOST_OF_REQUEST`]
/// events in memory.
const AT_ONCE: usize = 16;

/// The reader of what commands need from the log. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Preparation {
    partitions: PartitionCount,
    pool: PgPool,
    snapshots: Snapshots,
    patience: Duration,
    with_timelines: Arc<Semaphore>,
    /// Bound the connections that a principal waits for or has.
    shares: Shares,
}

impl Preparation {
    /// Creates a reader for a log of `partitions` partitions, which gives up after `patience`.
    pub(crate) fn new(
        partitions: PartitionCount,
        pool: PgPool,
        snapshots: Snapshots,
        patience: Duration,
    ) -> Self {
        let with_timelines = Arc::new(Semaphore::new(AT_ONCE));
        let shares = Shares::half_of(pool.options().get_max_connections() as usize);
        Self { partitions, pool, snapshots, patience, with_timelines, shares }
    }

    /// Prepares a command that needs nothing from the log.
    pub(crate) fn route(&self, request: CommandRequest) -> PreparedCommand {
        PreparedCommand::new(request, self.partitions)
    }

    /// Prepares commands, in their order.
    pub(crate) async fn prepare(
        &self,
        requests: Vec<CommandRequest>,
    ) -> Result<Vec<PreparedCommand>, CommandError> {
        let mut commands: Vec<PreparedCommand> =
            requests.into_iter().map(|request| self.route(request)).collect();
        let needs_log = |command| is_restricted(command) || command.entry().is_some();
        if commands.iter().any(needs_log) || !backdated_debits(&commands).is_empty() {
            // The future is on the heap: it is rare, and large in the future of every command.
            Box::pin(self.read(&mut commands)).await?;
        }
        Ok(commands)
    }

    /// Reads what commands need from the log.
    async fn read(&self, commands: &mut [PreparedCommand]) -> Result<(), CommandError> {
        let principal = commands.first().and_then(|first| first.request.principal());
        // Before a connection, so that what a principal waits for does not delay others.
        let _place = self.shares.take(principal, 1, Instant::now() + self.patience).await?;
        if commands.iter().any(is_restricted) {
            self.find_out_of_reach(commands).await?;
        }
        let entries: Vec<EntryId> = commands.iter().filter_map(PreparedCommand::entry).collect();
        if !entries.is_empty() {
            self.read_entries(&entries, commands).await?;
        }
        let debits = backdated_debits(commands);
        if !debits.is_empty() {
            let read = self.read_timelines(debits, commands);
            // The wait for a permit counts.
            timeout(self.patience, read).await.unwrap_or_else(|_| {
                let reason = "an account's past was not read in time";
                Err(CommandError::StoreUnavailable(reason.into()))
            })?;
        }
        Ok(())
    }

    /// Marks the commands whose accounts are out of their senders' reach.
    async fn find_out_of_reach(
        &self,
        commands: &mut [PreparedCommand],
    ) -> Result<(), CommandError> {
        for command in commands.iter_mut().filter(|command| is_restricted(command)) {
            let PreparedCommand { partition, request, .. } = &*command;
            let wanted =
                Wanted { partition: *partition, account_id: request.account_id, version: i64::MAX };
            let loading = async {
                let mut connection = self.pool.acquire().await?;
                state_at(&mut connection, wanted, &self.snapshots).await
            };
            let loaded = timeout(self.patience, loading).await;
            match loaded.unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into())) {
                Ok(loaded) => command.is_out_of_reach = request.cannot_reach(&loaded.account),
                Err(LoadError::Store(error)) => {
                    UNREACHED.occurred(store_error::reason(&error));
                    return Err(CommandError::StoreUnavailable(store_error::reason(&error).into()));
                }
                Err(error @ LoadError::Unreadable { .. }) => {
                    tracing::error!(%error, "an account can't be loaded");
                    command.is_unreadable = true;
                }
            }
        }
        Ok(())
    }

    async fn read_entries(
        &self,
        entries: &[EntryId],
        commands: &mut [PreparedCommand],
    ) -> Result<(), CommandError> {
        let read = timeout(self.patience, past::entries(&self.pool, entries)).await;
        let found = read.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(|error| {
            UNREAD.occurred(store_error::reason(&error));
            CommandError::StoreUnavailable(store_error::reason(&error).into())
        })?;
        for command in commands {
            if let Some(entry) = command.entry().and_then(|id| found.get(&id)) {
                command.learn_entry(entry);
                let other = domain::counterparty(&command.request.command, &command.past);
                command.counterparty = other.map(|id| (id, partition_of(id, self.partitions)));
            }
        }
        Ok(())
    }

    async fn read_timelines(
        &self,
        debits: BTreeMap<Uuid, Timestamp>,
        commands: &mut [PreparedCommand],
    ) -> Result<(), CommandError> {
        let permit = Arc::clone(&self.with_timelines)
            .acquire_owned()
            .await
            .map_err(|_| CommandError::ShuttingDown)?;
        let (mut by_account, mut left) = (HashMap::new(), MOST_OF_REQUEST);
        // One by one: each may read the events that the previous ones have left of the maximum.
        for (account_id, from) in debits {
            match in_time(self.read_timeline(account_id, from, left)).await {
                Ok(timeline) => {
                    left = left.saturating_sub(timeline.later_events());
                    by_account.insert(account_id, timeline);
                }
                Err(LoadError::Store(error)) => {
                    tracing::warn!(%error, "an account's past can't be read now");
                    return Err(CommandError::StoreUnavailable(store_error::reason(&error).into()));
                }
                Err(error @ LoadError::Unreadable { .. }) => {
                    tracing::error!(%error, "an account's past can't be read");
                    // The log answers, so this is no outage: the lane answers `Internal`.
                    commands.iter_mut().for_each(|command| command.is_unreadable = true);
                    return Ok(());
                }
            }
        }
        let timelines = Arc::new(Timelines::new(by_account, permit));
        commands.iter_mut().for_each(|command| command.timelines = Some(Arc::clone(&timelines)));
        Ok(())
    }

    async fn read_timeline(
        &self,
        account_id: Uuid,
        from: Timestamp,
        most: usize,
    ) -> Result<Timeline, LoadError> {
        let partition = partition_of(account_id, self.partitions);
        let wanted = Wanted { partition, account_id, version: i64::MAX };
        let mut connection = self.pool.acquire().await?;
        let most = most.min(MOST_LATER_EVENTS);
        timeline(&mut connection, wanted, from, most, &self.snapshots).await
    }
}

/// Returns true if a command needs the past of an account, and its sender does not reach every
/// account.
fn is_restricted(command: &PreparedCommand) -> bool {
    let needs = command.request.command.needs();
    let needs_past = needs.entry_version.is_some() || needs.effective_at.is_some();
    needs_past && !command.request.reach.is_everything()
}

/// Returns the accounts that commands debit as of an earlier time, each with its earliest time.
fn backdated_debits(commands: &[PreparedCommand]) -> BTreeMap<Uuid, Timestamp> {
    let mut debits: BTreeMap<Uuid, Timestamp> = BTreeMap::new();
    let mut add = |account_id: Uuid, from: Timestamp| {
        let earliest = debits.entry(account_id).or_insert(from);
        *earliest = from.min(*earliest);
    };
    let commands = || commands.iter().filter(|command| !command.is_out_of_reach);
    for PreparedCommand { request, past, .. } in commands() {
        let debit = domain::backdated_debit(request.account_id, &request.command, past);
        if let Some((account_id, from)) = debit {
            add(account_id, from);
        }
    }
    // A command of the same set may make the entry that is not in the log yet, and backdate it.
    let is_of_set =
        |command: &PreparedCommand| command.past.entry.is_none() && command.entry().is_some();
    let effective_at = |command: &PreparedCommand| command.request.command.needs().effective_at;
    if commands().any(is_of_set)
        && let Some(from) = commands().filter_map(effective_at).min()
    {
        commands().flat_map(PreparedCommand::accounts).for_each(|(id, _)| add(id, from));
    }
    debits
}
