//! Lanes: each owns some partitions, and decides and appends the commands on their accounts, many
//! to a commit. One more lane takes the commands that touch partitions of several lanes, and all
//! single commands while they are few: one commit for all of them costs half of two.
//!
//! A batch takes four steps: load the context (`context`), decide (`decision`), append
//! (`steps`), and build the results (`results`).

mod context;
mod deps;
mod failure;
mod forks;
mod lane;
mod prior;
mod progress;
mod queue;
mod results;
mod staleness;
mod steps;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use passbook_shared::shutdown::Tasks;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::config::lanes::LaneConfig;
use crate::decision::command_set::CommandSet;
use crate::domain::Command;
use crate::log::preparation::Preparation;
use crate::log::prepared_command::PreparedCommand;
use crate::log::state_cache::StateCaches;
use crate::outcome::{CommandError, CommandResult};
use crate::request::{CommandRequest, stretches};
pub use deps::LaneDeps;
use lane::{Lane, MANY};
use queue::{Queue, results_of};
use worker::Worker;

/// The entrance of the lanes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Lanes {
    /// One for each cache of states, and a last one for commands that touch several, and for
    /// single commands while few are on their way.
    queues: Arc<[Queue]>,
    caches: StateCaches,
    preparation: Preparation,
    patience: Duration,
}

impl Lanes {
    /// Starts the lanes. Each ends when the last clone of the entrance is gone and its queue is
    /// empty.
    pub fn start(deps: LaneDeps, config: &LaneConfig, tasks: &mut Tasks) -> Self {
        let turn = Arc::new(Semaphore::new(1));
        let caches = StateCaches::new(config.lanes, config.cache_bytes);
        // With one lane, no command spans lanes: a further lane would have nothing to do.
        let across = usize::from(config.lanes > 1);
        let start = |n: usize| {
            let (queue, receiver) = Queue::new(n.to_string(), config.queue);
            let worker = Worker::new(deps.clone(), config.clone());
            let (name, caches, turn) = (n.to_string(), caches.clone(), Arc::clone(&turn));
            tasks.spawn("a lane", Lane { name, queue: receiver, caches, worker, turn }.run());
            queue
        };
        let queues = (0..config.lanes + across).map(start).collect();
        let patience = config.patience;
        let LaneDeps { partitions, pool, snapshots, .. } = deps;
        let preparation = Preparation::new(partitions, pool, snapshots, patience);
        Self { queues, caches, preparation, patience }
    }

    /// Returns true if any command is on its way.
    pub fn are_busy(&self) -> bool {
        self.queues.iter().any(|queue| !queue.is_idle())
    }

    /// Decides and appends a command, and returns its outcome once that is durable. Once a lane has
    /// taken the command, it completes even if the caller drops the future.
    ///
    /// # Errors
    /// See [`CommandError`]. Only `OutcomeUnknown` may leave anything in the log.
    pub async fn submit(&self, request: CommandRequest) -> CommandResult {
        // The deadline is now: a client gets 503 at once instead of waiting for room.
        let mut results = self.send(vec![request], false, Instant::now()).await;
        results.pop().unwrap_or(Err(CommandError::Internal))
    }

    /// Decides and appends many commands, each alone, and waits for room in the queues. Returns the
    /// results in the order of the requests. Commands on one account are decided in their order.
    /// All are, if one of them touches two accounts or needs facts from the log.
    pub async fn submit_each(&self, requests: Vec<CommandRequest>) -> Vec<CommandResult> {
        let deadline = Instant::now() + self.patience;
        let mut results = Vec::with_capacity(requests.len());
        if requests.iter().any(|request| needs_preparation(&request.command)) {
            // Transfers run in another lane: only a common set keeps the order of the commands. A
            // stretch repeats no key, as a set must not.
            for stretch in stretches(requests) {
                results.extend(self.send(stretch, false, deadline).await);
            }
            return results;
        }
        let mut sent = Vec::with_capacity(requests.len());
        for request in requests {
            let name = request.command.name();
            let command = self.preparation.route(request);
            let command = vec![command];
            let lane = self.lane_of(&command);
            sent.push((name, self.enqueue(lane, command, false, deadline).await));
        }
        // Awaited only after all are queued, so that they share appends.
        for (name, answer) in sent {
            results.extend(results_of(&[name], answer).await);
        }
        results
    }

    /// Decides many commands one after the other and appends them together. If `is_atomic` and one
    /// is not accepted, none is done, and the others get [`CommandError::SetAborted`]. The commands
    /// must be all dry runs or none, and must not use a key twice. Returns the results in the order
    /// of the requests.
    pub async fn submit_together(
        &self,
        requests: Vec<CommandRequest>,
        is_atomic: bool,
    ) -> Vec<CommandResult> {
        self.send(requests, is_atomic, Instant::now() + self.patience).await
    }

    async fn send(
        &self,
        requests: Vec<CommandRequest>,
        is_atomic: bool,
        deadline: Instant,
    ) -> Vec<CommandResult> {
        let names: Vec<&'static str> =
            requests.iter().map(|request| request.command.name()).collect();
        let answer = match self.preparation.prepare(requests).await {
            Ok(commands) => {
                // Its results are awaited here, so no other lane can have commands before it.
                let is_single = commands.len() == 1 && self.are_few();
                let lane = if is_single { self.last() } else { self.lane_of(&commands) };
                self.enqueue(lane, commands, is_atomic, deadline).await
            }
            Err(error) => Err(error),
        };
        results_of(&names, answer).await
    }

    async fn enqueue(
        &self,
        lane: usize,
        commands: Vec<PreparedCommand>,
        is_atomic: bool,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Vec<CommandResult>>, CommandError> {
        self.queues[lane].send(CommandSet { commands, is_atomic }, deadline).await
    }

    /// Returns true if one lane should take all single commands. A full queue takes none, so that
    /// a small `LANE_QUEUE` refuses no more commands than before.
    fn are_few(&self) -> bool {
        self.queues.iter().map(Queue::taken).sum::<usize>() < MANY
            && !self.queues[self.last()].is_full()
    }

    fn last(&self) -> usize {
        self.queues.len() - 1
    }

    fn lane_of(&self, commands: &[PreparedCommand]) -> usize {
        let mut caches = commands.iter().map(|command| self.caches.index_of(command.partition));
        let first = caches.next().unwrap_or_default();
        // All commands with two accounts go one way, even within a lane: more of them share an
        // append.
        let is_local = caches.all(|cache| cache == first)
            && commands.iter().all(|command| command.counterparty.is_none());
        if is_local { first } else { self.last() }
    }
}

fn needs_preparation(command: &Command) -> bool {
    let needs = command.needs();
    let is_backdated_debit =
        matches!(command, Command::Withdraw(_)) && needs.effective_at.is_some();
    // A transfer reads nothing, but it needs the lane for two accounts and thus a common set.
    is_backdated_debit || needs.receiver.is_some() || needs.entry_version.is_some()
}
