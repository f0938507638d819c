//! Lanes: each owns some partitions, and decides and appends all commands on their accounts, many to a commit. Commands
//! that touch partitions of several go through one more lane, which takes from the others what it needs.

mod backdated;
mod batch;
mod cache;
mod config;
mod facts;
mod lane;
mod look_first;
mod request;
mod shelves;
mod states;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use passbook_shared::fault::Fault;
use passbook_shared::partition::{Partition, partition_of};
use passbook_shared::shutdown::Tasks;
use passbook_shared::store_error;
use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use crate::domain::{self, Command};
use crate::log::append::Appended;
use crate::log::clock::LogClock;
use crate::log::past::{self, EntryId};
use crate::log::snapshots::Snapshots;
use crate::metrics;
use crate::outcome::{CommandError, CommandResult};
pub use config::LaneConfig;
use lane::Lane;
pub use request::CommandRequest;
use request::{Asked, Name, Pending};
use shelves::Shelves;

static UNREAD: Fault = Fault::new("entries to be reversed can't be read");

/// The way into the lanes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lanes {
    /// One a shelf; and behind them, for commands that touch several shelves, one more.
    queues: Arc<[Queue]>,
    shelves: Shelves,
    /// Of the log.
    partitions: Partition,
    /// For reading what is to be reversed.
    entries: PgPool,
    /// For reading how accounts stood.
    backdated: backdated::Reader,
    patience: Duration,
}

#[derive(Debug)]
struct Queue {
    sender: mpsc::UnboundedSender<Pending>,
    /// How many commands may still come.
    room: Arc<Semaphore>,
    size: u32,
}

impl Lanes {
    /// Starts the lanes of a log of so many partitions and that time, from which entries can be read by that pool. They hand
    /// what they append to `relay`, and states worth keeping to `snapshots`; each ends when the last clone of this is gone
    /// and its queue is empty.
    pub fn start(
        partitions: Partition,
        clock: LogClock,
        entries: PgPool,
        config: &LaneConfig,
        relay: &mpsc::Sender<Appended>,
        snapshots: &Snapshots,
        tasks: &mut Tasks,
    ) -> Self {
        let turn = Arc::new(Semaphore::new(1));
        let shelves = Shelves::new(config.lanes, config.cache_bytes);
        let across = usize::from(config.lanes > 1);
        let queues = (0..config.lanes + across).map(|n| {
            let (sender, queue) = mpsc::unbounded_channel();
            let lane = Lane {
                name: n.to_string(),
                config: config.clone(),
                queue,
                partitions,
                clock: clock.clone(),
                relay: relay.clone(),
                snapshots: snapshots.clone(),
                shelves: shelves.clone(),
                connection: None,
                connected: Instant::now(),
                down: false,
                why: "it was not reached yet".into(),
                expects_repeats: false,
                turn: Arc::clone(&turn),
            };
            tasks.spawn("a lane", lane.run());
            Queue {
                sender,
                room: Arc::new(Semaphore::new(config.queue)),
                size: config.queue.try_into().unwrap_or(u32::MAX),
            }
        });
        let backdated = backdated::Reader::new(entries.clone(), snapshots.clone());
        Self {
            queues: queues.collect(),
            shelves,
            partitions,
            entries,
            backdated,
            patience: config.patience,
        }
    }

    /// Returns whether commands are on their way.
    pub fn are_busy(&self) -> bool {
        self.queues.iter().any(|queue| queue.room.available_permits() < queue.size as usize)
    }

    /// Decides and appends a command, and gives what became of it once that is durable. A caller that goes away
    /// leaves the command to its fate.
    ///
    /// # Errors
    /// See [`CommandError`]; none but `OutcomeUnknown` leaves anything in the log.
    pub async fn submit(&self, request: CommandRequest) -> CommandResult {
        let mut results = self.send(vec![request], false, Instant::now()).await;
        results.pop().unwrap_or(Err(CommandError::Internal))
    }

    /// Has many commands decided and appended, each by itself; the results are in their order. Those on one account are
    /// decided in their order; all are, if one touches two accounts or counts from a time that is past. Where there is no room, they wait for it.
    pub async fn submit_each(&self, requests: Vec<CommandRequest>) -> Vec<CommandResult> {
        let deadline = Instant::now() + self.patience;
        // What the log has to be asked for first, or touches two accounts.
        let across = |request: &CommandRequest| match &request.command {
            Command::Withdraw(withdrawal) => withdrawal.effective_at.is_some(),
            Command::Transfer(_) | Command::Reverse(_) => true,
            Command::Open(_)
            | Command::Deposit(_)
            | Command::Hold(_)
            | Command::Capture(_)
            | Command::Release(_)
            | Command::Expire(_)
            | Command::SetOverdraftLimit(_)
            | Command::Freeze(_)
            | Command::Unfreeze(_)
            | Command::Close(_) => false,
        };
        let mut results = Vec::with_capacity(requests.len());
        if requests.iter().any(across) {
            for stretch in without_repeats(requests) {
                results.extend(self.send(stretch, false, deadline).await);
            }
            return results;
        }
        let mut sent = Vec::with_capacity(requests.len());
        for request in requests {
            let name = request.command.name();
            let asked = Asked::new(request, self.partitions);
            sent.push((name, self.hand_over(vec![asked], false, deadline).await));
        }
        for (name, answer) in sent {
            results.extend(answered(&[name], answer).await);
        }
        results
    }

    /// Has many commands decided one after the other and appended together; `all_or_none`: if one is not accepted, none
    /// is done, and the others get [`CommandError::SetAborted`]. Either all are dry runs or none is, and no key is in it twice.
    /// The results are in their order.
    pub async fn submit_together(
        &self,
        requests: Vec<CommandRequest>,
        all_or_none: bool,
    ) -> Vec<CommandResult> {
        self.send(requests, all_or_none, Instant::now() + self.patience).await
    }

    /// Hands commands to their lane, once it has room for them, and gives what became of them.
    async fn send(
        &self,
        requests: Vec<CommandRequest>,
        all_or_none: bool,
        deadline: Instant,
    ) -> Vec<CommandResult> {
        let names: Vec<&'static str> =
            requests.iter().map(|request| request.command.name()).collect();
        let answer = match self.prepare(requests).await {
            Ok(commands) => self.hand_over(commands, all_or_none, deadline).await,
            Err(error) => Err(error),
        };
        answered(&names, answer).await
    }

    /// Learns what the log says for good: of which account the other leg of a transfer to be reversed is.
    async fn prepare(&self, requests: Vec<CommandRequest>) -> Result<Vec<Asked>, CommandError> {
        let mut asked: Vec<Asked> =
            requests.into_iter().map(|request| Asked::new(request, self.partitions)).collect();
        let entries: Vec<EntryId> = asked.iter().filter_map(facts::entry_to_reverse).collect();
        if !entries.is_empty() {
            let found =
                timeout(self.patience, Box::pin(past::entries(&self.entries, &entries))).await;
            let found = found.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map_err(|error| {
                UNREAD.occurred(store_error::reason(&error));
                CommandError::StoreUnavailable(store_error::reason(&error).into())
            })?;
            for asked in &mut asked {
                if let Some(entry) = facts::entry_to_reverse(asked).and_then(|id| found.get(&id)) {
                    asked.know(entry);
                }
            }
        }
        for asked in &mut asked {
            let counterparty = domain::counterparty(&asked.request.command, &asked.past);
            asked.counterparty = counterparty.map(|id| (id, partition_of(id, self.partitions)));
        }
        let wanted = backdated::wanted(&asked);
        if !wanted.is_empty() {
            // On the heap: rare, and large in the future of every command.
            timeout(self.patience, Box::pin(self.know_timelines(wanted, &mut asked)))
                .await
                .map_err(|_| {
                    CommandError::StoreUnavailable("an account's past was not read in time".into())
                })??;
        }
        Ok(asked)
    }

    /// What touches one shelf goes to its lane. But what touches two accounts all goes one way: more of it in one append.
    fn lane_of(&self, commands: &[Asked]) -> usize {
        let mut shelves = commands.iter().map(|asked| self.shelves.of(asked.partition));
        let first = shelves.next().unwrap_or_default();
        let one_shelf = shelves.all(|shelf| shelf == first)
            && commands.iter().all(|asked| asked.counterparty.is_none());
        if one_shelf { first } else { self.queues.len() - 1 }
    }

    async fn hand_over(
        &self,
        commands: Vec<Asked>,
        all_or_none: bool,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Vec<CommandResult>>, CommandError> {
        let lane = self.lane_of(&commands);
        let queue = &self.queues[lane];
        let Some(room) = queue.room(commands.len(), deadline).await else {
            metrics::lane_queue(&lane.to_string(), queue.size as usize);
            return Err(CommandError::Overloaded);
        };
        let (reply, answer) = oneshot::channel();
        let pending = Pending { commands, all_or_none, reply, _room: room };
        queue.sender.send(pending).map_err(|_| CommandError::ShuttingDown)?;
        Ok(answer)
    }
}

impl Queue {
    /// Room for so many commands, if there is some by then; those that are more than all there is take all.
    async fn room(&self, commands: usize, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        let wanted = u32::try_from(commands).unwrap_or(u32::MAX).min(self.size);
        match Arc::clone(&self.room).try_acquire_many_owned(wanted) {
            Ok(room) => Some(room),
            Err(_) => timeout_at(deadline, Arc::clone(&self.room).acquire_many_owned(wanted))
                .await
                .ok()?
                .ok(),
        }
    }
}

/// The requests in their order, in stretches in none of which a key or the id of a transfer is there twice.
fn without_repeats(requests: Vec<CommandRequest>) -> Vec<Vec<CommandRequest>> {
    let (mut stretches, mut seen) = (vec![Vec::new()], HashSet::new());
    for request in requests {
        let names: Vec<Name> = request.names().collect();
        if names.iter().any(|name| seen.contains(name)) {
            stretches.push(Vec::new());
            seen.clear();
        }
        seen.extend(names);
        if let Some(stretch) = stretches.last_mut() {
            stretch.push(request);
        }
    }
    stretches
}

/// What has become of commands that were handed over, or were not.
async fn answered(
    commands: &[&'static str],
    answer: Result<oneshot::Receiver<Vec<CommandResult>>, CommandError>,
) -> Vec<CommandResult> {
    match answer {
        // A lane that ends without an answer has panicked, perhaps after it had sent the commands.
        Ok(answer) => {
            answer.await.unwrap_or_else(|_| fail(commands, &CommandError::OutcomeUnknown))
        }
        Err(error) => fail(commands, &error),
    }
}

fn fail(commands: &[&'static str], error: &CommandError) -> Vec<CommandResult> {
    let refused = |command: &&'static str| {
        let refused = Err(error.clone());
        metrics::command(command, &refused);
        refused
    };
    commands.iter().map(refused).collect()
}
