//! Lanes: each owns some partitions, and decides and appends all commands on their accounts, many to a commit. Commands
//! that touch partitions of several go through one more lane, which takes from the others what it needs.

mod batch;
mod cache;
mod config;
mod facts;
mod lane;
mod look_first;
/// A command on its way, and what becomes of it.
pub mod request;
mod shelves;
mod states;

use std::sync::Arc;
use std::time::Duration;

use passbook_shared::partition::partition_of;
use passbook_shared::recorded_event::RecordedEvent;
use passbook_shared::shutdown::Tasks;
use passbook_shared::upcast::DecodeError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use crate::domain::{self, Past};
use crate::log::past::EntryId;
use crate::log::read::LogReader;
use crate::log::snapshots::Snapshot;
use crate::metrics;
pub use config::LaneConfig;
use lane::Lane;
pub use request::{Answer, CommandError, CommandRequest, CommandResult, Leg, Outcome};
use request::{Asked, Pending};
use shelves::Shelves;

/// The way into the lanes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lanes {
    /// One a shelf; and behind them, for commands that touch several shelves, one more.
    queues: Arc<[Queue]>,
    shelves: Shelves,
    log: LogReader,
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
    /// Starts the lanes of a log. They hand what they append to `relay`, and states worth keeping to `snapshots`; each ends
    /// when the last clone of this is gone and its queue is empty.
    pub fn start(
        log: LogReader,
        config: &LaneConfig,
        relay: &mpsc::Sender<Vec<Arc<RecordedEvent>>>,
        snapshots: &mpsc::Sender<Snapshot>,
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
                partitions: log.store().partitions,
                relay: relay.clone(),
                snapshots: snapshots.clone(),
                shelves: shelves.clone(),
                connection: None,
                down: false,
                turn: Arc::clone(&turn),
            };
            tasks.spawn("a lane", lane.run());
            Queue {
                sender,
                room: Arc::new(Semaphore::new(config.queue)),
                size: config.queue.try_into().unwrap_or(u32::MAX),
            }
        });
        Self { queues: queues.collect(), shelves, log, patience: config.patience }
    }

    /// Decides and appends a command, and gives what became of it once that is durable. A caller that goes away
    /// leaves the command to its fate.
    ///
    /// # Errors
    /// See [`CommandError`]; none but `OutcomeUnknown` leaves anything in the log.
    pub async fn submit(&self, request: CommandRequest) -> CommandResult {
        let name = request.command.name();
        let sent = match self.prepare(vec![request]).await {
            Ok(asked) => self.send(asked, false, Duration::ZERO).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(answer) => one(answer).await,
            Err(error) => refused(name, error),
        }
    }

    /// Has many commands decided and appended, each by itself; the results are in their order. Those for which there is no
    /// room wait for it.
    pub async fn submit_each(&self, requests: Vec<CommandRequest>) -> Vec<CommandResult> {
        let names: Vec<&'static str> = requests.iter().map(|request| request.command.name()).collect();
        let asked = match self.prepare(requests).await {
            Ok(asked) => asked,
            Err(error) => return names.into_iter().map(|name| refused(name, error.clone())).collect(),
        };
        let mut sent = Vec::with_capacity(asked.len());
        for asked in asked {
            sent.push(self.send(vec![asked], false, self.patience).await);
        }
        let mut results = Vec::with_capacity(sent.len());
        for (name, sent) in names.into_iter().zip(sent) {
            results.push(match sent {
                Ok(answer) => one(answer).await,
                Err(error) => refused(name, error),
            });
        }
        results
    }

    /// Has many commands decided one after the other and appended together; `all_or_none`: if one is not accepted, none
    /// is done, and the others get [`CommandError::HeldBack`]. Either all are dry runs or none is. The results are in
    /// their order.
    pub async fn submit_together(&self, requests: Vec<CommandRequest>, all_or_none: bool) -> Vec<CommandResult> {
        let names: Vec<&'static str> = requests.iter().map(|request| request.command.name()).collect();
        let sent = match self.prepare(requests).await {
            Ok(asked) => self.send(asked, all_or_none, self.patience).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(answer) => {
                answer.await.unwrap_or_else(|_| names.iter().map(|_| Err(CommandError::OutcomeUnknown)).collect())
            }
            Err(error) => names.into_iter().map(|name| refused(name, error.clone())).collect(),
        }
    }

    /// Learns what the log says for good: of which account the other leg of a transfer to be reversed is.
    async fn prepare(&self, requests: Vec<CommandRequest>) -> Result<Vec<Asked>, CommandError> {
        let partitions = self.log.store().partitions;
        let mut asked: Vec<Asked> = requests
            .into_iter()
            .map(|request| {
                let partition = partition_of(request.account_id, partitions);
                Asked { request, partition, counterparty: None, past: Past::default() }
            })
            .collect();
        let entries: Vec<EntryId> = asked.iter().filter_map(facts::entry_to_reverse).collect();
        if !entries.is_empty() {
            let found = self.log.entries(&entries).await.map_err(|error| {
                tracing::warn!(%error, "entries to be reversed can't be read now");
                CommandError::StoreUnavailable
            })?;
            for asked in &mut asked {
                if let Some(entry) = facts::entry_to_reverse(asked).and_then(|id| found.get(&id)) {
                    asked.past.reversed_by = entry.reversed_by;
                    asked.past.entry = Some(entry.event.as_ref().map_err(unreadable)?.clone());
                }
            }
        }
        for asked in &mut asked {
            let counterparty = domain::counterparty(&asked.request.command, &asked.past);
            asked.counterparty = counterparty.map(|id| (id, partition_of(id, partitions)));
        }
        Ok(asked)
    }

    /// What touches one shelf goes to its lane. But what touches two accounts all goes one way: more of it in one append.
    fn lane_of(&self, commands: &[Asked]) -> usize {
        let mut shelves = commands.iter().map(|asked| self.shelves.of(asked.partition));
        let first = shelves.next().unwrap_or_default();
        let one_shelf =
            shelves.all(|shelf| shelf == first) && commands.iter().all(|asked| asked.counterparty.is_none());
        if one_shelf { first } else { self.queues.len() - 1 }
    }

    /// Hands commands to their lane, once it has room for them, and gives where the answer will come.
    async fn send(
        &self,
        commands: Vec<Asked>,
        all_or_none: bool,
        patience: Duration,
    ) -> Result<oneshot::Receiver<Vec<CommandResult>>, CommandError> {
        let lane = self.lane_of(&commands);
        let queue = &self.queues[lane];
        let Some(room) = queue.room(commands.len(), patience).await else {
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
    /// Room for so many commands, if there is some in time; those that are more than all there is take all.
    async fn room(&self, commands: usize, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let wanted = u32::try_from(commands).unwrap_or(u32::MAX).min(self.size);
        match Arc::clone(&self.room).try_acquire_many_owned(wanted) {
            Ok(room) => Some(room),
            Err(_) if patience.is_zero() => None,
            Err(_) => timeout(patience, Arc::clone(&self.room).acquire_many_owned(wanted)).await.ok()?.ok(),
        }
    }
}

/// A lane that ends without an answer has panicked, perhaps after it had sent the command.
async fn one(answer: oneshot::Receiver<Vec<CommandResult>>) -> CommandResult {
    answer.await.ok().and_then(|mut results| results.pop()).unwrap_or(Err(CommandError::OutcomeUnknown))
}

fn refused(command: &'static str, error: CommandError) -> CommandResult {
    let refused = Err(error);
    metrics::command(command, &refused);
    refused
}

fn unreadable(error: &DecodeError) -> CommandError {
    tracing::error!(%error, "an entry to be reversed can't be read");
    CommandError::Internal
}
