//! Debits that count from a time that is past: how the account stood since then is read before the command is in its lane.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use passbook_shared::partition::partition_of;
use passbook_shared::store_error;
use passbook_shared::timestamp::Timestamp;
use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::Lanes;
use super::request::Asked;
use crate::domain::Command;
use crate::domain::effective::{self, MOST_LATER_EVENTS, MOST_OF_REQUEST, Timeline};
use crate::log::effective::timeline;
use crate::log::in_time;
use crate::log::load::{LoadError, Wanted};
use crate::log::snapshots::Snapshots;
use crate::outcome::CommandError;

/// Requests with such debits that are on their way at once: each holds up to [`MOST_OF_REQUEST`] events in memory.
const AT_ONCE: usize = 16;

/// How accounts stood, by account.
#[derive(Debug)]
pub(super) struct Timelines {
    by_account: HashMap<Uuid, Timeline>,
    _room: OwnedSemaphorePermit,
}

impl Timelines {
    pub(super) fn iter(&self) -> impl Iterator<Item = (Uuid, &Timeline)> {
        self.by_account.iter().map(|(account_id, timeline)| (*account_id, timeline))
    }
}

/// Where timelines are read, and how many requests may have some.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pool: PgPool,
    snapshots: Snapshots,
    room: Arc<Semaphore>,
}

impl Reader {
    pub(super) fn new(pool: PgPool, snapshots: Snapshots) -> Self {
        Self { pool, snapshots, room: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Lanes {
    /// Reads how accounts stood from these times on, for the commands that wanted it.
    pub(super) async fn know_timelines(
        &self,
        wanted: BTreeMap<Uuid, Timestamp>,
        asked: &mut [Asked],
    ) -> Result<(), CommandError> {
        let room = Arc::clone(&self.backdated.room)
            .acquire_owned()
            .await
            .map_err(|_| CommandError::ShuttingDown)?;
        let (mut by_account, mut left) = (HashMap::new(), MOST_OF_REQUEST);
        for (account_id, from) in wanted {
            let partition = partition_of(account_id, self.partitions);
            let wanted = Wanted { partition, account_id, version: i64::MAX };
            let read = async {
                let Reader { pool, snapshots, .. } = &self.backdated;
                timeline(
                    &mut *pool.acquire().await?,
                    wanted,
                    from,
                    left.min(MOST_LATER_EVENTS),
                    snapshots,
                )
                .await
            };
            match in_time(read).await {
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
                    asked.iter_mut().for_each(|asked| asked.is_unreadable = true);
                    return Ok(());
                }
            }
        }
        let timelines = Arc::new(Timelines { by_account, _room: room });
        asked.iter_mut().for_each(|asked| asked.timelines = Some(Arc::clone(&timelines)));
        Ok(())
    }
}

/// The accounts that commands take money from as of a time that is past, each with the earliest of the times.
pub(super) fn wanted(asked: &[Asked]) -> BTreeMap<Uuid, Timestamp> {
    let mut wanted: BTreeMap<Uuid, Timestamp> = BTreeMap::new();
    let mut want = |account_id: Uuid, from: Timestamp| {
        let earliest = wanted.entry(account_id).or_insert(from);
        *earliest = from.min(*earliest);
    };
    for Asked { request, past, .. } in asked {
        if let Some((account_id, from)) =
            effective::backdated_debit(request.account_id, &request.command, past)
        {
            want(account_id, from);
        }
    }
    // An entry that is not in the log yet may be made by a command of the same set, and count from its time.
    let is_of_set = |asked: &Asked| {
        matches!(asked.request.command, Command::Reverse(_)) && asked.past.entry.is_none()
    };
    if asked.iter().any(is_of_set)
        && let Some(from) =
            asked.iter().filter_map(|asked| effective_at(&asked.request.command)).min()
    {
        asked.iter().flat_map(Asked::accounts).for_each(|(account_id, _)| want(account_id, from));
    }
    wanted
}

fn effective_at(command: &Command) -> Option<Timestamp> {
    match command {
        Command::Deposit(moved) | Command::Withdraw(moved) => moved.effective_at,
        Command::Transfer(transfer) => transfer.effective_at,
        Command::Reverse(reversal) => reversal.effective_at,
        Command::Open(_)
        | Command::Hold(_)
        | Command::Capture(_)
        | Command::Release(_)
        | Command::Expire(_)
        | Command::SetOverdraftLimit(_)
        | Command::Freeze(_)
        | Command::Unfreeze(_)
        | Command::Close(_) => None,
    }
}
